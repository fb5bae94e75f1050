"""Where a result comes from: a figure without it means little."""

import os
import platform
from pathlib import Path

from . import meter
from .peers import ROOT, SERVERS, output_of


def cpu_model():
    """x86 has `model name`; most others have nothing that names the model."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def setting(path):
    try:
        return (Path("/proc/sys") / path).read_text().strip()
    except OSError:
        return "unknown"


def commit():
    if not (ROOT / ".git").exists():
        return "unknown"
    changed = output_of("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no")
    return output_of("git", "-C", ROOT, "rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")


def describe(binaries, names, command_line):
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "congestion_control": setting("net/ipv4/tcp_congestion_control"),
        "load_average": meter.load_average(),
        "commit": commit(),
        "servers": {
            name: None if SERVERS[name].missing(binaries) else SERVERS[name].version(binaries) for name in names
        },
        "command_line": command_line,
    }
