#!/usr/bin/env bash
# Runs every test of the repository, and installs what they need first.
set -uo pipefail
exec </dev/null

usage() {
  cat <<'END'
usage: tests/run.sh [stage...]

Without arguments all stages run, in this order:
  fmt           formatting of all packages
  clippy        lints of all packages, warnings are errors
  test          unit, RFC, simulation and layering tests (cargo test, debug)
  fuzz          what peers may send, made up by libFuzzer, against oracles: 20 s for each target of tests/fuzz
  build         the release build
  python        the release build from outside: pytest, raw sockets, `websockets`, `aiohttp`, `picows`, libcurl
  node          the same with npm `ws`
  browser       client.js in node, the built-in page in headless Chromium, and Chromium's own WebSocket
  rust_clients  the same with the crates tokio-tungstenite and fastwebsockets
  autobahn      the Autobahn testsuite against server and generator, all but most of compression
  unprivileged  a server without any privilege passes messages
  instructions  what the hot parts execute, counted by callgrind, against benches/instructions/baseline.json
  hosts         one run of corecast-load over two workers, each host a network namespace
  load          corecast-load: 1,000 subscribers for 3 s, 50 topics from 2 connections, 12,000 connections; nothing may be lost
  compare       benches/compare: its unit tests, and every server of the comparison passes messages
  plan          the capacity plan: fits and predicts runs of 1 s, which says that it works, not how well
  doc           documentation, private items too, warnings are errors
  deny          licences, bans and sources of the dependencies (needs cargo-deny)

Each stage prints one line; what it wrote is shown only if it failed. The last line counts the tests, a stage without tests
as one. Exit code 0: nothing failed.

Python packages go to tests/.env and tests/.autobahn, npm packages to node_modules in tests/clients/node, tests/clients/browser and
benches/compare/peers. Debian packages that are missing are installed with apt-get by root; for others the stages that
need them are skipped, with the reason.
END
}

STAGES=(
  fmt clippy test fuzz build python node browser rust_clients autobahn unprivileged instructions hosts load compare plan doc deny
)

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
python=$root/tests/.env/bin/python
export CARGO_TERM_COLOR=never PYTHONDONTWRITEBYTECODE=1

# Stages --------------------------------------------------------------------------------------------------------
# Each one runs in a shell of its own, with `set -e`. `skip REASON` ends it.

# Servers to compare with and targets to fuzz, which are workspaces of their own.
peers=benches/compare/peers/rust/Cargo.toml
fuzz=tests/fuzz/Cargo.toml
# Clients with other WebSocket libraries, likewise.
clients=tests/clients/rust/Cargo.toml

stage_fmt() {
  cargo fmt --all --check
  cargo fmt --all --check --manifest-path $peers
  cargo fmt --check --manifest-path $fuzz
  cargo fmt --all --check --manifest-path $clients
}

stage_clippy() {
  cargo clippy --workspace --all-targets --locked -- -D warnings
  cargo clippy --all-targets --locked --manifest-path $peers --target-dir "$target/peers" -- -D warnings
  cargo clippy --all-targets --locked --manifest-path $clients --target-dir "$target/clients" -- -D warnings
}

# Tests that need what a host may lack print SKIPPED and why, which only shows with --show-output.
stage_test() { cargo test --workspace --locked --no-fail-fast -- --show-output; }

stage_fuzz() {
  # libFuzzer is C++, and even lints have it built.
  need_command c++ g++
  cargo clippy --all-targets --locked --manifest-path $fuzz --target-dir "$target/fuzz" -- -D warnings
  tests/fuzz/run.sh
}

stage_build() { cargo build --release --workspace --locked; }

stage_python() {
  need_binary
  need_python
  cd tests/clients/python
  "$python" -m pytest
}

stage_node() {
  need_binary
  need_command node nodejs
  need_command npm npm
  cd tests/clients/node
  need_node_modules
  node --test --test-reporter=spec --test-timeout=120000
}

stage_browser() {
  need_binary
  need_command node nodejs
  need_command npm npm
  # client.js is a module without a package.json that says so, as in a browser: older ones can't import it.
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    skip "Node.js $(node --version) is too old, 20.19 or newer is needed"
  [ -n "${CHROMIUM-}" ] || need_command chromium chromium
  cd tests/clients/browser
  need_node_modules
  node --test --test-reporter=spec --test-timeout=120000 --test-concurrency=1
}

stage_rust_clients() {
  need_binary
  cargo test --locked --manifest-path $clients --target-dir "$target/clients"
}

stage_autobahn() {
  need_binary
  need_command python3 python3
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "Python is too old, 3.11 or newer is needed"
  python3 -c "import ensurepip, venv" 2>/dev/null || need_package python3-venv "Python's venv"
  tests/conformance/autobahn/run.sh
}

stage_unprivileged() {
  need_binary
  need_python
  tests/unprivileged.sh "$CORECAST_BINARY" "$python"
}

# It makes the release build itself, like need_binary.
stage_instructions() {
  need_command python3 python3
  need_command valgrind valgrind
  benches/instructions/run.py --self-test
  benches/instructions/run.py
}

stage_hosts() {
  need_binary
  need_command python3 python3
  need_command ip iproute2
  tests/namespaces.py "$CORECAST_BINARY" "$target/release/corecast-load"
}

stage_load() {
  need_binary
  need_python
  cd tests/clients/python
  run_load "ws://{authority}/topics/{topic}" --preset corecast --subscribers 1000 --rate 100 --duration 3s
  run_load "ws://{authority}/ws" --preset corecast-json --topics 50 --publisher-connections 2 --subscribers 30 \
    --topics-per-subscriber 5 --rate 20 --duration 1s
  # More than one address has ports for, so several are taken.
  local most
  most=$(ulimit -Hn)
  if [ "$most" = unlimited ] || [ "$most" -ge 20000 ]; then
    run_load "ws://{authority}/topics/{topic}" --preset corecast --connections 12000 --ping --rate 1 --warmup 0s --duration 1s
  else
    echo "SKIPPED: 12,000 connections need more open files than $most: raise the hard limit (ulimit -Hn 20000)"
  fi
}

# Loads a server of its own; nothing may be lost.
run_load() {
  local code=0
  "$python" -m support.serve "$target/release/corecast-load" run "$@" --server-pid "{pid}" --quiet || code=$?
  # 3: everything arrived, but other work on this host held the generator up, so its latencies are worth nothing. They are
  # not what is tested here.
  [ $code -eq 0 ] || [ $code -eq 3 ] || return $code
}

stage_compare() {
  need_command python3 python3
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "Python is too old, 3.11 or newer is needed"
  # run.sh installs the others; a server that it can't have is skipped, with the reason.
  need_command taskset util-linux
  (cd benches/compare && python3 -m unittest)
  benches/compare/run.sh --check
}

stage_plan() {
  need_command python3 python3
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "Python is too old, 3.11 or newer is needed"
  need_command taskset util-linux
  (cd benches/plan && PYTHONPATH=../compare python3 -m unittest)
  benches/plan/run.sh --check --runs few,thousand,large,far,four-thousand,full
}

stage_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked; }

stage_deny() {
  command -v cargo-deny >/dev/null || skip "cargo-deny is not installed (cargo install cargo-deny)"
  cargo deny --locked check licenses bans sources
}

# What stages need ----------------------------------------------------------------------------------------------

# The reason goes to the file that the stage's line is made from.
skip() {
  echo "$1" >"$reason"
  exit 77
}

# need_command COMMAND PACKAGE: installs the Debian package that brings it, if that is possible.
need_command() {
  command -v "$1" >/dev/null && return
  need_package "$2" "$1"
  command -v "$1" >/dev/null || skip "Debian package $2 brought no $1"
}

need_package() {
  command -v apt-get >/dev/null || skip "$2 is missing, and this host has no apt-get to install it"
  [ "$(id -u)" -eq 0 ] || skip "$2 is missing: as root, apt-get install $1"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$1"; } ||
    skip "$2 is missing, and apt-get install $1 failed"
}

# A virtual environment with exactly the packages of requirements.txt.
need_python() {
  need_command python3 python3
  python3 -c "import ensurepip, venv" 2>/dev/null || need_package python3-venv "Python's venv"
  local wanted=$root/tests/clients/python/requirements.txt installed=$root/tests/.env/requirements.txt
  cmp -s "$wanted" "$installed" && "$python" -c "import aiohttp, curl_cffi, picows, pytest, websockets" 2>/dev/null && return
  python3 -m venv --clear "$root/tests/.env"
  "$python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
  cp "$wanted" "$installed"
}

# The packages of package-lock.json in the working directory.
need_node_modules() {
  local lock=node_modules/.package-lock.json
  [ -e "$lock" ] && [ ! package-lock.json -nt "$lock" ] || npm ci --no-progress
}

# The release build, up to date. Always of the whole workspace: its parts alone would be built with other features.
need_binary() {
  stage_build
  export CORECAST_BINARY=$target/release/corecast
}

# Running and counting ------------------------------------------------------------------------------------------

# count OUTPUT: "passed failed skipped" of the tests that cargo, pytest, node and run.py report in it.
count() {
  awk '
    # cargo, and what its tests say about themselves
    /^test result: / { passed += $4; failed += $6; skipped += $8 }
    /^SKIPPED: / { passed -= 1; skipped += 1 }
    # benches/instructions/run.py
    /^[0-9]+ cases passed, / { passed += $1; failed += $4; skipped += $6 }
    # tests/conformance
    /^autobahn: / { passed += $2; failed += $4; skipped += $6 }
    # unittest, benches/compare/run.sh --check and tests/fuzz/run.sh
    /^Ran [0-9]+ tests? in / { passed += $2 }
    /^FAILED \((failures|errors)=/ { gsub(/[^0-9]+/, " "); passed -= $1 + $2; failed += $1 + $2 }
    /^(check|fuzz): / { passed += $2; failed += $4; skipped += $6 }
    # pytest
    /^[0-9]+ (passed|failed|skipped|error).* in [0-9.]+s/ {
      for (i = 1; i < NF; i += 1) {
        if ($(i + 1) ~ /^passed/) passed += $i
        if ($(i + 1) ~ /^(failed|error)/) failed += $i
        if ($(i + 1) ~ /^skipped/) skipped += $i
      }
    }
    # node
    $1 == "ℹ" && $2 == "pass" { passed += $3 }
    $1 == "ℹ" && ($2 == "fail" || $2 == "cancelled") { failed += $3 }
    $1 == "ℹ" && $2 == "skipped" { skipped += $3 }
    END { print passed + 0, failed + 0, skipped + 0 }
  ' "$1"
}

passed=0 failed=0 skipped=0

run_stage() {
  local stage=$1 began=$SECONDS code p f s result
  : >"$reason"
  (set -e; "stage_$stage") >"$output" 2>&1
  code=$?
  read -r p f s < <(count "$output")
  if [ $code -eq 77 ]; then
    p=0 f=0 s=1 result="SKIPPED: $(cat "$reason"; sed -n 's/^SKIPPED: //p' "$output" | tail -n 1)"
  elif [ $code -ne 0 ]; then
    # It may have failed before or beside its tests.
    [ "$f" -gt 0 ] || f=1
    result="FAILED, $f of $((p + f + s))"
  else
    # A stage without tests is one itself.
    [ $((p + f + s)) -gt 0 ] || p=1
    result="ok, $p"
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  printf '%-13s %5d s  %s\n' "$stage" $((SECONDS - began)) "$result"
  [ $code -eq 77 ] || sed -n 's/^SKIPPED/  SKIPPED/p' "$output"
  [ $code -eq 0 ] || [ $code -eq 77 ] || { echo "--- output of $stage"; tail -n 400 "$output"; echo "---"; }
}

case ${1-} in -h | --help) usage && exit 0 ;; esac
for stage in "$@"; do
  [[ " ${STAGES[*]} " == *" $stage "* ]] || { echo "tests/run.sh: no stage is called $stage" >&2 && usage >&2 && exit 2; }
done
[ $# -gt 0 ] || set -- "${STAGES[@]}"

command -v cargo >/dev/null || { echo "tests/run.sh: cargo is missing: install Rust from https://rustup.rs" >&2 && exit 1; }
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
[ -n "$target" ] || { echo "tests/run.sh: cargo metadata names no target directory" >&2 && exit 1; }

output=$(mktemp) reason=$(mktemp)
trap 'rm -f "$output" "$reason"' EXIT

for stage in "$@"; do
  run_stage "$stage"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
