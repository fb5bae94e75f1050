#!/usr/bin/env bash
# What a second shard costs: the same work by one shard and by two that share the core, in turn.
set -euo pipefail

usage() {
  cat <<'END'
usage: benches/compare/shards.sh [rounds]

Runs the server on core 0, with one shard and with two, and corecast-load on core 1, by turns, five rounds unless told
otherwise. The work is the same: 1,000 subscribers of one topic and 8 publishers with 12 messages/s each for 10 s, 64
bytes. With two shards half of the subscribers and of the publishers are on each, so half of what is published crosses
over to its home and all of it is relayed.

Printed are the busy ticks of core 0 from /proc/stat for each delivery, which is the server's CPU and the share of the
loopback path that the kernel does on its behalf, and in the last line the medians and their ratio. Needs two cores with
nothing else on them, the release build, and python3.
END
}

case ${1-} in -h | --help) usage && exit ;; esac
rounds=${1:-5}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
server=target/release/corecast load=target/release/corecast-load
[ -x $server ] && [ -x $load ] || { echo "build first: cargo build --release --workspace" >&2; exit 1; }
results=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -r "$results"' EXIT

# Ticks that core 0 was not idle.
busy() { awk '$1 == "cpu0" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }

measure() {
  local shards=$1
  taskset -c 0 $server --shards "$shards" --listen 127.0.0.1:9301 --admin 127.0.0.1:9302 --log-filter warn &
  pid=$!
  for _ in $(seq 100); do
    python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9302))' 2>/dev/null && break
    sleep 0.1
  done
  local before after
  before=$(busy)
  $load run ws://127.0.0.1:9301/topics/shards --preset corecast --cores 1 --subscribers 1000 --publishers 8 \
    --rate 12 --duration 10s --metrics http://127.0.0.1:9302/metrics --quiet --json "$results/run.json" >/dev/null || [ $? = 3 ]
  after=$(busy)
  kill "$pid" && wait "$pid" || true
  pid=
  python3 - "$results" "$shards" "$((after - before))" <<'END'
import json, os, sys
results, shards, ticks = sys.argv[1], sys.argv[2], int(sys.argv[3])
run = json.load(open(f"{results}/run.json"))
received = run["delivery"]["received"]
assert run["delivery"]["lost"] == 0, run["delivery"]
cost = ticks / os.sysconf("SC_CLK_TCK") / received * 1e6
print(f"{shards} shard(s): {received:,} deliveries, {cost:.2f} us of core 0 each")
open(f"{results}/{shards}", "a").write(f"{cost}\n")
END
}

for _ in $(seq "$rounds"); do
  measure 1
  measure 2
done
python3 - "$results" <<'END'
import statistics, sys
one, two = ([float(line) for line in open(f"{sys.argv[1]}/{shards}")] for shards in (1, 2))
ratios = [b / a for a, b in zip(one, two)]
print(f"medians: {statistics.median(one):.2f} and {statistics.median(two):.2f} us; two shards / one: "
      f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
END
