// A broadcast server as Bun's documentation shows it: native publish and subscribe, one topic.
// Nothing is dropped and nobody is closed for being slow: that is bounded by the load, not by the server.

// Compressed once for all, by the compressor that connections share.
const deflate = process.argv[3] === "deflate";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    const publishes = request.url.endsWith("role=publisher");
    if (!server.upgrade(request, { data: publishes })) {
      return new Response("WebSocket only", { status: 426 });
    }
  },
  websocket: {
    perMessageDeflate: deflate,
    backpressureLimit: 1 << 30,
    closeOnBackpressureLimit: false,
    idleTimeout: 0,
    sendPings: false,
    maxPayloadLength: 1 << 20,
    open(socket) {
      if (!socket.data) socket.subscribe("all");
    },
    message(_socket, message) {
      server.publish("all", message, deflate);
    },
  },
});
