// The page and the client against the real server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { Corecast } from '../../../server/web/client.js';
import { startServer, startServerAt } from '../server.mjs';
import { openPage, rowCount, rows, startBrowser } from './browser.js';

let server;
let browser;
let reason; // to skip everything
before(async () => {
  server = await startServer();
  reason = await lack(server.authority);
  if (!reason) browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server.stop();
});

// Skips itself where there is no page; the name makes a topic that no other test uses.
function serverTest(name, body) {
  test(name, (t) => (reason ? t.skip(reason) : body(t, name.replaceAll(/[^a-z0-9]+/gi, '-'))));
}

// In the browser ------------------------------------------------------------------------------------------------------

serverTest('the page subscribes, publishes and reads', async (t, topic) => {
  const page = await open(t, topic);
  await publish(page, 'plain <b>text</b>');
  await page.getByLabel('JSON').check();
  await publish(page, '{"a": [1, 2.50]}');
  const posted = await fetch(`http://${server.authority}/topics/${topic}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: Uint8Array.of(0, 255, 128),
  });
  assert.equal(posted.status, 200);
  await rowCount(page, 3);
  assert.deepEqual(await rows(page), [
    [topic, '1', 'text', 'plain <b>text</b>'],
    [topic, '2', 'JSON', '{"a":[1,2.5]}'],
    [topic, '3', 'binary, 3 B', '00 ff 80'],
  ]);
});

serverTest('the page reloads into the same topics', async (t, topic) => {
  const page = await open(t, topic);
  await publish(page, 'one');
  await rowCount(page, 1);
  await page.reload();
  await page.getByText('0 messages · offset 1').waitFor();
  await page.fill('#to', topic);
  await publish(page, 'two');
  await rowCount(page, 1);
  assert.deepEqual(await rows(page), [[topic, '2', 'text', 'two']]);
});

serverTest('the page unsubscribes', async (t, topic) => {
  const page = await open(t, topic);
  await page.getByRole('button', { name: `Unsubscribe from ${topic}` }).click();
  await page.locator('#topics li').waitFor({ state: 'detached' });
  await publish(page, 'unheard');
  await page.fill('#topic', topic);
  await page.press('#topic', 'Enter');
  await page.getByText('0 messages · offset 1').waitFor();
  await publish(page, 'heard');
  await rowCount(page, 1);
  assert.deepEqual(await rows(page), [[topic, '2', 'text', 'heard']]);
});

serverTest('the page comes back after the server was restarted', async (t, topic) => {
  const page = await open(t, topic);
  await publish(page, 'before');
  await rowCount(page, 1);
  await server.stop();
  await page.locator('#state').getByText('disconnected').waitFor();
  server = await startServerAt(server.port);
  await page.waitForFunction(() => {
    document.querySelector('#retry:not([disabled])')?.click();
    return document.querySelector('#state').dataset.state === 'open';
  });
  await page.locator('#topics').getByText('reset: offsets start anew').waitFor();
  await publish(page, 'after');
  await page.locator('#messages .data', { hasText: 'after' }).waitFor();
  assert.deepEqual((await rows(page)).at(-1), [topic, '1', 'text', 'after']);
});

serverTest('the page may do what its policy allows, and nothing is complained about', async (t) => {
  const answer = await fetch(`http://${server.authority}/`);
  assert.match(answer.headers.get('content-security-policy'), /^default-src 'none'; script-src 'self'/);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  for (const script of ['/page.js', '/client.js']) {
    const { status, headers } = await fetch(`http://${server.authority}${script}`);
    assert.equal(status, 200);
    assert.match(headers.get('content-type'), /^text\/javascript/);
  }
  await open(t);
});

// In node -------------------------------------------------------------------------------------------------------------

serverTest('the client subscribes to several topics and gets what each is sent', async (t, topic) => {
  const client = connect(t);
  await client.ready();
  const [a, b] = [await follow(client, `${topic}-a`), await follow(client, `${topic}-b`)];
  assert.deepEqual(await client.publish(`${topic}-a`, { deep: [null, true, 'é'] }), { offset: 1 });
  assert.deepEqual(await client.publish(`${topic}-b`, 'string'), { offset: 1 });
  assert.deepEqual(await client.publish(`${topic}-a`, 3), { offset: 2 });
  assert.deepEqual([await a.next(), await a.next(), await b.next()], [{ deep: [null, true, 'é'] }, 3, 'string']);
  assert.ok((await client.ping()) >= 0);
});

serverTest('the client is told why a topic is refused', async (t) => {
  const client = connect(t);
  await client.ready();
  const refused = new Promise((resolve) => client.subscribe('not a topic').addEventListener('error', resolve));
  assert.equal((await refused).code, 'bad_topic');
  await assert.rejects(client.publish('not a topic', 1), { code: 'bad_topic' });
});

serverTest('a topic is subscribed to again right after it was unsubscribed from', async (t, topic) => {
  const client = connect(t);
  await client.ready();
  for (let round = 1; round <= 20; round += 1) {
    const feed = await follow(client, topic);
    assert.deepEqual(await client.publish(topic, round), { offset: round });
    assert.equal(await feed.next(), round);
    feed.subscription.unsubscribe();
  }
});

serverTest('what was missed during a lost connection is told exactly', async (t, topic) => {
  const sockets = [];
  class Socket extends WebSocket {
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
  }
  const client = connect(t, { WebSocket: Socket });
  const publisher = connect(t);
  await Promise.all([client.ready(), publisher.ready()]);
  // Keeps the topic from being forgotten.
  await follow(publisher, topic);
  const feed = await follow(client, topic);
  await publisher.publish(topic, 'seen');
  assert.equal(await feed.next(), 'seen');
  const missed = new Promise((resolve) => feed.subscription.addEventListener('missed', resolve));
  const lost = new Promise((resolve) => client.addEventListener('state', resolve, { once: true }));
  sockets.at(-1).terminate();
  await lost;
  for (const data of ['two', 'three', 'four']) await publisher.publish(topic, data);
  client.retry();
  const { from, to } = await missed;
  assert.deepEqual([from, to], [2, 4]);
  await publisher.publish(topic, 'five');
  assert.equal(await feed.next(), 'five');
});

// Words ---------------------------------------------------------------------------------------------------------------

async function open(t, topic) {
  const { page, complaints } = await openPage(browser, `http://${server.authority}/`);
  t.after(async () => {
    await page.context().close();
    assert.deepEqual(complaints, [], 'on the console');
  });
  if (topic) {
    await page.fill('#topic', topic);
    await page.press('#topic', 'Enter');
    await page.getByText('0 messages · offset').waitFor();
  }
  return page;
}

async function publish(page, data) {
  await page.fill('#data', data);
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.locator('#published').getByText('offset').waitFor();
}

function connect(t, options) {
  const client = new Corecast(`ws://${server.authority}/ws`, { WebSocket, ...options });
  t.after(() => client.close());
  return client;
}

// Subscribed; `next` awaits the data of one message after the other.
async function follow(client, topic) {
  const messages = [];
  const waiting = [];
  const subscription = client.subscribe(topic, ({ data }) => {
    const next = waiting.shift();
    if (next) next(data);
    else messages.push(data);
  });
  const next = async () => {
    if (messages.length > 0) return messages.shift();
    return new Promise((resolve) => waiting.push(resolve));
  };
  await new Promise((resolve, reject) => {
    subscription.addEventListener('subscribed', resolve);
    subscription.addEventListener('error', reject);
  });
  return { next, subscription };
}

// Why this build can't be tested with a browser, or undefined.
async function lack(authority) {
  const answer = await fetch(`http://${authority}/`);
  const isPage = answer.ok && answer.headers.get('content-type')?.startsWith('text/html');
  return isPage && (await answer.text()).includes('<title>corecast</title>') ? undefined : 'this build has no page';
}
