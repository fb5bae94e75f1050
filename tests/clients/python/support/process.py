"""The server as a process of its own: started on free ports, stopped by a signal."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from .deflate import AGREED, OFFER, extension
from .dialect import JsonSocket
from .metrics import Metrics
from .wire import Http, RawSocket, authority_of

REPOSITORY = Path(__file__).resolve().parents[4]

ANY_PORT = "127.0.0.1:0"

_LISTENS = re.compile(r"listens on (\S+): ")
_ADMIN = re.compile(r"http://([0-9.]+):(\d+)/metrics")


def binary():
    """The release build, or the file that CORECAST_BINARY names."""
    target = os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")
    return os.environ.get("CORECAST_BINARY") or str(Path(target) / "release" / "corecast")


def clean_environment(**variables):
    """This process's environment without settings of somebody else's server, plus `variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CORECAST_")}
    return kept | variables


def run(*arguments, seconds=15, command=(), **variables):
    """Runs `corecast` to its end; `command` is what starts it."""
    return subprocess.run(
        [*command, binary(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=clean_environment(**variables),
        check=False,
    )


def _reachable(listens):
    """Where to connect to what a server says it listens on: a path, or host and port. All interfaces are reached by loopback."""
    if listens.startswith("unix:"):
        return listens.removeprefix("unix:")
    host, _, port = listens.rpartition(":")
    host = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)


class Server:
    """A running `corecast serve`. Flags given here come after the free ports, so they may name others."""

    def __init__(self, *flags, command=(), listen=ANY_PORT, admin=ANY_PORT, environment=None):
        arguments = [*command, binary(), "serve", "--listen", listen, "--admin", admin, *flags]
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**(environment or {})),
        )
        self._lines = []
        self._changed = threading.Condition()
        self._has_ended = False
        self._clients = []
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        try:
            self.address = _reachable(self.wait_for_log(_LISTENS)[1])
            self.admin_port = None if admin == "off" else int(self.wait_for_log(_ADMIN)[2])
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self):
        return self._process.pid

    @property
    def host(self):
        return self.address[0]

    @property
    def port(self):
        return self.address[1]

    @property
    def authority(self):
        return authority_of(self.address)

    def url(self, topic, query=""):
        return f"ws://{self.authority}/topics/{topic}{query}"

    # The log -------------------------------------------------------------------------------------------------

    def _read_log(self):
        for line in self._process.stderr:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    @property
    def log(self):
        """Everything logged so far."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for_log(self, pattern, seconds=15):
        """The first match of `pattern` in any line, as soon as it is logged."""
        pattern = re.compile(pattern)
        end = time.monotonic() + seconds
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if match := pattern.search(line):
                        return match
                seen = len(self._lines)
                left = end - time.monotonic()
                text = "\n".join(self._lines)
                assert not self._has_ended, f"the server ended without logging {pattern.pattern!r}:\n{text}"
                assert left > 0, f"not logged within {seconds} s: {pattern.pattern!r}; the log:\n{text}"
                self._changed.wait(left)

    # Connecting ----------------------------------------------------------------------------------------------

    def raw(self, **options):
        """A bare connection to where clients connect."""
        self._clients.append(RawSocket(self.address, **options))
        return self._clients[-1]

    def close_clients(self):
        """Closes every bare connection that was made here."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def subscribe_raw(self, topic, query="", **options):
        """A bare socket after the opening handshake."""
        return self.raw(**options).upgrade(f"/topics/{topic}{query}")

    def subscribe_deflate(self, topic, query="", offer=OFFER, agreed=AGREED, **options):
        """The same with compression."""
        return self.raw(**options).upgrade(f"/topics/{topic}{query}", [extension(offer)], agreed)

    def json(self, target="/ws", headers=(), agreed=None, **options):
        """A bare socket after the opening handshake that speaks the JSON dialect."""
        return JsonSocket(self.raw(**options).upgrade(target, headers, agreed))

    def http(self):
        """A keep-alive HTTP connection to the clients' port."""
        return Http(self.raw())

    def request(self, method, target, headers=(), body=b""):
        """One request on a connection of its own."""
        with self.http() as http:
            return http.request(method, target, headers, body)

    def post(self, topic, body, headers=()):
        return self.request("POST", f"/topics/{topic}", headers, body)

    def publish(self, topic, body, headers=()):
        """A POST that must succeed; gives the offset."""
        response = self.post(topic, body, headers)
        assert response.status == 200, response
        return response.json()["offset"]

    def topic(self, topic):
        return self.request("GET", f"/topics/{topic}")

    def admin_http(self):
        """A keep-alive connection to the admin port."""
        return Http(RawSocket(("127.0.0.1", self.admin_port)))

    def admin(self, target, method="GET"):
        with self.admin_http() as http:
            return http.request(method, target)

    def metrics(self):
        """What the page says: the answering shard's counts as they are, those of the others with their latest tick."""
        return Metrics.parse(self.admin("/metrics").text)

    def connections(self, shard):
        """The list of a shard's connections."""
        answer = self.admin(f"/connections?shard={shard}")
        assert answer.status == 200, answer
        return answer.json()

    def shard_of(self, client):
        """Which shard serves a TCP connection; None as long as none lists it."""
        peer = authority_of(client.socket.getsockname()[:2])
        for shard in range(self.connections(0)["shards"]):
            if any(connection["peer"] == peer for connection in self.connections(shard)["connections"]):
                return shard
        return None

    # Ending --------------------------------------------------------------------------------------------------

    def send_signal(self, number):
        self._process.send_signal(number)

    def wait(self, seconds=30):
        """The exit code, once it has ended by itself."""
        code = self._process.wait(seconds)
        self._reader.join()
        self._process.stderr.close()
        return code

    def stop(self, number=signal.SIGTERM, seconds=30):
        """Asks it to end and asserts that it does so in order."""
        assert self._process.poll() is None, f"ended by itself with {self._process.returncode}:\n{self.log}"
        self.send_signal(number)
        try:
            code = self.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {seconds} s:\n{self.log}") from None
        assert code == 0, f"exit code {code}:\n{self.log}"
        assert "panicked" not in self.log, self.log

    def kill(self):
        """Ends what a failed test left, and does nothing otherwise."""
        self.close_clients()
        if self._process.poll() is None:
            self._process.kill()
        if not self._process.stderr.closed:
            self.wait()
