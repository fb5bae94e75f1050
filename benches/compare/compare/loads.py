"""The loads, as data. All messages have 64 bytes and are binary, except in the JSON dialect, which has only text, and in the
load that is compressed."""

import random
import string
from dataclasses import dataclass

PEERS = ("bun", "ws", "nchan", "tokio-tungstenite", "fastwebsockets")

# What RLIMIT_NOFILE must have above the connections: a server's files, and the places that corecast keeps free.
SPARE_DESCRIPTORS = 400


@dataclass(frozen=True)
class Entrant:
    """A server under a load, perhaps with options of its own."""

    name: str
    server: str
    server_options: tuple = ()
    load_options: tuple = ()
    preset: str | None = None


@dataclass(frozen=True)
class Load:
    name: str
    what: str
    entrants: tuple
    options: tuple
    connections: int
    # stream: what a delivery costs. connect: what a connection costs to open. memory: what it costs to keep.
    kind: str = "stream"
    is_open_loop: bool = False
    # What a bare send to each of so many connections costs is measured right before each run.
    is_beside_floor: bool = False


def servers(*names):
    return tuple(Entrant(name, name) for name in names)


def fanout(name, subscribers, in_flight, entrants):
    return Load(
        f"fanout-{name}-{in_flight}",
        f"{subscribers:,} subscribers, {in_flight:,} in flight",
        entrants,
        ("--subscribers", str(subscribers), "--in-flight", str(in_flight)),
        subscribers,
        is_beside_floor=in_flight == 1,
    )


def cost(name, subscribers):
    """About the same deliveries/s however many subscribers there are, half of what a core can do. No rate is in step with the
    ticks of /proc/stat: they would always or never see the work that follows a message."""
    rate = f"{149_900 / subscribers:.5g}"
    return Load(
        f"cost-{name}",
        f"{subscribers:,} subscribers, {rate} messages/s",
        servers("corecast"),
        ("--subscribers", str(subscribers), "--rate", rate, *SOURCES),
        subscribers,
        is_open_loop=True,
        is_beside_floor=True,
    )


def quotes():
    """A JSON text of 1 KiB as applications send them, around a payload of 64 bytes: it compresses to about a third."""
    digits = random.Random(7)

    def quote(number):
        price = f"{digits.randrange(10_000, 99_999) / 100:.2f}"
        return (
            f'{{"symbol":"{"".join(digits.choices(string.ascii_uppercase, k=4))}","bid":{price},'
            f'"ask":{price[:-1]}{number % 10},"volume":{digits.randrange(100, 99_999)},"venue":"XETRA"}}'
        )

    text = '{{"type":"quotes","id":"{{payload}}","quotes":[{}],"pad":"{}"}}'
    listed = [quote(number) for number in range(11)]
    bare = text.format(",".join(listed), "").replace("{payload}", "x" * 64)
    return text.format(",".join(listed), "-" * (1024 - len(bare)))


def compressed():
    both = [
        entrant
        for name in ("corecast", "bun", "ws")
        for entrant in (Entrant(name, name), Entrant(f"{name}, compressed", name, DEFLATE.get(name, ()), ("--deflate",)))
    ]
    return Load(
        "deflate-1k",
        "1,000 subscribers, 149.9 messages/s of 1 KiB JSON, compressed and plain",
        tuple(both),
        ("--subscribers", "1000", "--rate", "149.9", "--text", "--publish-template", quotes()),
        1_000,
        is_open_loop=True,
    )


def clamped(in_flight):
    """Short sends, as they are normal off loopback."""
    small = Entrant(
        "corecast, 16 KiB buffers",
        "corecast",
        ("--tcp-send-buffer", "16KiB"),
        ("--receive-buffer", "16384"),
    )
    return Load(
        f"clamped-1k-{in_flight}",
        f"1,000 subscribers, {in_flight} in flight, socket buffers of 16 KiB on both ends",
        (*servers("corecast"), small),
        ("--subscribers", "1000", "--in-flight", str(in_flight)),
        1_000,
    )


# One address has 28,232 ports; what is being closed still holds some.
SOURCES = tuple(part for last in range(1, 5) for part in ("--source", f"127.0.0.{last}"))

# What the others must be told; we compress for whoever asks.
DEFLATE = {"bun": ("deflate",), "ws": ("deflate",)}

# With a core to itself, a server need not sleep between messages.
POLLING = "corecast, busy polling"

ONE_TOPIC, MANY_TOPICS = "corecast, one topic", "corecast, 20,000 topics"


def many_topics(deliveries):
    """As many deliveries a second to a thousand subscribers: of 20,000 topics, of which each has 60, and of one that all have.
    Publishers share connections as those of one process would."""
    each_for_three = (
        *("--topics", "20000", "--topics-per-subscriber", "60"),
        *("--publishers", "20000", "--publisher-connections", "4", "--rate", str(deliveries // 60_000)),
    )
    return (
        Entrant(MANY_TOPICS, "corecast", ("--max-topics", "30000"), each_for_three, "corecast-json"),
        Entrant(ONE_TOPIC, "corecast", (), ("--rate", str(deliveries // 1_000)), "corecast-json"),
    )


EVERYBODY = servers("corecast", *PEERS)
IN_FLIGHT = (1, 4, 16, 64, 256, 1024, 4096)
BY_EVERYBODY = (1, 16, 64, 256)
SUBSCRIBERS = (("100", 100), ("1k", 1_000), ("10k", 10_000), ("19k", 19_000))
MANY = 19_000

LOADS = (
    *(
        fanout("1k", 1_000, count, EVERYBODY if count in BY_EVERYBODY else servers("corecast", "bun"))
        for count in IN_FLIGHT
    ),
    fanout("10k", 10_000, 16, EVERYBODY),
    Load(
        "open-1k-100",
        "1,000 subscribers, 100 messages/s whatever happens",
        (*EVERYBODY, Entrant(POLLING, "corecast", ("--busy-poll", "20ms"))),
        ("--subscribers", "1000", "--rate", "100"),
        1_000,
        is_open_loop=True,
    ),
    *(cost(name, subscribers) for name, subscribers in SUBSCRIBERS),
    clamped(16),
    clamped(64),
    compressed(),
    Load(
        "shards-two",
        "1,000 subscribers, 8 publishers with 12 messages/s each; two shards that share the core do what one does",
        (
            Entrant("corecast", "corecast", ("--shards", "1")),
            Entrant("corecast, 2 shards", "corecast", ("--shards", "2")),
        ),
        ("--subscribers", "1000", "--publishers", "8", "--rate", "12"),
        1_000,
        is_open_loop=True,
    ),
    Load(
        "topics-many",
        "JSON dialect, 1,200,000 deliveries/s, which fill a core: 20,000 topics with 3 subscribers each, and one topic",
        many_topics(1_200_000),
        ("--subscribers", "1000"),
        1_000,
        is_open_loop=True,
    ),
    # Not judged: a core that one topic leaves idle is one that many make use of, to deliver each message at once.
    Load(
        "topics-many-360k",
        "JSON dialect, 360,000 deliveries/s: 20,000 topics with 3 subscribers each, and one topic",
        many_topics(360_000),
        ("--subscribers", "1000"),
        1_000,
        is_open_loop=True,
    ),
    Load(
        "connect",
        "10,000 connections opened and closed again, several times",
        servers("corecast", "bun", "tokio-tungstenite", "fastwebsockets"),
        ("--subscribers", "10000", "--rate", "10", *SOURCES),
        10_000,
        kind="connect",
    ),
    Load(
        "memory",
        "19,000 connections, after each got one message",
        (
            *servers("corecast", "bun"),
            Entrant("corecast, JSON, 1 topic", "corecast", preset="corecast-json"),
            Entrant(
                "corecast, JSON, 10 topics",
                "corecast",
                load_options=("--topics", "10", "--topics-per-subscriber", "10"),
                preset="corecast-json",
            ),
        ),
        ("--subscribers", str(MANY), "--rate", "0.5", *SOURCES),
        MANY,
        kind="memory",
    ),
)

def by_name(name):
    return next(load for load in LOADS if load.name == name)
