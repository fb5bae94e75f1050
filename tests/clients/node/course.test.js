// The course that every library is put through, with `ws`, plain and compressed: messages of every length, pings, closing
// from both sides, the JSON dialect.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { startServer } from '../server.mjs';
import { Client } from './client.js';

const MIB = 1 << 20;

// RFC 6455 section 5.2 has three forms of a length; the last is the largest message that the server below takes.
const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, MIB];

let server;
before(async () => {
  server = await startServer('--max-message-bytes', '1MiB', '--topic-log-bytes', '2MiB');
});
after(() => server.stop());

const BINARY = { 'content-type': 'application/octet-stream' };

// Text that a compressor makes something of.
const letters = (size) => 'All that is published comes back. '.repeat(Math.ceil(size / 34)).slice(0, size);

for (const perMessageDeflate of [false, true]) {
  const way = perMessageDeflate ? 'compressed' : 'plain';

  // Connected to a URL, compressed if and only if it is to be.
  const open = async (url, options) => {
    const client = await Client.open(url, { perMessageDeflate, ...options });
    assert.equal(client.socket.extensions.split(';')[0], perMessageDeflate ? 'permessage-deflate' : '');
    return client;
  };

  // A test with the URL of a topic of its own on the server above.
  const course = (name, body) => {
    const topic = `${name} ${way}`.replaceAll(/[^a-z0-9]+/gi, '-');
    test(`${name}, ${way}`, (t) => body(`ws://${server.authority}/topics/${topic}`, topic, t));
  };

  course('messages of every length come back', async (url) => {
    const client = await open(url);
    for (const size of SIZES) {
      for (const message of [letters(size), randomBytes(size), Buffer.from(letters(size))]) {
        client.send(message);
        assert.deepEqual(await client.next(), message);
      }
    }
    assert.deepEqual(await client.close(1000), { code: 1000, reason: '' });
  });

  course('a ping gets its pong', async (url) => {
    const client = await open(url);
    for (const payload of [Buffer.from('are you there?'), Buffer.alloc(125)]) {
      client.socket.ping(payload);
      assert.deepEqual(await once(client.socket, 'pong'), [payload]);
    }
    await client.close(1000);
  });

  course('a close code comes back', async (url) => {
    // RFC 6455 section 5.5.1
    for (const [code, reason] of [
      [1000, ''],
      [1000, 'bye'],
      [4321, 'for a reason of its own'],
    ]) {
      const client = await open(url);
      assert.equal((await client.close(code, reason)).code, code);
    }
  });

  course('a message over the limit is answered with 1009', async (url) => {
    const client = await open(url);
    client.send(letters(MIB + 1));
    const { code, reason } = await client.closed;
    assert.equal(code, 1009);
    assert.match(reason, /1048576/);
  });

  course('text that is not UTF-8 is answered with 1007', async (url) => {
    const client = await open(url);
    client.socket.send(Buffer.from([0x61, 0x62, 0x63, 0xff]), { binary: false });
    const { code, reason } = await client.closed;
    assert.equal(code, 1007);
    assert.match(reason, /byte 3/);
  });

  course('a refused publish is answered with 1008', async (url) => {
    const client = await open(`${url}?role=subscriber`);
    client.send('refused');
    const { code, reason } = await client.closed;
    assert.equal(code, 1008);
    assert.notEqual(reason, '');
  });

  course('a reader that stopped is told 4008', async (_, topic, t) => {
    const small = await startServer('--shards', '1', '--max-message-bytes', '64KiB', '--topic-log-bytes', '128KiB');
    t.after(() => small.stop());
    const client = await open(`ws://${small.authority}/topics/${topic}?role=subscriber`);
    client.socket.pause();
    while ((await small.metric('lapped_total')) === 0) {
      const body = randomBytes(65_536);
      await fetch(`http://${small.authority}/topics/${topic}`, { method: 'POST', body, headers: BINARY });
    }
    client.socket.resume();
    const { code, reason } = await client.closed;
    assert.equal(code, 4008);
    assert.notEqual(reason, '');
  });

  course('the end of the server is told with 1001', async (_, topic, t) => {
    const ending = await startServer();
    t.after(() => ending.stop());
    const client = await open(`ws://${ending.authority}/topics/${topic}`);
    await ending.stop();
    const { code, reason } = await client.closed;
    assert.equal(code, 1001);
    assert.notEqual(reason, '');
  });

  course('the JSON dialect goes round', async (_, topic) => {
    const client = await open(`ws://${server.authority}/ws`, { protocols: ['corecast.json.v1'] });
    assert.equal(client.socket.protocol, 'corecast.json.v1');
    client.send(JSON.stringify({ op: 'subscribe', topic, id: 1 }));
    const { epoch, ...subscribed } = JSON.parse(await client.next());
    assert.deepEqual(subscribed, { op: 'subscribed', topic, offset: 0, id: 1 });
    const data = { text: 'é €', list: [1, 2.5, null, true], long: letters(10_000) };
    client.send(JSON.stringify({ op: 'publish', topic, data, id: 'two' }));
    const received = [JSON.parse(await client.next()), JSON.parse(await client.next())];
    received.sort((a, b) => a.op.localeCompare(b.op));
    assert.deepEqual(received, [
      { op: 'message', topic, offset: 1, data },
      { op: 'published', offset: 1, id: 'two' },
    ]);
    await client.close(1000);
  });
}
