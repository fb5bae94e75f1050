#!/usr/bin/env bash
# Serves as an ordinary user without capabilities, with the limits such a user has, and passes messages.
#
# usage: tests/unprivileged.sh CORECAST PYTHON      the server's binary, and a Python with the tests' packages
# Exit code 77: not possible here; the last line says why.
set -euo pipefail

binary=$1 python=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

skip() {
  echo "SKIPPED: $1"
  exit 77
}

case $(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0) in
  1) skip "kernel.io_uring_disabled is 1: only privileged processes may use io_uring" ;;
  2) skip "kernel.io_uring_disabled is 2: no process may use io_uring" ;;
esac

if [ "$(id -u)" -eq 0 ]; then
  command -v setpriv >/dev/null || skip "setpriv (Debian package util-linux) is missing, which gives up root's rights"
  nobody=$(id -u nobody 2>/dev/null) || skip "there is no user nobody on this host"
  # The repository may stand where nobody else can read.
  place=$(mktemp -d)
  trap 'rm -rf "$place"' EXIT
  chmod 755 "$place"
  install -m 755 "$binary" "$place/corecast"
  binary=$place/corecast
  drop="setpriv --reuid=$nobody --regid=$(id -g nobody) --clear-groups --no-new-privs"
  drop="$drop --bounding-set=-all --inh-caps=-all"
  $drop "$binary" --version >/dev/null || skip "user nobody cannot run a program in $place"
else
  drop="env"
fi

# What a login shell usually has: 8 MiB of locked memory, 1,024 files.
ulimit -l 8192 2>/dev/null || true
ulimit -n 1024

cd "$here/clients/python"
CORECAST_BINARY=$binary CORECAST_DROP_PRIVILEGES=$drop "$python" -m pytest unprivileged.py
