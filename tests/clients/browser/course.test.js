// The course that every library is put through, with Chromium's own WebSocket, plain and compressed: messages of every
// length, closing from both sides, the JSON dialect. A page can't ping, but the browser answers pings.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { startServer } from '../server.mjs';
import { startBrowser } from './browser.js';

const MIB = 1 << 20;

// RFC 6455 section 5.2 has three forms of a length; the last is the largest message that the servers below take.
const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, MIB];

// A page can't choose: the browser offers compression always.
const WAYS = { plain: ['--deflate=false'], compressed: [] };

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

for (const [way, flags] of Object.entries(WAYS)) {
  let server;
  let page;
  before(async () => {
    server = await startServer('--max-message-bytes', '1MiB', '--topic-log-bytes', '2MiB', ...flags);
  });
  after(() => server?.stop());

  // `body` gets the URL of a topic of its own and a page that has `connect`, which asserts nothing: what a connection agreed
  // on is in `extensions`.
  const course = (name, body) => {
    const topic = `${name} ${way}`.replaceAll(/[^a-z0-9]+/gi, '-');
    test(`${name}, ${way}`, async (t) => {
      page ??= await openPage(server);
      await body(`ws://${server.authority}/topics/${topic}`, topic, t);
    });
  };

  // A further server, to which the page may connect too.
  const startAnother = async (t, ...more) => {
    const another = await startServer('--allow-origin', `http://${server.authority}`, ...flags, ...more);
    t.after(() => another.stop());
    return another;
  };

  course('the extension is agreed on', async (url) => {
    const extensions = await page.evaluate(async (url) => (await connect(url)).socket.extensions, url);
    assert.equal(extensions.split(';')[0], way === 'compressed' ? 'permessage-deflate' : '');
  });

  course('messages of every length come back', async (url) => {
    const failure = await page.evaluate(
      async ([url, sizes]) => {
        const client = await connect(url);
        for (const size of sizes) {
          for (const message of [letters(size), noise(size), new TextEncoder().encode(letters(size))]) {
            client.socket.send(message);
            const received = await client.next();
            const isText = typeof message === 'string';
            if (isText !== (typeof received === 'string')) return `${size} bytes came back as another kind`;
            if (!isSame(message, received)) return `${size} bytes came back as others`;
          }
        }
        return '';
      },
      [url, SIZES],
    );
    assert.equal(failure, '');
  });

  course('a ping is answered', async (_, topic, t) => {
    const pinging = await startAnother(t, '--ping-interval', '1s', '--pong-timeout', '60s');
    await page.evaluate((url) => connect(url), `ws://${pinging.authority}/topics/${topic}`);
    while ((await pinging.metric('pongs_received_total')) === 0) await setTimeout(50);
  });

  course('a close code comes back', async (url) => {
    // RFC 6455 section 5.5.1
    for (const [code, reason] of [
      [1000, ''],
      [1000, 'bye'],
      [4321, 'for a reason of its own'],
    ]) {
      const closed = await page.evaluate(
        async ([url, code, reason]) => {
          const client = await connect(url);
          client.socket.close(code, reason);
          return client.closed;
        },
        [url, code, reason],
      );
      assert.deepEqual([closed.code, closed.wasClean], [code, true]);
    }
  });

  // What the server closes with after the page has sent a message.
  const closedAfter = (url, size) =>
    page.evaluate(
      async ([url, size]) => {
        const client = await connect(url);
        client.socket.send(letters(size));
        return client.closed;
      },
      [url, size],
    );

  course('a message over the limit is answered with 1009', async (url) => {
    const { code, reason, wasClean } = await closedAfter(url, MIB + 1);
    assert.deepEqual([code, wasClean], [1009, true]);
    assert.match(reason, /1048576/);
  });

  course('a refused publish is answered with 1008', async (url) => {
    const { code, reason, wasClean } = await closedAfter(`${url}?role=subscriber`, 100);
    assert.deepEqual([code, wasClean], [1008, true]);
    assert.notEqual(reason, '');
  });

  course('the end of the server is told with 1001', async (_, topic, t) => {
    const ending = await startAnother(t);
    const client = await page.evaluateHandle((url) => connect(url), `ws://${ending.authority}/topics/${topic}`);
    await ending.stop();
    const { code, reason, wasClean } = await client.evaluate((client) => client.closed);
    assert.deepEqual([code, wasClean], [1001, true]);
    assert.notEqual(reason, '');
  });

  course('the JSON dialect goes round', async (_, topic) => {
    const data = { text: 'é €', list: [1, 2.5, null, true], long: 'x'.repeat(10_000) };
    const [protocol, { epoch, ...subscribed }, ...others] = await page.evaluate(
      async ([url, topic, data]) => {
        const client = await connect(url, ['corecast.json.v1']);
        client.socket.send(JSON.stringify({ op: 'subscribe', topic, id: 1 }));
        const subscribed = JSON.parse(await client.next());
        client.socket.send(JSON.stringify({ op: 'publish', topic, data, id: 'two' }));
        return [client.socket.protocol, subscribed, JSON.parse(await client.next()), JSON.parse(await client.next())];
      },
      [`ws://${server.authority}/ws`, topic, data],
    );
    assert.equal(protocol, 'corecast.json.v1');
    assert.deepEqual(subscribed, { op: 'subscribed', topic, offset: 0, id: 1 });
    others.sort((a, b) => a.op.localeCompare(b.op));
    assert.deepEqual(others, [
      { op: 'message', topic, offset: 1, data },
      { op: 'published', offset: 1, id: 'two' },
    ]);
  });
}

// A page of the server's origin which does nothing by itself.
async function openPage(server) {
  const context = await browser.newContext();
  await context.addInitScript(words);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`http://${server.authority}/health`);
  return page;
}

// What the functions above say inside of the page.
function words() {
  // Connected; `next` awaits one message after the other, `closed` the end.
  globalThis.connect = async (url, protocols = []) => {
    const socket = new WebSocket(url, protocols);
    socket.binaryType = 'arraybuffer';
    const messages = [];
    const waiting = [];
    socket.onmessage = ({ data }) => {
      if (waiting.length > 0) waiting.shift().resolve(data);
      else messages.push(data);
    };
    const closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason, wasClean }) => {
        for (const { reject } of waiting) reject(new Error(`closed with ${code} ${reason}`));
        resolve({ code, reason, wasClean });
      };
    });
    const next = async () => {
      if (messages.length > 0) return messages.shift();
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error(`no connection to ${url}`));
    });
    return { socket, closed, next };
  };

  // Text that a compressor makes something of.
  globalThis.letters = (size) => 'All that is published comes back. '.repeat(Math.ceil(size / 34)).slice(0, size);

  // Bytes that it makes nothing of.
  globalThis.noise = (size) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    return bytes;
  };

  globalThis.isSame = (sent, received) => {
    if (typeof sent === 'string') return sent === received;
    const bytes = new Uint8Array(received);
    return bytes.length === sent.length && bytes.every((byte, at) => byte === sent[at]);
  };
}
