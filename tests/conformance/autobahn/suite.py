"""Runs Autobahn's cases against the server and against the generator's client, and holds the results against
excluded.toml. With the Python of the environment that setup.sh makes; run.sh does both.

Exit code: 0 every result is as it should be, 1 some is not or a run went wrong.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1]
sys.path.insert(0, str(TESTS / "clients" / "python"))

from support.process import Server, binary  # noqa: E402

WSTEST = Path(sys.executable).with_name("wstest")
REPORTS = TESTS / ".autobahn" / "reports"
EXCLUDED = HERE.parent / "excluded.toml"

# What a run of one side may take: all cases are some minutes where nothing else is done.
SECONDS = 60 * 60

# Room for the largest message (9.1.6, 9.2.6) and the most fragments (9.3.1, 9.4.1: 65,536 and the one that begins).
SERVER_FLAGS = ["--echo-path", "/echo", "--max-message-bytes", "16MiB", "--topic-log-bytes", "32MiB", "--log-bytes", "96MiB"]
SERVER_FLAGS += ["--max-fragments", "65537"]
# Every offer is agreed to, and even the shortest messages come back compressed.
SERVER_FLAGS += ["--deflate-small-windows", "--deflate-threshold", "0"]

# Everything but of compression (12, 13): there only messages of up to 16 KiB. 8 and 11 have no cases.
SUBSET = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
SUBSET += [f"12.{data}.{size}" for data in range(1, 6) for size in (1, 2, 3, 4, 5, 6, 7, 11, 12)]
SUBSET += [f"13.{offer}.{size}" for offer in range(1, 8) for size in (1, 2, 3, 4, 5, 6, 7, 11, 12)]

# What a case may be instead of OK, if excluded.toml says why.
EXCUSABLE = ("NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")


@dataclass
class Result:
    """What the suite says of one case: of the outcome, and of how the connection ended. They are judged apart."""

    behavior: str
    close: str

    def is_ok(self):
        return self.behavior == "OK" and self.close == "OK"

    def word(self):
        """The word that a reason in excluded.toml has to begin with."""
        return self.close if self.behavior == "OK" else self.behavior

    def is_excusable(self):
        return self.behavior in ("OK", *EXCUSABLE) and self.close in ("OK", *EXCUSABLE)

    def __str__(self):
        return self.behavior if self.close == "OK" else f"{self.behavior}, close {self.close}"


def main():
    options = argparse.ArgumentParser(prog="run.sh", description=__doc__.splitlines()[0])
    options.add_argument("--all", action="store_true", help="every case, which takes a quarter of an hour and more")
    options.add_argument("--side", choices=("server", "client"), help="one side only")
    options.add_argument("case", nargs="*", help="these cases only, such as 7.* 9.1.6")
    options = options.parse_args()
    cases = options.case or (["*"] if options.all else SUBSET)
    with open(EXCLUDED, "rb") as file:
        excluded = tomllib.load(file)

    mistakes = []
    counts = Counter()
    for side, test in (("server", test_server), ("client", test_client)):
        if options.side in (None, side):
            began = time.monotonic()
            results = test(cases)
            mistakes += judge(side, results, excluded[side])
            counts.update(cases=len(results), excused=sum(not result.is_ok() for result in results.values()))
            print(row(side, results, time.monotonic() - began), flush=True)
    for mistake in mistakes:
        print(mistake)
    failed = len(mistakes)
    print(f"autobahn: {counts['cases'] - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def row(side, results, seconds):
    words = Counter(result.word() for result in results.values())
    listed = "  ".join(f"{word} {count}" for word, count in sorted(words.items(), key=lambda pair: -pair[1]))
    return f"{side:<7} {len(results):>4} cases in {seconds:4.0f} s:  {listed}"


def judge(side, results, excluded):
    """What is wrong with the results: a case that is not OK and not excluded, or excluded and OK, or for another reason."""
    mistakes = []
    for case, result in results.items():
        reason = next((why for pattern, why in excluded.items() if fnmatchcase(case, pattern)), None)
        if result.is_ok():
            if reason:
                mistakes.append(f"{side} {case}: is OK, so take it out of excluded.toml")
        elif reason is None or not result.is_excusable():
            mistakes.append(f"{side} {case}: {result}; see {REPORTS / side}")
        elif not reason.startswith(f"{result.word()}: "):
            mistakes.append(f"{side} {case}: {result}, but excluded.toml says {reason!r}")
    return mistakes


# The two sides -----------------------------------------------------------------------------------------------------


def test_server(cases):
    """Autobahn's fuzzing client against `corecast serve`."""
    server = Server(*SERVER_FLAGS)
    try:
        servers = [{"agent": "server", "url": f"ws://{server.authority}/echo"}]
        spec = new_report("server", cases, servers=servers)
        log = spec.with_name("wstest.log")
        with open(log, "w") as file:
            code = subprocess.run(
                [WSTEST, "-m", "fuzzingclient", "-s", spec],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            ).returncode
        server.stop()
    finally:
        server.kill()
    text = log.read_text()
    count = re.search(r"Ok, will run (\d+) test cases", text)
    if code != 0 or not count:
        sys.exit(f"wstest ended with {code}:\n{text[-4000:]}")
    return read_results("server", int(count[1]))


def test_client(cases):
    """`corecast-load autobahn` against Autobahn's fuzzing server."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    spec = new_report("client", cases, url=url)
    suite = subprocess.Popen(
        [WSTEST, "-m", "fuzzingserver", "-u", "0", "-s", spec],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    has_begun = threading.Event()

    def read():
        for line in suite.stdout:
            lines.append(line)
            if "Ok, will run" in line:
                has_begun.set()
        has_begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        has_begun.wait(60)
        wait_for_port(suite, port)
        client = subprocess.run(
            [Path(binary()).with_name("corecast-load"), "autobahn", url, "--agent", "client"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        suite.terminate()
        code = suite.wait(60)
    finally:
        suite.kill()
        suite.wait()
        reader.join()
    count = re.match(r"(\d+) cases done", client.stdout)
    if client.returncode != 0 or not count:
        sys.exit(f"corecast-load ended with {client.returncode}: {client.stderr}\n{''.join(lines)[-4000:]}")
    if code != 0:
        sys.exit(f"wstest ended with {code}:\n{''.join(lines)[-4000:]}")
    return read_results("client", int(count[1]))


def new_report(side, cases, **where):
    """The suite's settings in a file, in an empty folder for what it reports."""
    folder = REPORTS / side
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec = {"outdir": str(folder), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}, **where}
    path = folder / "spec.json"
    path.write_text(json.dumps(spec, indent=1))
    return path


def read_results(side, count):
    with open(REPORTS / side / "index.json") as file:
        report = json.load(file)[side]
    if len(report) != count:
        sys.exit(f"{side}: {count} cases were run, and {len(report)} are reported")
    cases = sorted(report, key=lambda case: [int(part) for part in case.split(".")])
    return {case: Result(report[case]["behavior"], report[case]["behaviorClose"]) for case in cases}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for_port(suite, port):
    """Until something listens there. It is not connected to: that would be a client without a handshake."""
    wanted = f"0100007F:{port:04X}"
    while suite.poll() is None:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local == wanted and state == "0A":
                return
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
