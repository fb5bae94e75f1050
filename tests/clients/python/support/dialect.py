"""The JSON dialect on a bare socket: requests and answers as text, so that their very bytes can be compared."""

import json

from .wire import TEXT, frame

SUBPROTOCOL = "corecast.json.v1"


def compact(value):
    """JSON as the server writes it: without white space, members in the order in which they stand."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class JsonSocket:
    """A WebSocket, given as a socket after its opening handshake."""

    def __init__(self, raw):
        self.raw = raw

    def send(self, *requests):
        """Requests, each as text or as a value, a frame each, in one write."""
        texts = [request if isinstance(request, str) else compact(request) for request in requests]
        self.raw.send(b"".join(frame(TEXT, text.encode()) for text in texts))
        return self

    def take(self):
        """The text of the next message."""
        first_byte, payload = self.raw.take_frame()
        assert first_byte == TEXT, f"{first_byte:#x} {payload[:200]!r} instead of a text message"
        return payload.decode()

    def take_value(self):
        return json.loads(self.take())

    def ask(self, request):
        """The answer to a request, as text."""
        return self.send(request).take()

    def subscribe(self, topic):
        """Subscribes, which must succeed; gives the answer as a value."""
        answer = json.loads(self.ask({"op": "subscribe", "topic": topic}))
        assert answer["op"] == "subscribed" and answer["topic"] == topic, answer
        return answer

    def publish(self, topic, data):
        """Publishes a value, which must succeed, with no messages coming in between; gives the offset."""
        answer = json.loads(self.ask({"op": "publish", "topic": topic, "data": data}))
        assert answer["op"] == "published", answer
        return answer["offset"]

    def expect_silence(self):
        """Asserts that nothing was sent to this client before the answer to a ping that is sent now."""
        assert self.ask({"op": "ping", "id": "silence"}) == '{"op":"pong","id":"silence"}'

    def close(self):
        self.raw.close()
