// A broadcast server as the documentation of npm `ws` shows it: one send for each client.

import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const http = createServer();
// For each client on its own: there is no other way.
const perMessageDeflate = process.argv[3] === "deflate" && { threshold: 512 };
const sockets = new WebSocketServer({ server: http, perMessageDeflate, clientTracking: false, maxPayload: 1 << 20 });
const subscribers = new Set();

sockets.on("connection", (socket, request) => {
  if (!request.url.endsWith("role=publisher")) {
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
  }
  // What comes after an error is a close.
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    for (const subscriber of subscribers) {
      if (subscriber.readyState === WebSocket.OPEN) subscriber.send(data, { binary });
    }
  });
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
