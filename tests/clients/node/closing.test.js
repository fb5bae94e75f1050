// Close codes, pings and refusals as the library `ws` sees them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { startServer } from '../server.mjs';
import { Client } from './client.js';

let server;
before(async () => {
  server = await startServer('--ping-interval', '1s', '--pong-timeout', '3s');
});
after(() => server.stop());

const url = (topic, query = '') => `ws://${server.authority}/topics/${topic}${query}`;

for (const code of [1000, 1001, 3000, 4999]) {
  test(`close code ${code} is echoed`, async () => {
    const client = await Client.open(url('echo'));
    assert.equal((await client.close(code, 'bye')).code, code);
  });
}

test('a message over the limit is closed with 1009', async () => {
  // A compressed one is refused while it is inflated, when nobody knows yet how long it would become.
  const client = await Client.open(url('large'), { perMessageDeflate: false });
  client.send(Buffer.alloc(524_289));
  const { code, reason } = await client.closed;
  assert.equal(code, 1009);
  assert.match(reason, /524289.*524288/);
});

test('a subscriber that publishes is closed with 1008', async () => {
  const client = await Client.open(url('one-way', '?role=subscriber'));
  client.send('refused');
  assert.equal((await client.closed).code, 1008);
});

test('an unmasked frame is closed with 1002', async () => {
  const client = await Client.open(url('unmasked'));
  client.socket.send('hello', { mask: false });
  assert.equal((await client.closed).code, 1002);
});

test('a ping is answered with its payload', async () => {
  const client = await Client.open(url('ping'));
  client.socket.ping('are you there?');
  const [payload] = await once(client.socket, 'pong');
  assert.equal(payload.toString(), 'are you there?');
  await client.close();
});

test('a silent client is pinged and stays as long as it answers', async () => {
  const client = await Client.open(url('silent'));
  // Three pings span more than the time after which a client that does not answer is cut.
  for (let pings = 0; pings < 3; pings += 1) await once(client.socket, 'ping');
  client.send('still here');
  assert.equal(await client.next(), 'still here');
  await client.close();
});

test('a client that does not answer pings is cut', async () => {
  const client = await Client.open(url('deaf'), { autoPong: false });
  assert.equal((await client.closed).code, 1006);
});

test('a bad topic is refused before the upgrade', async () => {
  const socket = new WebSocket(url('a%20b'));
  const [, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 400);
  response.destroy();
});

test('a page of another origin is refused', async () => {
  const socket = new WebSocket(url('news'), { origin: 'https://evil.example' });
  const [, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 403);
  response.destroy();
});
