// corecast's reference client: many topics over one WebSocket, kept alive. No dependency, no build step.
//
//   import { Corecast } from "/client.js";
//
//   const client = new Corecast();                        // this page's host; else new Corecast("wss://host/ws")
//   const news = client.subscribe("news", (message) => console.log(message.offset, message.data));
//   news.addEventListener("missed", ({ from, to }) => console.log(`messages ${from} to ${to} never came`));
//   news.addEventListener("reset", () => console.log("offsets start anew; anything may have been missed"));
//   client.addEventListener("state", ({ state, reason }) => console.log(state, reason));
//   await client.ready();
//   const { offset } = await client.publish("news", { any: "JSON value" });
//   news.unsubscribe();
//   client.close();
//
// Corecast                          an EventTarget
//   .state                          "connecting", "open", "waiting" (for the next attempt) or "closed" (for good)
//   .url                            read at every attempt; assign a new one when, say, a token in it was replaced
//   .subscribe(topic, listener?)    gives a Subscription; may be called in any state but "closed"; once for each topic
//   .publish(topic, data)           promises { offset }: the server has it
//   .ping()                         promises the round trip in milliseconds
//   .ready()                        promises an open connection
//   .retry()                        while waiting: tries now
//   .close()                        closes for good
//   event "state"                   state; code and reason of the close that led to it; delay until the next attempt, in ms
//   event "error"                   code, message: what the server refused and no call of yours is told otherwise
//
// Subscription                      an EventTarget
//   .topic, .unsubscribe()
//   event "subscribed"              topic, offset, epoch: whatever comes after that offset will arrive. After each reconnect too
//   event "message"                 topic, offset, data; data is the value published as JSON, a string published as text
//                                   (encoding "text"), or a Uint8Array published as bytes (encoding "base64")
//   event "missed"                  topic, from, to: these offsets, both inclusive, will not arrive. The server skipped them
//                                   for a slow reader, or they were published while the connection was down
//   event "reset"                   topic, offset, epoch: the server lost the topic's state and numbers it anew, so what was
//                                   missed can't be told
//   event "error"                   code, message: the subscription was refused. It is over, except after "overloaded", when it
//                                   is tried again later
//
// A promise is rejected with a CorecastError whose code is one of the server's (bad_request, bad_topic, forbidden, too_large,
// too_many, overloaded, not_subscribed), "disconnected" or "closed". Nothing is published a second time behind your back: after
// "disconnected" the server may have the message or not, and only you know whether it may be sent twice.

const SUBPROTOCOL = 'corecast.json.v1';

// Closes after which the same client would be closed again: it broke the protocol (RFC 6455 §7.4.1), or is not allowed.
const FINAL_CODES = new Set([1002, 1003, 1007, 1008, 1009, 1010, 4001, 4003, 4004]);
const DRAIN_CODE = 4012;
const LONGEST_DRAIN = 3_600_000;

// Times in milliseconds. The rest is there for tests and for hosts without a WebSocket of their own.
const DEFAULTS = {
  firstDelay: 5_000, // before the first new attempt: a random part of it
  maxDelay: 30_000, // no delay is longer; and a connection that lasted as long counts as a success
  connectTimeout: 15_000,
  heartbeat: 30_000, // of silence, then a ping
  heartbeatTimeout: 10_000, // without any frame after that ping, then a new connection
  WebSocket: globalThis.WebSocket,
  random: Math.random,
  clock: {
    now: () => performance.now(),
    setTimeout: (action, delay) => setTimeout(action, delay),
    clearTimeout: (timer) => clearTimeout(timer),
  },
};

export class CorecastError extends Error {
  name = 'CorecastError';

  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Corecast extends EventTarget {
  #options;
  #state = 'connecting';
  #socket = null;
  #timer; // the one thing this client waits for: an opening, a heartbeat, or the next attempt
  #attempts = 0; // since the last connection that lasted
  #openedAt = -Infinity;
  #heardAt = -Infinity;
  #pingedAt = -Infinity;
  #feeds = new Map(); // by topic: what the page subscribed to, whether the server knows of it or not
  #requests = new Map(); // by id: who is told the answer, as (error, answer)
  #lastId = 0;

  constructor(url = urlOfThisPage(), options = {}) {
    super();
    this.url = url;
    this.#options = { ...DEFAULTS, ...options };
    this.#connect();
  }

  get state() {
    return this.#state;
  }

  subscribe(topic, listener) {
    if (this.#state === 'closed') throw new CorecastError('closed', 'this client is closed');
    if (this.#feeds.has(topic)) throw new CorecastError('bad_request', `already subscribed to ${topic}`);
    const subscription = new Subscription(topic, () => this.#unsubscribe(feed));
    const feed = { topic, subscription, isRequested: false, isLive: false, offset: 0, epoch: null, refusals: 0 };
    this.#feeds.set(topic, feed);
    if (listener) subscription.addEventListener('message', listener);
    if (this.#state === 'open') this.#requestFeed(feed);
    return subscription;
  }

  async publish(topic, data) {
    const { offset } = await this.#call({ op: 'publish', topic, data });
    return { offset };
  }

  async ping() {
    const began = this.#options.clock.now();
    await this.#call({ op: 'ping' });
    return this.#options.clock.now() - began;
  }

  ready() {
    return new Promise((resolve, reject) => {
      const settle = () => {
        if (this.#state === 'open') resolve();
        else if (this.#state === 'closed') reject(new CorecastError('closed', 'this client is closed'));
        else return;
        this.removeEventListener('state', settle);
      };
      this.addEventListener('state', settle);
      settle();
    });
  }

  retry() {
    if (this.#state === 'waiting') this.#connect();
  }

  close() {
    if (this.#state !== 'closed') this.#finish(1000, '');
  }

  // The connection -----------------------------------------------------------------------------------------------

  #connect() {
    const { WebSocket, connectTimeout } = this.#options;
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    // Events of a socket that was given up are nobody's business.
    const ifCurrent = (action) => (event) => socket === this.#socket && action(event);
    socket.onopen = ifCurrent(() => this.#opened());
    socket.onmessage = ifCurrent(({ data }) => this.#received(data));
    socket.onclose = ifCurrent(({ code, reason }) => this.#lost(code, reason));
    socket.onerror = () => {}; // says nothing, and a close follows
    this.#socket = socket;
    this.#wait(connectTimeout, () => this.#lost(1006, 'the server did not answer'));
    this.#enter('connecting');
  }

  #opened() {
    this.#openedAt = this.#heardAt = this.#options.clock.now();
    this.#watch();
    this.#enter('open');
    for (const feed of this.#feeds.values()) if (!feed.isRequested) this.#requestFeed(feed);
  }

  #lost(code, reason) {
    if (FINAL_CODES.has(code)) return this.#finish(code, reason);
    const delay = this.#delayAfter(code, reason);
    this.#giveUpSocket(new CorecastError('disconnected', reason || `the connection was lost (${code})`));
    this.#wait(delay, () => this.#connect());
    this.#enter('waiting', { code, reason, delay });
  }

  #finish(code, reason) {
    this.#giveUpSocket(new CorecastError('closed', reason || 'this client is closed'));
    this.#feeds.clear();
    this.#enter('closed', { code, reason });
  }

  // RFC 6455 §7.2.3: the first delay is random, so that not all clients come back at once; the following ones grow.
  #delayAfter(code, reason) {
    const { clock, random, firstDelay, maxDelay } = this.#options;
    if (clock.now() - this.#openedAt >= maxDelay && this.#state === 'open') this.#attempts = 0;
    const stated = code === DRAIN_CODE && /\d+(\.\d+)?/.exec(reason);
    // Never sooner than the server said, nor all in the same moment.
    if (stated) return Math.min(stated[0] * 1000, LONGEST_DRAIN) * (1 + random() / 4);
    const delay = backOff(this.#attempts, firstDelay, maxDelay, random());
    this.#attempts += 1;
    return delay;
  }

  // Lets go of everything that belongs to the present connection.
  #giveUpSocket(error) {
    const { clock } = this.#options;
    const socket = this.#socket;
    const requests = [...this.#requests.values()];
    this.#socket = null;
    this.#requests.clear();
    clock.clearTimeout(this.#timer);
    for (const feed of this.#feeds.values()) {
      feed.isLive = feed.isRequested = false;
      clock.clearTimeout(feed.timer);
    }
    socket?.close(1000);
    for (const answered of requests) answered(error);
  }

  // A browser shows no pings of the server, so silence has to be broken from here. Timers of hidden pages come late: what
  // counts is whether anything was heard since the last ping.
  #watch() {
    const { clock, heartbeat, heartbeatTimeout } = this.#options;
    const silence = clock.now() - this.#heardAt;
    if (silence < heartbeat) {
      this.#wait(heartbeat - silence, () => this.#watch());
    } else if (this.#pingedAt <= this.#heardAt) {
      this.#pingedAt = clock.now();
      this.#send({ op: 'ping' });
      this.#wait(heartbeatTimeout, () => this.#watch());
    } else {
      this.#lost(1006, 'the server fell silent');
    }
  }

  #wait(delay, action) {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(action, delay);
  }

  #enter(state, { code, reason = '', delay } = {}) {
    this.#state = state;
    emit(this, 'state', { state, code, reason, delay });
  }

  // Requests and answers -----------------------------------------------------------------------------------------

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  // `answered` is called in the turn in which the answer came: the next frame may depend on it.
  #request(message, answered) {
    if (this.#state === 'closed') return answered(new CorecastError('closed', 'this client is closed'));
    if (this.#state !== 'open') return answered(new CorecastError('disconnected', 'there is no connection'));
    const id = (this.#lastId += 1);
    this.#send({ ...message, id });
    this.#requests.set(id, answered);
  }

  #call(message) {
    return new Promise((resolve, reject) => {
      this.#request(message, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  #received(data) {
    this.#heardAt = this.#options.clock.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return emit(this, 'error', { code: 'bad_frame', message: 'the server sent something else than JSON' });
    }
    if (frame.op === 'message') return this.#message(frame);
    if (frame.op === 'missed') return this.#missed(this.#feeds.get(frame.topic), frame.from, frame.to);
    const error = frame.op === 'error' ? new CorecastError(frame.code, frame.message) : null;
    const answered = this.#requests.get(frame.id);
    this.#requests.delete(frame.id);
    if (answered) answered(error, frame);
    else if (error) emit(this, 'error', { code: error.code, message: error.message });
  }

  // Topics -------------------------------------------------------------------------------------------------------

  #requestFeed(feed) {
    feed.isRequested = true;
    this.#request({ op: 'subscribe', topic: feed.topic }, (error, answer) => {
      if (this.#feeds.get(feed.topic) !== feed) return; // unsubscribed meanwhile
      if (error) this.#refused(feed, error);
      else this.#subscribed(feed, answer);
    });
  }

  #subscribed(feed, { offset, epoch }) {
    const { topic, subscription } = feed;
    const before = { offset: feed.offset, epoch: feed.epoch };
    Object.assign(feed, { isLive: true, refusals: 0, offset, epoch });
    if (before.epoch !== null && before.epoch !== epoch) emit(subscription, 'reset', { topic, offset, epoch });
    else if (before.epoch !== null) this.#missed(feed, before.offset + 1, offset);
    emit(subscription, 'subscribed', { topic, offset, epoch });
  }

  #refused(feed, { code, message }) {
    const { clock, random, firstDelay, maxDelay } = this.#options;
    if (code === 'disconnected' || code === 'closed') return; // asked again with the next connection, if there is one
    if (code === 'overloaded') {
      const delay = backOff(feed.refusals, firstDelay, maxDelay, random());
      feed.refusals += 1;
      feed.timer = clock.setTimeout(() => this.#requestFeed(feed), delay);
    } else {
      this.#feeds.delete(feed.topic);
    }
    emit(feed.subscription, 'error', { code, message });
  }

  #unsubscribe(feed) {
    if (this.#feeds.get(feed.topic) !== feed) return;
    this.#feeds.delete(feed.topic);
    this.#options.clock.clearTimeout(feed.timer);
    if (feed.isRequested) this.#request({ op: 'unsubscribe', topic: feed.topic }, () => {});
  }

  #message({ topic, offset, data, encoding }) {
    const feed = this.#feeds.get(topic);
    if (!feed?.isLive) return; // on its way when it was unsubscribed
    this.#missed(feed, feed.offset + 1, offset - 1); // never, from a server without faults
    feed.offset = offset;
    emit(feed.subscription, 'message', { topic, offset, data: encoding === 'base64' ? bytesOf(data) : data, encoding });
  }

  #missed(feed, from, to) {
    if (!feed?.isLive || from > to) return;
    feed.offset = to;
    emit(feed.subscription, 'missed', { topic: feed.topic, from, to });
  }
}

// Made by Corecast.subscribe().
class Subscription extends EventTarget {
  #unsubscribe;

  constructor(topic, unsubscribe) {
    super();
    this.topic = topic;
    this.#unsubscribe = unsubscribe;
  }

  unsubscribe() {
    this.#unsubscribe();
  }
}

// Truncated binary exponential back-off: anywhere in 0..first, then in the upper half of 0..2 first, 0..4 first, ... 0..longest.
function backOff(attempts, first, longest, random) {
  const ceiling = Math.min(first * 2 ** attempts, longest);
  const floor = attempts === 0 ? 0 : ceiling / 2;
  return floor + random * (ceiling - floor);
}

function emit(target, type, fields) {
  target.dispatchEvent(Object.assign(new Event(type), fields));
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function urlOfThisPage() {
  const url = new URL('/ws', globalThis.location?.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
