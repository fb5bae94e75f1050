#!/usr/bin/env bash
# The Autobahn testsuite against the server and against the generator's client, release builds.
#
# usage: tests/conformance/autobahn/run.sh [--all] [--side server|client] [case...]
#
# Without --all: every case but most of those of compression. Patterns such as '9.*' or 12.1.3 choose cases. The suite is
# installed into tests/.autobahn, what it reports is in tests/.autobahn/reports/{server,client}/index.html.
# CORECAST_BINARY names a server that is built already, with corecast-load beside it.
# Exit code: 0 all results are OK or excluded with a reason in ../excluded.toml, 1 some are not.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
environment=$root/tests/.autobahn/env
export PYTHONDONTWRITEBYTECODE=1

if ! cmp -s "$here/setup.sh" "$environment/setup.sh"; then
  rm -rf "$environment"
  "$here/setup.sh" "$environment"
  cp "$here/setup.sh" "$environment/setup.sh"
fi

if [ -z "${CORECAST_BINARY-}" ]; then
  cd "$root"
  cargo build --release --workspace --locked
  target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  export CORECAST_BINARY=$target/release/corecast
fi

exec "$environment/bin/python" "$here/suite.py" "$@"
