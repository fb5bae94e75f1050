// `corecast serve` on free ports, and a client whose events can be awaited.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../target', import.meta.url));
const BINARY = process.env.CORECAST_BINARY ?? `${TARGET}/release/corecast`;

const FREE_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];

// Gives `authority` (host:port) once the server listens, and `stop`, which fails unless it ends in order.
export async function startServer(...flags) {
  const server = spawn(BINARY, ['serve', ...FREE_PORTS, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = [];
  const authority = await new Promise((resolve, reject) => {
    createInterface({ input: server.stderr }).on('line', (line) => {
      lines.push(line);
      const match = /listens on (\S+):(\d+)/.exec(line);
      if (match) resolve(`${match[1]}:${match[2]}`);
    });
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`ended with ${code}:\n${lines.join('\n')}`)));
  });
  const stop = async () => {
    server.kill('SIGTERM');
    if (server.exitCode === null) await once(server, 'exit');
    assert.equal(server.exitCode, 0, lines.join('\n'));
  };
  return { authority, stop };
}

// A WebSocket whose events can be awaited in the order in which they came.
export class Client {
  constructor(url, options) {
    this.socket = new WebSocket(url, options);
    this.messages = [];
    this.waiting = [];
    this.socket.on('message', (data, isBinary) => this.#arrived(isBinary ? data : data.toString()));
    this.opened = once(this.socket, 'open');
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  // Connected and subscribed.
  static async open(url, options) {
    const client = new Client(url, options);
    await client.opened;
    return client;
  }

  #arrived(message) {
    const next = this.waiting.shift();
    if (next) next(message);
    else this.messages.push(message);
  }

  // The next message: a string for text, a Buffer for binary.
  async next() {
    if (this.messages.length > 0) return this.messages.shift();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  send(message) {
    this.socket.send(message);
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    return this.closed;
  }
}
