#!/usr/bin/env python3
"""Writes the committed corpus: for each target a few inputs from which mutation finds the others quickly."""

import pathlib
import shutil
import struct
import zlib

HERE = pathlib.Path(__file__).parent / "corpus"


def main():
    for target, inputs in {
        "connection": connection(),
        "deflate": deflate(),
        "handshake": handshake(),
        "http1": http1(),
        "hub_operations": hub_operations(),
        "json_command": json_command(),
    }.items():
        shutil.rmtree(HERE / target, ignore_errors=True)
        (HERE / target).mkdir(parents=True)
        for name, data in inputs.items():
            (HERE / target / name).write_bytes(data)


def pieces(flags, lengths, stream):
    """How targets that cut their stream are told where (src/pieces.rs)."""
    return bytes([flags << 4 | len(lengths), *lengths]) + stream


# Frames --------------------------------------------------------------------------------------------------------

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
TEXT_BEGINS, BINARY_BEGINS, CONTINUES, ENDS = 0x01, 0x02, 0x00, 0x80
TO_SERVER, TO_CLIENT, LARGE_LIMITS, DEFLATE = 0, 1, 2, 4


def frame(first, payload, key=None):
    mask = 0x80 if key is not None else 0
    if len(payload) < 126:
        header = bytes([first, mask | len(payload)])
    elif len(payload) < 65536:
        header = bytes([first, mask | 126]) + struct.pack(">H", len(payload))
    else:
        header = bytes([first, mask | 127]) + struct.pack(">Q", len(payload))
    key = key or b""
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)) if key else payload
    return header + key + masked


def close(code, reason=""):
    return struct.pack(">H", code) + reason.encode()


def connection():
    # A key of zeros leaves payloads readable for mutation.
    clear = bytes(4)
    key = bytes.fromhex("37fa213d")
    streams = {
        "text": [(TEXT, b"Hello")],
        "empty": [(TEXT, b""), (BINARY, b""), (PING, b"")],
        "binary-126": [(BINARY, bytes(126))],
        "binary-over-the-limit": [(BINARY, bytes(301))],
        "fragments": [(TEXT_BEGINS, b"caf\xc3"), (CONTINUES, b"\xa9 \xf0\x9f"), (ENDS, b"\xa6\x80")],
        "ping-between-fragments": [(BINARY_BEGINS, b"a"), (PING, b"p"), (PONG, b"q"), (ENDS, b"b")],
        "too-many-fragments": [(BINARY_BEGINS, b"")] + [(CONTINUES, b"")] * 4,
        "message-over-the-limit": [(BINARY_BEGINS, bytes(260)), (ENDS, bytes(260))],
        "close": [(TEXT, b"last"), (CLOSE, close(1000, "bye €"))],
        "close-without-body": [(CLOSE, b""), (TEXT, b"discarded")],
        "close-of-one-byte": [(CLOSE, b"\x03")],
        "close-with-reserved-code": [(CLOSE, close(1005))],
        "close-with-broken-reason": [(CLOSE, close(1001) + b"\xff")],
        "not-utf8": [(TEXT, b"a\xed\xa0\x80")],
        "text-ends-inside-a-character": [(TEXT, b"\xe2\x82")],
        "fragmented-ping": [(0x09, b"")],
        "ping-of-126": [(PING, bytes(126))],
        "reserved-opcode": [(0x83, b"")],
        "reserved-bit": [(0xA1, b"x")],
        "compressed": [(0xC1, bytes.fromhex("f248cdc9c90700"))],
        "continuation-of-nothing": [(ENDS, b"x")],
        "interleaved": [(TEXT_BEGINS, b"a"), (TEXT, b"b")],
    }
    inputs = {}
    for name, frames in streams.items():
        inputs[name + "-to-server"] = pieces(TO_SERVER, [1], b"".join(frame(f, p, clear) for f, p in frames))
        inputs[name + "-to-client"] = pieces(TO_CLIENT, [3, 2], b"".join(frame(f, p) for f, p in frames))
    inputs["masked-text-to-server"] = pieces(TO_SERVER, [7, 1], frame(TEXT, "Grüße, 🦀".encode(), key) * 3)
    inputs["masked-text-to-client"] = pieces(TO_CLIENT, [], frame(TEXT, b"Hello", key))
    inputs["unmasked-text-to-server"] = pieces(TO_SERVER, [], frame(TEXT, b"Hello"))
    hello = bytes.fromhex("f248cdc9c90700")
    inputs["agreed-deflate-to-server"] = pieces(
        TO_SERVER | DEFLATE, [4], frame(0xC1, hello, clear) + frame(0x42, hello[:3], key) + frame(ENDS, hello[3:], key)
    )
    inputs["agreed-deflate-to-client"] = pieces(TO_CLIENT | DEFLATE, [2], frame(0xC2, hello) + frame(TEXT, b"plain"))
    inputs["misplaced-bit"] = pieces(TO_CLIENT | DEFLATE, [], frame(BINARY_BEGINS, b"a") + frame(0xC0, b"b"))
    inputs["http-after-upgrade"] = pieces(TO_SERVER, [1], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    inputs["length-of-64-bits"] = pieces(LARGE_LIMITS, [5], b"\x82\xff\0\0\0\0\0\1\0\0" + clear + b"begun")
    inputs["length-in-too-many-bytes"] = pieces(TO_CLIENT | LARGE_LIMITS, [], b"\x82\x7f\0\0\0\0\0\0\0\5Hello")
    inputs["length-with-the-top-bit"] = pieces(TO_CLIENT | LARGE_LIMITS, [], b"\x82\x7f\x80" + bytes(7))
    return inputs


# permessage-deflate --------------------------------------------------------------------------------------------

BINARY_MESSAGE, TEXT_MESSAGE, TO_COMPRESS, OFFER = range(4)


def deflate():
    def compressed(message, level=6, window=15, strategy=zlib.Z_DEFAULT_STRATEGY):
        compressor = zlib.compressobj(level, zlib.DEFLATED, -window, 9, strategy)
        return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]

    text = "Grüße an alle, die Grüße an alle schicken. ".encode()
    payloads = {
        "fixed": bytes.fromhex("f248cdc9c90700"),
        "stored": bytes.fromhex("000500faff48656c6c6f00"),
        "last-block": bytes.fromhex("f348cdc9c9070000"),
        "two-blocks": bytes.fromhex("f248050000 00ffffcac9c90700"),
        "empty": b"\x00",
        "nothing": b"",
        "reserved-block": b"\x07",
        "dynamic": compressed(text * 20 + bytes(range(256))),
        "huffman-only": compressed(text * 10, strategy=zlib.Z_HUFFMAN_ONLY),
        "far-back": compressed(text + bytes(range(256)) * 120 + text, 9),
        "bomb": compressed(bytes(200_000), 9),
        "unfinished": compressed(text * 3)[:-9],
        "too-many-last-blocks": bytes.fromhex("0300") * 65 + b"\x00",
        "stored-over-the-end": bytes.fromhex("010600f9ff"),
        "not-utf8": compressed(b"\xff" * 9),
    }
    inputs = {}
    for index, (name, payload) in enumerate(payloads.items()):
        for kind, kind_name in [(BINARY_MESSAGE, "binary"), (TEXT_MESSAGE, "text")]:
            limit = (2 + index % 2) if name != "bomb" else 3
            inputs[f"{kind_name}-{name}"] = bytes([kind | limit << 2]) + payload
    for index, message in enumerate([b"", b"a", text, bytes(range(256)), b'{"price":1,"x":[true,false]}', bytes(99)]):
        inputs[f"message-{index}"] = bytes([TO_COMPRESS | index << 2, 7 * index]) + message
    for name, offer in {
        "plain": "permessage-deflate",
        "browser": "permessage-deflate; client_max_window_bits",
        "all": "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
        "server_max_window_bits=15; client_max_window_bits=8",
        "small": "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=8",
        "quoted": 'foo; a="b", permessage-deflate; server_max_window_bits="1\\2"',
        "two-lines": "x-webkit-deflate-frame\nPermessage-Deflate;CLIENT_MAX_WINDOW_BITS=15",
        "repeated": "permessage-deflate; client_max_window_bits; client_max_window_bits=10, permessage-deflate",
        "invalid": "permessage-deflate; server_max_window_bits=010, permessage-deflate; server_no_context_takeover=1",
        "broken": "permessage-deflate; =, a",
    }.items():
        inputs[f"offer-{name}"] = bytes([OFFER]) + offer.encode()
    return inputs


# Heads ---------------------------------------------------------------------------------------------------------


def head(*lines):
    return "".join(line + "\r\n" for line in (*lines, "")).encode("latin-1")


UPGRADE = ["Host: a", "Upgrade: websocket", "Connection: Upgrade"]
KEY, VERSION = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"
ACCEPT = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
DEFLATED = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"
SWITCHING = "HTTP/1.1 101 Switching Protocols"


def handshake():
    get = "GET /topics/a HTTP/1.1"
    request = [get, *UPGRADE, KEY, VERSION]
    response = [SWITCHING, *UPGRADE[1:], ACCEPT]
    return {
        "request": head(*request),
        "request-with-lists": head(
            *request,
            "Sec-WebSocket-Protocol: chat, corecast.json.v1",
            'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, foo; bar="b\\az"',
        ),
        "request-with-frames-behind": head(*request) + frame(TEXT, b"Hello", bytes(4)),
        "request-after-empty-lines": b"\r\n\n" + head(*request),
        "request-with-bare-line-feeds": head(*request).replace(b"\r", b""),
        "request-with-other-spelling": head(
            get, "HOST:a", "upgrade:h2c , WebSocket", "connection:\tkeep-alive,UPGRADE ", KEY, VERSION
        ),
        "request-without-upgrade": head(get, UPGRADE[0], KEY, VERSION),
        "request-with-two-keys": head(*request, KEY),
        "request-with-a-short-key": head(get, *UPGRADE, KEY[:-4], VERSION),
        "request-of-version-8": head(get, *UPGRADE, KEY, "Sec-WebSocket-Version: 8"),
        "request-with-broken-extensions": head(*request, 'Sec-WebSocket-Extensions: a; b="c'),
        "post": head("POST /topics/a HTTP/1.1", *UPGRADE, KEY, VERSION),
        "http-1-0": head("GET / HTTP/1.0", KEY),
        "http-2": head("PRI * HTTP/2.0", "SM"),
        "two-hosts": head(get, "Host: a", "Host: b"),
        "folded-line": head(get, "Host: a", "X: y", " z"),
        "space-before-colon": head(get, "Host : a"),
        "space-in-target": head("GET /a b HTTP/1.1", "Host: a"),
        "target-over-the-limit": ("GET /" + "a" * 520).encode(),
        "head-over-the-limit": head(get, "Host: a", "Cookie: " + "a" * 480),
        "too-many-lines": head(get, "Host: a", *["X: y"] * 8),
        "absolute-target": head("GET http://[::1]:80/a?b HTTP/1.1", *UPGRADE, KEY, VERSION),
        "target-with-a-fragment": head("GET /a#b HTTP/1.1", *UPGRADE, KEY, VERSION),
        "host-that-is-none": head(get, "Host: u@a", KEY),
        "host-with-a-port": head(get, "Host: caf%C3%A9:9001", KEY),
        "tls-client-hello": bytes.fromhex("160301020001"),
        "proxy-v1": b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n",
        "proxy-v2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        "response": head(*response),
        "response-with-subprotocol": head(*response, "Sec-WebSocket-Protocol: chat"),
        "response-with-frames-behind": head(*response) + frame(TEXT, b"Hello"),
        "response-with-deflate": head(*response, DEFLATED),
        "response-with-context-takeover": head(*response, "Sec-WebSocket-Extensions: permessage-deflate"),
        "response-with-a-window": head(*response, DEFLATED + "; client_max_window_bits=9"),
        "response-with-unasked-extension": head(*response, "Sec-WebSocket-Extensions: foo"),
        "response-with-unasked-subprotocol": head(*response, "Sec-WebSocket-Protocol: other"),
        "response-with-wrong-accept": head(SWITCHING, *UPGRADE[1:], ACCEPT.replace("s3", "S3")),
        "response-with-two-upgrades": head(*response, "Upgrade: h2c"),
        "response-in-http-1-0": head(SWITCHING.replace("1.1", "1.0"), *UPGRADE[1:], ACCEPT),
        "response-with-two-extension-lines": head(*response, DEFLATED, DEFLATED),
        "response-without-reason": head("HTTP/1.1 101", *UPGRADE[1:], ACCEPT),
        "refusal": head("HTTP/1.1 403 Forbidden", "Content-Length: 6") + b"origin",
        "redirection": head("HTTP/1.1 301 Moved", "Location: https://a/\x9b"),
        "tls-alert": bytes.fromhex("15030100020228"),
    }


def http1():
    post = "POST /topics/a HTTP/1.1"
    host = "Host: a"
    chunked = "Transfer-Encoding: chunked"

    def message(*lines, body=b""):
        return head(*lines) + body

    get = message("GET /topics/a?x HTTP/1.1", host)
    chunks = b"5\r\nHello\r\n0B;name=\"v\"\r\n, wonderful\r\n1 \r\n!\r\n000\r\nX-Trailer: y\r\n\r\n"
    json = "Content-Type: application/json"
    streams = {
        "get": get,
        "pipelined": get + message(post, host, "Content-Length: 5", body=b"Hello") + get,
        "length": message(post, host, "Content-Length: 5", body=b"Hello"),
        "length-repeated": message(post, host, "Content-Length: 5, 5", "content-length: 05", body=b"Hello"),
        "lengths-that-differ": message(post, host, "Content-Length: 5, 6", body=b"Hello!"),
        "length-over-the-limit": message(post, host, "Content-Length: 301"),
        "length-with-a-sign": message(post, host, "Content-Length: +5"),
        "length-and-chunks": message(post, host, "Content-Length: 5", chunked, body=chunks),
        "chunks": message(post, host, chunked, body=chunks) + get,
        "chunks-in-http-1-0": message(post.replace("1.1", "1.0"), chunked, body=chunks),
        "gzip": message(post, host, "Transfer-Encoding: gzip, chunked", body=chunks),
        "chunk-over-the-limit": message(post, host, chunked, body=b"12d\r\n"),
        "chunk-over-64-bits": message(post, host, chunked, body=b"10000000000000000\r\n"),
        "chunk-longer-than-its-size": message(post, host, chunked, body=b"1\r\nab\r\n"),
        "chunk-with-a-bare-line-feed": message(post, host, chunked, body=b"1\na\n0\n\n"),
        "json": message(post, host, json, "Content-Length: 9", body=b' {"a":1} '),
        "lines": message(post, host, json.replace("json", "x-ndjson"), "Content-Length: 9", body=b'1\r\n\n"a"\n '),
        "binary": message(post, host, "Content-Type: image/png", "Content-Length: 2", body=b"\xff\0"),
        "text-that-is-none": message(post, host, "Content-Type: text/plain", "Content-Length: 1", body=b"\xff"),
        "options": message("OPTIONS /topics/%61 HTTP/1.1", host, "Origin: http://b"),
        "unknown-topic-name": message("GET /topics/a%2fb?role=subscriber&x HTTP/1.1", host),
    }
    return {name: pieces(0, [3, 50], stream) for name, stream in streams.items()}


# JSON ----------------------------------------------------------------------------------------------------------


def json_command():
    return {
        name: text.encode()
        for name, text in {
            "subscribe": '{"op":"subscribe","topic":"a","id":1}',
            "unsubscribe": '{"op":"unsubscribe","topic":"a.b_c-d:e~f=g@h","id":"x"}',
            "publish": '{"op":"publish","topic":"a","data":{"price":1.5e-3,"x":[true,false,null]},"id":-2}',
            "publish-text": '{"id":"\\u00e9\\n","data":"\\"\\\\\\/\\b\\f\\n\\r\\t","topic":"a","op":"publish"}',
            "ping": ' {\n"op" : "ping"\t}\r\n',
            "escaped-names": '{"\\u006fp":"\\u0070ublish","topic":"\\ud83e\\udd80","data":0}',
            "half-a-pair": '{"op":"ping","id":"\\ud83e"}',
            "half-a-pair-in-a-key": '{"op":"ping","\\udd80":1}',
            "repeated": '{"op":"ping","id":1,"id":2}',
            "other-members": '{"op":"ping","x":{"op":"x","op":1},"y":[[[]],{}],"z":-0.0}',
            "no-op": '{"topic":"a"}',
            "no-data": '{"op":"publish","topic":"a"}',
            "long-id": '{"op":"ping","id":"' + "é" * 65 + '"}',
            "large-id": '{"op":"ping","id":9223372036854775808}',
            "fraction": '{"op":"ping","id":1.0}',
            "deep": '{"op":"publish","topic":"a","data":' + "[" * 127 + "]" * 127 + "}",
            "deepest": '{"op":"publish","topic":"a","data":' + '{"a":[' * 63 + "]}" * 63 + "}",
            "brackets-in-text": '{"op":"publish","topic":"a","data":["' + "[" * 127 + '\\"",1]}',
            "large-number": '{"op":"publish","topic":"a","data":-123456789012345678901234567890E+999}',
            "zero-first": '{"op":"publish","topic":"a","data":01}',
            "comma-last": '{"op":"ping",}',
            "array": '[{"op":"ping"}]',
            "unfinished": '{"op":"publish","id":7,"data":"\\u00',
            "two": '{"op":"ping"}{"op":"ping"}',
            "not-ascii": '{"op":"publish","topic":"a","data":"é€🦀"}',
            "value": ' [1, "a", {"b": null}] ',
        }.items()
    }


# The hub -------------------------------------------------------------------------------------------------------


def hub_operations():
    """Choices in the order in which they are made (tests/model_hub/case.rs). What they mean shifts with every mutation, so
    only the beginnings are meant: each of the three policies, in each mix of encodings, with compression and without.
    After that, pseudo-random bytes."""
    inputs = {}
    for policy, policy_name in enumerate(["disconnect", "skip", "skip-silent"]):
        for encoding, encoding_name in [(0, "raw"), (1, "both"), (3, "json")]:
            for deflate, name in [(0, ""), (1, "-deflate")]:
                # Bytes of a log, compression, subscribers, bytes of all logs, policy, slots, breaks, tails, encodings.
                limits = bytes([policy, deflate, 0, 80, policy, 5, 10, 1, encoding])
                state, rest = len(inputs) + 1, bytearray()
                for _ in range(300):
                    state = (state * 1103515245 + 12345) % 2**31
                    rest.append(state >> 16 & 0xFF)
                inputs[f"{policy_name}-{encoding_name}{name}"] = limits + bytes(rest)
    return inputs


main()
