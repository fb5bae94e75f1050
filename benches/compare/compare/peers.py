"""How each server is started and stopped, and what the generator must be told about it."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import meter

HERE = Path(__file__).resolve().parent.parent
PEERS = HERE / "peers"
ROOT = HERE.parent.parent
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

START_PATIENCE_SECONDS = 20
STOP_PATIENCE_SECONDS = 15


class CannotRun(Exception):
    """A server or a load can't run here, or did not; the text says why."""


@dataclass(frozen=True)
class Binaries:
    """Where what was built lies."""

    ours: Path
    peers: Path

    @property
    def load(self):
        return self.ours / "corecast-load"

    @property
    def send_floor(self):
        return self.ours / "send_floor"


@dataclass(frozen=True)
class Server:
    """A kind of server: the command that starts it, and how the generator addresses it."""

    name: str
    preset: str
    # (binaries, port, folder for its files) -> command
    command: object
    # binaries -> None, or why it can't run here
    missing: object
    # binaries -> its version
    version: object
    subscribe: str = "ws://127.0.0.1:{port}/"
    publish: str | None = None

    def generator_options(self, port, preset=None):
        """For another preset of the same server the paths are the preset's."""
        if preset:
            return [f"ws://127.0.0.1:{port}/ws", "--preset", preset]
        options = [self.subscribe.replace("{port}", str(port)), "--preset", self.preset]
        if self.publish:
            options += ["--publish-url", self.publish.replace("{port}", str(port))]
        # Enough requests on their way for the largest number of messages in flight.
        return options + (["--http-pipeline", "4096"] if self.preset == "nchan" else [])


@dataclass(frozen=True)
class Running:
    pid: int
    port: int
    process: subprocess.Popen
    log: Path

    def check(self):
        if self.process.poll() is not None:
            raise CannotRun(f"it ended with status {self.process.returncode}\n{tail(self.log)}")


@contextmanager
def running(server, binaries, options=()):
    """The server on its core, listening; stopped at the end whatever happens."""
    reason = server.missing(binaries)
    if reason:
        raise CannotRun(reason)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        log = Path(folder) / "output"
        command = ["taskset", "-c", str(meter.SERVER_CORE), *server.command(binaries, port, Path(folder)), *options]
        with log.open("wb") as output:
            # In a session of its own: Ctrl-C reaches this process, which then stops it.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield await_listening(Running(process.pid, port, process, log))
        finally:
            stop(process)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_listening(server):
    deadline = time.monotonic() + START_PATIENCE_SECONDS
    while True:
        server.check()
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            return server
        except OSError:
            if time.monotonic() > deadline:
                raise CannotRun(f"it does not listen after {START_PATIENCE_SECONDS} s\n{tail(server.log)}") from None
            time.sleep(0.02)


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    # Whatever is left of its session.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def tail(path, lines=8):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


# The servers -----------------------------------------------------------------------------------------------------


def is_built(path_of):
    def missing(binaries):
        path = path_of(binaries)
        return None if path.exists() else f"{path} is missing: benches/compare/run.sh builds it"

    return missing


def output_of(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def node_modules():
    return PEERS / "node_modules"


def bun_binary():
    """It comes in a package of its own, from which Bun's install script moves it, where npm may run scripts."""
    found = [*node_modules().glob("@oven/bun-linux-*/bin/bun"), *node_modules().glob("bun/bin/bun.exe")]
    # What the script has not replaced is a text that says so.
    return next((path for path in found if path.stat().st_size > 1 << 20), None)


def no_bun(_binaries):
    return None if bun_binary() else "npm bun is not installed: benches/compare/run.sh does it where there is npm"


def no_ws(_binaries):
    if not shutil.which("node"):
        return "Node.js is not installed"
    return None if (node_modules() / "ws").exists() else "npm ws is not installed: benches/compare/run.sh does it"


def nginx_binary():
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


def no_nchan(_binaries):
    if not nginx_binary():
        return "nginx is not installed (Debian packages nginx and libnginx-mod-nchan)"
    return None if NCHAN_MODULE.exists() else f"{NCHAN_MODULE} is missing (Debian package libnginx-mod-nchan)"


def nchan_command(_binaries, port, folder):
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    values = {
        "MODULE": NCHAN_MODULE,
        "FOLDER": folder,
        "PORT": port,
        "OPEN_FILES": open_files,
        "CONNECTIONS": open_files - 50,
    }
    text = (PEERS / "nchan.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    return [nginx_binary(), "-p", str(folder), "-c", str(configuration)]


def nchan_version(_binaries):
    nginx = output_of(nginx_binary(), "-v").rpartition("/")[2]
    package = output_of("dpkg-query", "--show", "--showformat=${Version}", "libnginx-mod-nchan")
    return f"nginx {nginx}, nchan {package}"


def crate_version(name):
    lock = (PEERS / "rust/Cargo.lock").read_text()
    found = re.search(rf'name = "{name}"\nversion = "([^"]+)"', lock)
    return found[1] if found else "unknown"


def corecast_command(binaries, port, _folder):
    # The metrics page is no part of the work.
    return [binaries.ours / "corecast", "--listen", f"127.0.0.1:{port}", "--admin", "off", "--log-filter", "warn"]


def broadcast(name, binary, version):
    """Servers that send every client's message to all that do not say they are publishers."""
    return Server(
        name,
        "broadcast",
        command=lambda binaries, port, _folder: [binary(binaries), str(port)],
        missing=is_built(binary),
        version=version,
        publish="ws://127.0.0.1:{port}/?role=publisher",
    )


def script(name, runtime, missing, version):
    return Server(
        name,
        "broadcast",
        command=lambda _binaries, port, _folder: [*runtime(), str(PEERS / f"{name}.js"), str(port)],
        missing=missing,
        version=version,
        publish="ws://127.0.0.1:{port}/?role=publisher",
    )


SERVERS = {
    server.name: server
    for server in (
        Server(
            "corecast",
            "corecast",
            corecast_command,
            is_built(lambda binaries: binaries.ours / "corecast"),
            lambda binaries: output_of(binaries.ours / "corecast", "--version").removeprefix("corecast "),
            subscribe="ws://127.0.0.1:{port}/topics/{topic}",
        ),
        script("bun", lambda: [str(bun_binary())], no_bun, lambda _: output_of(bun_binary(), "--version")),
        script(
            "ws",
            lambda: ["node"],
            no_ws,
            lambda _: (
                f"{json.loads((node_modules() / 'ws/package.json').read_text())['version']}, "
                f"Node.js {output_of('node', '--version').removeprefix('v')}"
            ),
        ),
        Server(
            "nchan",
            "nchan",
            nchan_command,
            no_nchan,
            nchan_version,
            subscribe="ws://127.0.0.1:{port}/sub/{topic}",
        ),
        broadcast(
            "tokio-tungstenite",
            lambda binaries: binaries.peers / "peer-tokio-tungstenite",
            lambda _: f"{crate_version('tokio-tungstenite')}, tokio {crate_version('tokio')}",
        ),
        broadcast(
            "fastwebsockets",
            lambda binaries: binaries.peers / "peer-fastwebsockets",
            lambda _: f"{crate_version('fastwebsockets')}, tokio {crate_version('tokio')}",
        ),
    )
}


def say(text):
    print(text, file=sys.stderr, flush=True)
