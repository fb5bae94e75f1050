// `corecast serve`, for the tests in node and those in a browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url));
export const BINARY = process.env.CORECAST_BINARY ?? `${TARGET}/release/corecast`;

// On free ports, with these flags.
export const startServer = (...flags) => startServerAt(0, ...flags);

// Gives `authority` (host:port), `port` and `pid` once the server listens, `metric`, which reads one without labels, and `stop`,
// which fails unless the server ends in order.
export async function startServerAt(wantedPort, ...flags) {
  const places = ['--listen', `127.0.0.1:${wantedPort}`, '--admin', '127.0.0.1:0'];
  const server = spawn(BINARY, ['serve', ...places, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = [];
  const [port, metrics] = await new Promise((resolve, reject) => {
    let listens;
    let admin;
    createInterface({ input: server.stderr }).on('line', (line) => {
      lines.push(line);
      listens ??= /listens on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      admin ??= /http:\/\/\S+:\d+\/metrics/.exec(line)?.[0];
      if (listens && admin) resolve([Number(listens), admin]);
    });
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`ended with ${code}:\n${lines.join('\n')}`)));
  });
  const metric = async (name) => {
    const page = await (await fetch(metrics)).text();
    return Number(new RegExp(`^corecast_${name} (\\d+)$`, 'm').exec(page)[1]);
  };
  const stop = async () => {
    server.kill('SIGTERM');
    if (server.exitCode === null) await once(server, 'exit');
    assert.equal(server.exitCode, 0, lines.join('\n'));
  };
  return { authority: `127.0.0.1:${port}`, port, pid: server.pid, metric, stop };
}
