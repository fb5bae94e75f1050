#!/usr/bin/env bash
# Runs the same work on corecast and on other WebSocket servers; installs and builds what that needs first.
set -euo pipefail
# No server and no installer reads what is typed here.
exec </dev/null

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# Where the caller's relative paths (--json, --html) belong.
folder=$PWD
export PYTHONDONTWRITEBYTECODE=1

say() { echo "$*" >&2; }

python=$(command -v python3) || { say "python3 is missing"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "python3 is older than 3.11"; exit 1; }
run() { cd "$folder" && PYTHONPATH=$here exec "$python" -m compare "$@"; }

for argument in "$@"; do
  case $argument in -h | --help | --from | --from=*) run "$@" ;; esac
done

command -v cargo >/dev/null || { say "cargo is missing: install Rust from https://rustup.rs"; exit 1; }
command -v taskset >/dev/null || { say "taskset is missing (Debian package util-linux)"; exit 1; }

# A peer that can't be installed is left out, with the reason; the others still run.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "$* can't be installed: this host has no apt-get"
  elif [ "$(id -u)" -ne 0 ]; then
    say "$* can't be installed: as root, apt-get install $*"
  else
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@"; } >&2 ||
      say "apt-get install $* failed"
  fi
}

[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] && [ -x /usr/sbin/nginx ] || install_packages nginx libnginx-mod-nchan
command -v node >/dev/null && command -v npm >/dev/null || install_packages nodejs npm

installed=$here/peers/node_modules/.package-lock.json
if command -v npm >/dev/null && { [ ! -e "$installed" ] || [ "$here/peers/package-lock.json" -nt "$installed" ]; }; then
  (cd "$here/peers" && npm ci --no-progress >&2) || say "npm ci failed: Bun and ws are left out"
fi

target_of() { cargo metadata --format-version 1 --no-deps --locked --manifest-path "$1" | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'; }

# Always the whole workspace: its parts alone would be built with other features.
say "building"
cargo build --release --workspace --locked --manifest-path "$root/Cargo.toml" >&2
ours=$(target_of "$root/Cargo.toml")
# Two workspaces in one directory would build what they share again and again.
theirs=$ours/peers
cargo build --release --locked --manifest-path "$here/peers/rust/Cargo.toml" --target-dir "$theirs" >&2 ||
  say "the peers written in Rust can't be built: they are left out"

run --binaries "$ours/release" --peer-binaries "$theirs/release" "$@"
