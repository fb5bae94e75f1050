// A small stand-in for corecast: the page, the JSON dialect and POST, on one port. It does what the real server can't be made
// to do: lose topics, announce gaps, fall silent, close with any code.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const WEB = new URL('../../../server/web/', import.meta.url);
const FILES = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/client.js': ['client.js', 'text/javascript; charset=utf-8'],
  '/page.js': ['page.js', 'text/javascript; charset=utf-8'],
};
// As the server sends it: what the page may do is a part of what is tested.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; " +
  "base-uri 'none'; form-action 'none'";
const TOPIC = /^[A-Za-z0-9._\-:~=@]{1,255}$/;

export async function startFake() {
  const fake = new Fake();
  await fake.listen(0);
  return fake;
}

class Fake {
  topics = new Map(); // name: { offset, epoch }
  connections = new Set(); // { socket, topics }
  requests = []; // all that clients sent over WebSocket
  refusals = []; // the codes with which the next subscriptions are refused
  isSilent = false; // answers nothing

  get authority() {
    return `127.0.0.1:${this.port}`;
  }

  async listen(port) {
    this.http = createServer((request, response) => this.#answer(request, response));
    const upgrades = new WebSocketServer({ noServer: true, handleProtocols: () => 'corecast.json.v1' });
    this.http.on('upgrade', (request, socket, head) => {
      upgrades.handleUpgrade(request, socket, head, (accepted) => this.#connected(accepted));
    });
    this.http.listen(port, '127.0.0.1');
    await once(this.http, 'listening');
    this.port = this.http.address().port;
  }

  // Stops listening and cuts all connections. `listen(fake.port)` brings it back.
  async stop() {
    if (!this.http.listening) return;
    const closed = once(this.http, 'close');
    this.http.close();
    this.cut();
    this.http.closeAllConnections();
    await closed;
  }

  // What a server of the kind does by itself --------------------------------------------------------------------------

  // `value` is published as JSON, unless the encoding says otherwise.
  publish(name, value, encoding) {
    const topic = this.#topic(name);
    topic.offset += 1;
    const encoded = encoding ? { encoding, data: value } : { data: value };
    this.#tell(name, { op: 'message', topic: name, offset: topic.offset, ...encoded });
    return topic.offset;
  }

  // `count` messages that subscribers are not sent, announced as with the lag policy `skip`.
  skip(name, count) {
    const topic = this.#topic(name);
    const from = topic.offset + 1;
    topic.offset += count;
    this.#tell(name, { op: 'missed', topic: name, from, to: topic.offset });
  }

  // `count` messages that nobody hears of.
  publishUnseen(name, count) {
    this.#topic(name).offset += count;
  }

  forget() {
    this.topics.clear();
  }

  close(code, reason) {
    for (const { socket } of this.connections) socket.close(code, reason);
  }

  cut() {
    for (const { socket } of this.connections) socket.terminate();
  }

  send(frame) {
    for (const { socket } of this.connections) socket.send(JSON.stringify(frame));
  }

  #topic(name) {
    if (!this.topics.has(name)) {
      const epoch = Array.from({ length: 16 }, () => Math.floor(Math.random() * 16).toString(16)).join('');
      this.topics.set(name, { offset: 0, epoch });
    }
    return this.topics.get(name);
  }

  #tell(name, frame) {
    const text = JSON.stringify(frame);
    for (const { socket, topics } of this.connections) if (topics.has(name)) socket.send(text);
  }

  // WebSocket ---------------------------------------------------------------------------------------------------------

  #connected(socket) {
    const connection = { socket, topics: new Set() };
    this.connections.add(connection);
    socket.on('close', () => this.connections.delete(connection));
    socket.on('message', (data) => {
      const request = JSON.parse(data);
      this.requests.push(request);
      if (!this.isSilent) socket.send(JSON.stringify({ ...this.#handle(connection, request), id: request.id }));
    });
  }

  #handle({ topics }, { op, topic, data }) {
    if (op === 'ping') return { op: 'pong' };
    if (!TOPIC.test(topic)) return { op: 'error', code: 'bad_topic', message: `${topic} is no topic` };
    switch (op) {
      case 'subscribe': {
        const code = this.refusals.shift();
        if (code) return { op: 'error', code, message: 'refused by the test' };
        if (topics.has(topic)) return { op: 'error', code: 'bad_request', message: `already subscribed to ${topic}` };
        topics.add(topic);
        return { op: 'subscribed', topic, ...this.#topic(topic) };
      }
      case 'unsubscribe':
        if (!topics.delete(topic)) return { op: 'error', code: 'not_subscribed', message: `not subscribed to ${topic}` };
        return { op: 'unsubscribed', topic };
      case 'publish':
        return { op: 'published', offset: this.publish(topic, data) };
      default:
        return { op: 'error', code: 'bad_request', message: `${op} is no operation` };
    }
  }

  // HTTP --------------------------------------------------------------------------------------------------------------

  async #answer(request, response) {
    const { pathname } = new URL(request.url, 'http://fake');
    if (request.method === 'POST' && pathname.startsWith('/topics/')) {
      return this.#posted(request, response, pathname.slice('/topics/'.length));
    }
    if (!(pathname in FILES)) return response.writeHead(404).end();
    const [file, type] = FILES[pathname];
    response.writeHead(200, { 'content-type': type, 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff' });
    response.end(await readFile(new URL(file, WEB)));
  }

  async #posted(request, response, topic) {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const type = request.headers['content-type'];
    const answer = (status, content) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content));
    };
    const code = this.refusals.shift();
    if (code) return answer(403, { error: { code, message: 'refused by the test' } });
    const offset =
      type === 'application/json' ? this.publish(topic, JSON.parse(body))
      : type === 'application/octet-stream' ? this.publish(topic, body.toString('base64'), 'base64')
      : this.publish(topic, body.toString(), 'text');
    answer(200, { topic, offset, epoch: this.#topic(topic).epoch });
  }
}
