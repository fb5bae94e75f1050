import { once } from 'node:events';
import { WebSocket } from 'ws';

// A WebSocket whose events can be awaited in the order in which they came.
export class Client {
  constructor(url, { protocols = [], ...options } = {}) {
    this.socket = new WebSocket(url, protocols, options);
    this.messages = [];
    this.waiting = [];
    this.socket.on('message', (data, isBinary) => this.#arrived(isBinary ? data : data.toString()));
    this.opened = once(this.socket, 'open');
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        for (const { reject } of this.waiting) reject(new Error(`closed with ${code} ${reason}`));
        resolve({ code, reason: reason.toString() });
      });
    });
  }

  // Connected and subscribed.
  static async open(url, options) {
    const client = new Client(url, options);
    await client.opened;
    return client;
  }

  #arrived(message) {
    const next = this.waiting.shift();
    if (next) next.resolve(message);
    else this.messages.push(message);
  }

  // The next message: a string for text, a Buffer for binary. Fails when the connection is closed meanwhile.
  async next() {
    if (this.messages.length > 0) return this.messages.shift();
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  send(message) {
    this.socket.send(message);
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    return this.closed;
  }
}
