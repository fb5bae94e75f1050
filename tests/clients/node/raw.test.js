// The raw dialect as the library `ws` sees it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { Client } from './client.js';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const url = (t, query = '') => `ws://${server.authority}/topics/${t.name.replaceAll(/[^a-z0-9]+/gi, '-')}${query}`;

test('text stays text and binary stays binary', async (t) => {
  const subscriber = await Client.open(url(t));
  const publisher = await Client.open(url(t, '?role=publisher'));
  for (const message of ['text', 'é €', '', '{"a": 1}', '\0']) {
    publisher.send(message);
    assert.equal(await subscriber.next(), message);
  }
  for (const message of [Buffer.from('bytes'), Buffer.alloc(0), Buffer.from([0, 255, 254])]) {
    publisher.send(message);
    assert.deepEqual(await subscriber.next(), message);
  }
  await publisher.close();
  await subscriber.close();
});

test('own message comes back', async (t) => {
  const client = await Client.open(url(t));
  client.send('to myself too');
  assert.equal(await client.next(), 'to myself too');
  await client.close();
});

test('message of any size arrives whole', async (t) => {
  const subscriber = await Client.open(url(t, '?role=subscriber'));
  const publisher = await Client.open(url(t, '?role=publisher'));
  for (const size of [125, 126, 65535, 65536, 524288]) {
    const bytes = Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 7) % 251));
    publisher.send(bytes);
    assert.deepEqual(await subscriber.next(), bytes);
    publisher.send('x'.repeat(size));
    assert.equal(await subscriber.next(), 'x'.repeat(size));
  }
  await publisher.close();
  await subscriber.close();
});

test('fragments arrive as one message', async (t) => {
  const client = await Client.open(url(t));
  client.socket.send('in ', { fin: false });
  client.socket.ping();
  client.socket.send('two pieces', { fin: true });
  assert.equal(await client.next(), 'in two pieces');
  await client.close();
});

test('a message posted with fetch reaches all subscribers', async (t) => {
  const subscribers = await Promise.all(Array.from({ length: 50 }, () => Client.open(url(t))));
  const answer = await fetch(url(t).replace('ws:', 'http:'), { method: 'POST', body: 'hello' });
  assert.equal(answer.status, 200);
  const { offset, epoch } = await answer.json();
  assert.equal(offset, 1);
  assert.match(epoch, /^[0-9a-f]{16}$/);
  for (const subscriber of subscribers) assert.equal(await subscriber.next(), 'hello');
  await Promise.all(subscribers.map((subscriber) => subscriber.close()));
});

test('ten thousand messages keep their order', async (t) => {
  const subscriber = await Client.open(url(t, '?role=subscriber'));
  const publisher = await Client.open(url(t, '?role=publisher'));
  for (let number = 0; number < 10_000; number += 1) publisher.send(String(number));
  for (let number = 0; number < 10_000; number += 1) assert.equal(await subscriber.next(), String(number));
  await publisher.close();
  await subscriber.close();
});
