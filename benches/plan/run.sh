#!/usr/bin/env bash
# Fits the capacity plan to small runs on this machine and holds it against larger ones; builds what that needs first.
set -euo pipefail
exec </dev/null

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../compare

say() { echo "$*" >&2; }

python=$(command -v python3) || { say "python3 is missing"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "python3 is older than 3.11"; exit 1; }

for argument in "$@"; do
  case $argument in -h | --help) exec "$python" "$here/check.py" --binaries . --help ;; esac
done

command -v cargo >/dev/null || { say "cargo is missing: install Rust from https://rustup.rs"; exit 1; }
command -v taskset >/dev/null || { say "taskset is missing (Debian package util-linux)"; exit 1; }

# Always the whole workspace: its parts alone would be built with other features.
say "building"
cargo build --release --workspace --locked --manifest-path "$root/Cargo.toml" >&2
target=$(cargo metadata --format-version 1 --no-deps --locked --manifest-path "$root/Cargo.toml" |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
exec "$python" "$here/check.py" --binaries "$target/release" "$@"
