// `corecast serve`, as the one of tests/clients/node, but on a port that can be asked for again after it has stopped.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../target', import.meta.url));
const BINARY = process.env.CORECAST_BINARY ?? `${TARGET}/release/corecast`;

// Gives `authority` and `port` once the server listens, and `stop`, which fails unless it ends in order.
export async function startServer(port = 0) {
  const flags = ['serve', '--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0'];
  const server = spawn(BINARY, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = [];
  const bound = await new Promise((resolve, reject) => {
    createInterface({ input: server.stderr }).on('line', (line) => {
      lines.push(line);
      const match = /listens on 127\.0\.0\.1:(\d+)/.exec(line);
      if (match) resolve(Number(match[1]));
    });
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`ended with ${code}:\n${lines.join('\n')}`)));
  });
  const stop = async () => {
    server.kill('SIGTERM');
    if (server.exitCode === null) await once(server, 'exit');
    assert.equal(server.exitCode, 0, lines.join('\n'));
  };
  return { authority: `127.0.0.1:${bound}`, port: bound, stop };
}

// Why this build can't be tested with a browser, or undefined.
export async function lack(authority) {
  const answer = await fetch(`http://${authority}/`);
  const isPage = answer.ok && answer.headers.get('content-type')?.startsWith('text/html');
  return isPage && (await answer.text()).includes('<title>corecast</title>') ? undefined : 'this build has no page';
}
