// server/web/client.js on a WebSocket, a clock and a random source of the test's own: no test waits for anything.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Corecast, CorecastError } from '../../../server/web/client.js';

const EPOCH = '0123456789abcdef';

test('connects with the subprotocol and says so', () => {
  const { client, socket, states } = start({ url: 'wss://example.net/ws' });
  assert.equal(socket().url, 'wss://example.net/ws');
  assert.equal(socket().protocol, 'corecast.json.v1');
  assert.equal(client.state, 'connecting');
  socket().accept();
  assert.equal(client.state, 'open');
  assert.deepEqual(states, ['open']);
});

test('without a URL it is the host of the page, path /ws', () => {
  for (const [page, url] of [
    ['http://localhost:9001/#news', 'ws://localhost:9001/ws'],
    ['https://example.net/some/page?x=1', 'wss://example.net/ws'],
  ]) {
    globalThis.location = new URL(page);
    assert.equal(start({ url: undefined }).client.url, url);
    delete globalThis.location;
  }
});

test('subscribes when open, and at once when it is open already', () => {
  const { client, socket } = start();
  client.subscribe('a');
  assert.deepEqual(socket().sent, []);
  socket().accept();
  assert.deepEqual(socket().sent, [{ op: 'subscribe', topic: 'a', id: 1 }]);
  client.subscribe('b');
  assert.deepEqual(socket().sent.at(-1), { op: 'subscribe', topic: 'b', id: 2 });
});

test('a topic subscribed to by the listener of the open state is asked for once', () => {
  const { client, socket } = start();
  client.addEventListener('state', () => client.subscribe('a'), { once: true });
  socket().accept();
  assert.deepEqual(socket().sent, [{ op: 'subscribe', topic: 'a', id: 1 }]);
});

test('a second subscription to a topic is refused until the first has ended', () => {
  const { client } = opened();
  const first = client.subscribe('a');
  assert.throws(() => client.subscribe('a'), { name: 'CorecastError', code: 'bad_request' });
  first.unsubscribe();
  client.subscribe('a');
});

test('JSON comes as the value, text as a string, binary as bytes', () => {
  const { events, receive } = subscribed('a', 6);
  receive({ op: 'message', topic: 'a', offset: 7, data: { price: [1, null, 'x'] } });
  receive({ op: 'message', topic: 'a', offset: 8, encoding: 'text', data: 'größer' });
  receive({ op: 'message', topic: 'a', offset: 9, encoding: 'base64', data: 'AP+A' });
  receive({ op: 'message', topic: 'a', offset: 10, encoding: 'base64', data: '' });
  assert.deepEqual(events.slice(1), [
    { type: 'message', topic: 'a', offset: 7, data: { price: [1, null, 'x'] }, encoding: undefined },
    { type: 'message', topic: 'a', offset: 8, data: 'größer', encoding: 'text' },
    { type: 'message', topic: 'a', offset: 9, data: Uint8Array.of(0, 255, 128), encoding: 'base64' },
    { type: 'message', topic: 'a', offset: 10, data: new Uint8Array(0), encoding: 'base64' },
  ]);
});

test('the listener given to subscribe gets messages of its topic only', () => {
  const { client, socket } = opened();
  const heard = [];
  client.subscribe('a', ({ data }) => heard.push(['a', data]));
  client.subscribe('b', ({ data }) => heard.push(['b', data]));
  socket().answer({ op: 'subscribed', topic: 'a', offset: 0, epoch: EPOCH, id: 1 });
  socket().answer({ op: 'subscribed', topic: 'b', offset: 0, epoch: EPOCH, id: 2 });
  socket().answer({ op: 'message', topic: 'b', offset: 1, data: 1 });
  socket().answer({ op: 'message', topic: 'a', offset: 1, data: 2 });
  assert.deepEqual(heard, [['b', 1], ['a', 2]]);
});

test('an announced gap is told once', () => {
  const { events, receive } = subscribed('a', 9);
  receive({ op: 'missed', topic: 'a', from: 10, to: 19 });
  receive({ op: 'message', topic: 'a', offset: 20, data: 1 });
  assert.deepEqual(events.slice(1, 2), [{ type: 'missed', topic: 'a', from: 10, to: 19 }]);
  assert.deepEqual(types(events), ['subscribed', 'missed', 'message']);
});

test('a gap that nobody announced is told too', () => {
  const { events, receive } = subscribed('a', 9);
  receive({ op: 'message', topic: 'a', offset: 12, data: 1 });
  assert.deepEqual(events[1], { type: 'missed', topic: 'a', from: 10, to: 11 });
});

test('what was published while the connection was down is told as missed', () => {
  const { events, receive, reconnect } = subscribed('a', 4);
  receive({ op: 'message', topic: 'a', offset: 5, data: 1 });
  reconnect({ op: 'subscribed', topic: 'a', offset: 8, epoch: EPOCH, id: 2 });
  assert.deepEqual(events.slice(2), [
    { type: 'missed', topic: 'a', from: 6, to: 8 },
    { type: 'subscribed', topic: 'a', offset: 8, epoch: EPOCH },
  ]);
  receive({ op: 'message', topic: 'a', offset: 9, data: 1 });
  assert.equal(types(events).at(-1), 'message');
});

test('nothing is told as missed when nothing was', () => {
  const { events, reconnect } = subscribed('a', 4);
  reconnect({ op: 'subscribed', topic: 'a', offset: 4, epoch: EPOCH, id: 2 });
  assert.deepEqual(types(events), ['subscribed', 'subscribed']);
});

test('a new epoch is a reset, and nothing is told as missed', () => {
  const { events, receive, reconnect } = subscribed('a', 4);
  reconnect({ op: 'subscribed', topic: 'a', offset: 9, epoch: 'fedcba9876543210', id: 2 });
  assert.deepEqual(events.slice(1), [
    { type: 'reset', topic: 'a', offset: 9, epoch: 'fedcba9876543210' },
    { type: 'subscribed', topic: 'a', offset: 9, epoch: 'fedcba9876543210' },
  ]);
  receive({ op: 'message', topic: 'a', offset: 10, data: 1 });
  assert.equal(types(events).at(-1), 'message');
});

test('everything still wanted is subscribed to again', () => {
  const { client, socket, reconnect } = opened();
  client.subscribe('a');
  const b = client.subscribe('b');
  client.subscribe('c');
  b.unsubscribe();
  reconnect();
  assert.deepEqual(topicsSubscribedTo(socket()), ['a', 'c']);
});

test('after unsubscribe nothing more is heard, not even what was on its way', () => {
  const { events, receive, socket, subscription, client } = subscribed('a', 0);
  subscription.unsubscribe();
  subscription.unsubscribe();
  assert.deepEqual(socket().sent.slice(1), [{ op: 'unsubscribe', topic: 'a', id: 2 }]);
  client.subscribe('a', () => assert.fail('of the old subscription'));
  receive({ op: 'message', topic: 'a', offset: 1, data: 1 });
  receive({ op: 'missed', topic: 'a', from: 2, to: 3 });
  receive({ op: 'unsubscribed', topic: 'a', id: 2 });
  assert.deepEqual(types(events), ['subscribed']);
});

test('an answer to a subscription that was given up meanwhile is ignored', () => {
  const { client, socket } = opened();
  const subscription = client.subscribe('a');
  const events = record(subscription);
  subscription.unsubscribe();
  socket().answer({ op: 'subscribed', topic: 'a', offset: 0, epoch: EPOCH, id: 1 });
  assert.deepEqual(events, []);
});

test('a refused subscription is over', () => {
  const { client, socket, reconnect } = opened();
  const events = record(client.subscribe('a b'));
  socket().answer({ op: 'error', code: 'bad_topic', message: 'no spaces', id: 1 });
  assert.deepEqual(events, [{ type: 'error', code: 'bad_topic', message: 'no spaces' }]);
  reconnect();
  assert.deepEqual(socket().sent, []);
});

test('a subscription refused for overload is tried again, ever later', () => {
  const { client, clock, reconnect, socket } = opened({ random: () => 0.5 });
  const events = record(client.subscribe('a'));
  socket().answer({ op: 'error', code: 'overloaded', message: 'later', id: 1 });
  clock.advance(2_499);
  assert.equal(socket().sent.length, 1);
  clock.advance(1);
  assert.deepEqual(socket().sent.at(-1), { op: 'subscribe', topic: 'a', id: 2 });
  socket().answer({ op: 'error', code: 'overloaded', message: 'later', id: 2 });
  clock.advance(7_499);
  assert.equal(socket().sent.length, 2);
  clock.advance(1);
  socket().answer({ op: 'subscribed', topic: 'a', offset: 0, epoch: EPOCH, id: 3 });
  assert.deepEqual(types(events), ['error', 'error', 'subscribed']);
  reconnect();
  socket().answer({ op: 'error', code: 'overloaded', message: 'later', id: 4 });
  clock.advance(2_500);
  assert.equal(socket().sent.length, 2);
});

test('a subscription that waits for its next attempt can be ended', () => {
  const { client, clock, socket } = opened();
  const subscription = client.subscribe('a');
  socket().answer({ op: 'error', code: 'overloaded', message: 'later', id: 1 });
  subscription.unsubscribe();
  clock.advance(5_000);
  assert.equal(socket().sent.filter(({ op }) => op === 'subscribe').length, 1);
});

test('publish gives the offset of its own answer', async () => {
  const { client, socket } = opened();
  const first = client.publish('a', { x: 1 });
  const second = client.publish('b', 'text');
  assert.deepEqual(socket().sent, [
    { op: 'publish', topic: 'a', data: { x: 1 }, id: 1 },
    { op: 'publish', topic: 'b', data: 'text', id: 2 },
  ]);
  socket().answer({ op: 'published', offset: 70, id: 2 });
  socket().answer({ op: 'published', offset: 7, id: 1 });
  assert.deepEqual([await first, await second], [{ offset: 7 }, { offset: 70 }]);
});

test('a refused publish says why', async () => {
  const { client, socket } = opened();
  const published = client.publish('a', 1);
  socket().answer({ op: 'error', code: 'forbidden', message: 'see --allow-anonymous-publish', id: 1 });
  await assert.rejects(published, { name: 'CorecastError', code: 'forbidden', message: 'see --allow-anonymous-publish' });
});

test('publishes without an answer are rejected when the connection is lost, and not sent again', async () => {
  const { client, socket, reconnect } = opened();
  const published = client.publish('a', 1);
  reconnect();
  await assert.rejects(published, { code: 'disconnected' });
  assert.deepEqual(socket().sent, []);
});

test('publish without a connection is rejected at once', async () => {
  const { client, socket } = start();
  await assert.rejects(client.publish('a', 1), { code: 'disconnected' });
  socket().accept();
  client.close();
  await assert.rejects(client.publish('a', 1), { code: 'closed' });
});

test('ping gives the round trip', async () => {
  const { client, clock, socket } = opened();
  const ping = client.ping();
  clock.advance(12);
  socket().answer({ op: 'pong', id: 1 });
  assert.equal(await ping, 12);
});

test('ready waits for the connection, and fails with a closed client', async () => {
  const { client, socket } = start();
  const ready = client.ready();
  socket().accept();
  await ready;
  await client.ready();
  client.close();
  await assert.rejects(client.ready(), CorecastError);
});

test('errors that answer no request are events of the client', () => {
  const { client, socket } = opened();
  const events = record(client);
  socket().answer({ op: 'error', code: 'bad_request', message: 'not JSON' });
  socket().onmessage({ data: 'hello' });
  assert.deepEqual(events, [
    { type: 'error', code: 'bad_request', message: 'not JSON' },
    { type: 'error', code: 'bad_frame', message: 'the server sent something else than JSON' },
  ]);
});

// Reconnecting (RFC 6455 §7.2.3) --------------------------------------------------------------------------------------

test('the first delay is a random part of five seconds, the next ones grow up to thirty', () => {
  for (const [random, delays] of [
    [0, [0, 5_000, 10_000, 15_000, 15_000]],
    [0.5, [2_500, 7_500, 15_000, 22_500, 22_500]],
    [1, [5_000, 10_000, 20_000, 30_000, 30_000]],
  ]) {
    const { clock, socket, events } = opened({ random: () => random });
    for (const delay of delays) {
      socket().drop(1006);
      assert.deepEqual(events.at(-1), { type: 'state', state: 'waiting', code: 1006, reason: '', delay });
      const before = sockets.length;
      clock.advance(delay - 1);
      assert.equal(sockets.length, before);
      clock.advance(1);
      assert.equal(sockets.length, before + 1);
    }
  }
});

test('a connection that lasted makes the next delay a first one, a short one does not', () => {
  const { clock, socket, events } = opened({ random: () => 1 });
  const delayAfter = (age) => {
    socket().accept();
    for (let second = 0; second < age; second += 1) {
      clock.advance(1_000);
      socket().answer({ op: 'pong' });
    }
    socket().drop(4013, 'overloaded');
    const { delay } = events.at(-1);
    clock.advance(delay);
    return delay;
  };
  assert.deepEqual([1, 29, 30, 1].map(delayAfter), [5_000, 10_000, 5_000, 10_000]);
});

for (const code of [1002, 1003, 1007, 1008, 1009, 1010, 4001, 4003, 4004]) {
  test(`after close code ${code} it does not come back`, async () => {
    const { client, clock, socket, events } = opened();
    client.subscribe('a');
    const published = client.publish('a', 1);
    socket().drop(code, 'never');
    assert.deepEqual(events.at(-1), { type: 'state', state: 'closed', code, reason: 'never', delay: undefined });
    assert.equal(clock.timers.size, 0);
    await assert.rejects(published, { code: 'closed', message: 'never' });
    assert.throws(() => client.subscribe('b'), { code: 'closed' });
  });
}

for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4008, 4009, 4010, 4011, 4012, 4013]) {
  test(`after close code ${code} it comes back`, () => {
    const { client, clock, socket } = opened();
    socket().drop(code);
    assert.equal(client.state, 'waiting');
    clock.advance(5_000);
    assert.equal(client.state, 'connecting');
  });
}

test('a drain is given the time that it states, and up to a quarter more', () => {
  for (const [reason, random, delay] of [
    ['draining: retry after 12 s', 0, 12_000],
    ['draining: retry after 12 s', 1, 15_000],
    ['2.5', 0, 2_500],
    ['99999999 s', 0, 3_600_000],
    ['draining', 1, 5_000],
  ]) {
    const { socket, events } = opened({ random: () => random });
    socket().drop(4012, reason);
    assert.equal(events.at(-1).delay, delay);
  }
});

test('numbers in the reasons of other closes mean nothing', () => {
  const { socket, events } = opened({ random: () => 0 });
  socket().drop(4008, '120 messages behind');
  assert.equal(events.at(-1).delay, 0);
});

test('retry does not wait, and is nothing in other states', () => {
  const { client, clock, socket } = opened();
  client.retry();
  socket().drop(1006);
  client.retry();
  assert.equal(client.state, 'connecting');
  client.retry();
  assert.equal(sockets.length, 2);
  assert.equal(clock.timers.size, 1);
});

test('a new URL is used from the next attempt on', () => {
  const { client, socket } = opened();
  client.url = 'ws://example.net/ws?token=new';
  socket().drop(4009, 'token expired');
  client.retry();
  assert.equal(socket().url, 'ws://example.net/ws?token=new');
});

test('an attempt that gets no answer is given up', () => {
  const { clock, socket, events } = start();
  clock.advance(15_000);
  assert.equal(socket().closedWith, 1000);
  assert.equal(events.at(-1).state, 'waiting');
  assert.equal(events.at(-1).reason, 'the server did not answer');
});

// Heartbeat -----------------------------------------------------------------------------------------------------------

test('thirty seconds of silence are broken with a ping, and ten more with a new connection', () => {
  const { clock, socket, events } = opened();
  clock.advance(29_999);
  assert.deepEqual(socket().sent, []);
  clock.advance(1);
  assert.deepEqual(socket().sent, [{ op: 'ping' }]);
  clock.advance(9_999);
  assert.equal(events.at(-1).state, 'open');
  clock.advance(1);
  assert.deepEqual([events.at(-1).state, events.at(-1).reason], ['waiting', 'the server fell silent']);
  assert.equal(socket().closedWith, 1000);
});

test('any frame is a sign of life', () => {
  const { client, clock, receive, socket } = subscribed('a', 0);
  clock.advance(20_000);
  receive({ op: 'message', topic: 'a', offset: 1, data: 1 });
  clock.advance(29_999);
  assert.equal(socket().sent.length, 1);
  clock.advance(1);
  assert.deepEqual(socket().sent.at(-1), { op: 'ping' });
  receive({ op: 'message', topic: 'a', offset: 2, data: 1 });
  clock.advance(29_999);
  assert.equal(socket().sent.length, 2);
  assert.equal(client.state, 'open');
});

test('a timer that comes late, as in hidden pages, makes a ping and no loss', () => {
  const { client, clock, socket } = opened();
  clock.late(3_600_000);
  assert.deepEqual(socket().sent, [{ op: 'ping' }]);
  socket().answer({ op: 'pong' });
  clock.late(3_600_000);
  assert.equal(socket().sent.length, 2);
  assert.equal(client.state, 'open');
});

test('what a socket that was given up still says is ignored', () => {
  const { client, clock, socket, events } = opened();
  const old = socket();
  clock.advance(40_000);
  client.retry();
  socket().accept();
  const heard = events.length;
  old.onopen({});
  old.answer({ op: 'error', code: 'bad_request', message: 'late' });
  old.drop(4003, 'late');
  assert.equal(events.length, heard);
  assert.equal(client.state, 'open');
});

// Closing -------------------------------------------------------------------------------------------------------------

test('close ends everything, in every state', () => {
  const situations = [
    ({ client }) => client.subscribe('a'), // connecting
    ({ client, socket }) => {
      socket().accept();
      client.subscribe('a');
      socket().answer({ op: 'error', code: 'overloaded', message: 'later', id: 1 });
    },
    ({ socket }) => socket().drop(1006),
  ];
  for (const prepare of situations) {
    const world = start();
    prepare(world);
    const { client, clock, socket, events } = world;
    client.close();
    assert.equal(clock.timers.size, 0);
    assert.deepEqual(events.at(-1), { type: 'state', state: 'closed', code: 1000, reason: '', delay: undefined });
    const heard = events.length;
    socket().drop(1000);
    client.close();
    client.retry();
    assert.equal(events.length, heard);
    assert.equal(sockets.length, 1);
  }
});

// The world -----------------------------------------------------------------------------------------------------------

const sockets = [];

class FakeSocket {
  sent = [];
  closedWith = null;

  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    sockets.push(this);
  }

  send(text) {
    assert.equal(this.closedWith, null, 'sent after close');
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith ??= code;
  }

  accept() {
    this.onopen({});
  }

  answer(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  drop(code, reason = '') {
    this.onclose({ code, reason });
  }
}

class FakeClock {
  time = 0;
  timers = new Map();
  #last = 0;

  now = () => this.time;
  setTimeout = (action, delay) => {
    assert.ok(delay >= 0 && delay < 2 ** 31, `a delay of ${delay}`);
    this.timers.set((this.#last += 1), { action, due: this.time + delay });
    return this.#last;
  };
  clearTimeout = (timer) => this.timers.delete(timer);

  advance(span) {
    const end = this.time + span;
    for (let steps = 0; steps < 10_000; steps += 1) {
      const [id, next] = [...this.timers].sort(([, a], [, b]) => a.due - b.due)[0] ?? [];
      if (next === undefined || next.due > end) {
        this.time = end;
        return;
      }
      this.timers.delete(id);
      this.time = Math.max(this.time, next.due);
      next.action();
    }
    assert.fail('timers without end');
  }

  // The time passes at once; then whatever was due runs, late.
  late(span) {
    this.time += span;
    this.advance(0);
  }
}

// A client that has called `new WebSocket` once.
function start({ random = () => 0.5, ...given } = {}) {
  sockets.length = 0;
  const clock = new FakeClock();
  const { url, ...options } = { url: 'ws://server/ws', ...given };
  const client = new Corecast(url, { WebSocket: FakeSocket, clock, random, ...options });
  const events = record(client);
  const states = [];
  client.addEventListener('state', ({ state }) => states.push(state));
  const socket = () => sockets.at(-1);
  const reconnect = (answer) => {
    socket().drop(1006);
    client.retry();
    socket().accept();
    if (answer) socket().answer(answer);
  };
  return { client, clock, events, reconnect, socket, states };
}

function opened(options) {
  const world = start(options);
  world.socket().accept();
  return world;
}

// `events` are those of the subscription.
function subscribed(topic, offset) {
  const world = opened();
  const subscription = world.client.subscribe(topic);
  const events = record(subscription);
  const receive = (frame) => world.socket().answer(frame);
  receive({ op: 'subscribed', topic, offset, epoch: EPOCH, id: 1 });
  return { ...world, events, receive, subscription };
}

function record(target) {
  const events = [];
  for (const type of ['state', 'subscribed', 'message', 'missed', 'reset', 'error']) {
    target.addEventListener(type, (event) => {
      const fields = Object.entries(event).filter(([name]) => name !== 'isTrusted');
      events.push({ type, ...Object.fromEntries(fields) });
    });
  }
  return events;
}

const types = (events) => events.map(({ type }) => type);

const topicsSubscribedTo = (socket) => socket.sent.filter(({ op }) => op === 'subscribe').map(({ topic }) => topic);
