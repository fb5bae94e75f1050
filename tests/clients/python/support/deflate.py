"""permessage-deflate (RFC 7692) by hand, on bare sockets."""

import zlib

OFFER = "permessage-deflate"
# RFC 7692 section 7.1.1: each message stands for itself, in both directions.
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

# On the first frame of a compressed message (section 6).
RSV1 = 0x40

# What a flush ends with, which is not sent (section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


def deflate(message, memory=8):
    compressor = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=-15, memLevel=memory)
    deflated = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert deflated.endswith(_TAIL)
    return deflated[: -len(_TAIL)]


def inflate(payload, window_bits=15):
    decompressor = zlib.decompressobj(-window_bits)
    message = decompressor.decompress(payload + _TAIL)
    assert not decompressor.unused_data and not decompressor.unconsumed_tail
    return message


def extension(offer):
    """The header that offers it."""
    return ("Sec-WebSocket-Extensions", offer)


def take_message(client, window_bits=15):
    """The next message of a bare socket, whose frame is not fragmented: kind, message, whether it was compressed."""
    first_byte, payload = client.take_frame()
    if first_byte & RSV1:
        return first_byte & ~RSV1, inflate(payload, window_bits), True
    return first_byte, payload, False
