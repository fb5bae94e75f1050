#!/usr/bin/env bash
# Fuzzes one target after the other, each for a while; installs cargo-fuzz first if it is missing.
set -euo pipefail
exec </dev/null

usage() {
  cat <<'END_OF_USAGE'
usage: tests/fuzz/run.sh [--seconds N] [target...]

Without targets all of them run, 20 seconds each unless told otherwise. Each begins with the committed corpus, corpus/TARGET,
and with what it found earlier, work/corpus/TARGET. Exit code 0: nothing was found.
END_OF_USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
all=()
for file in "$here"/targets/*.rs; do all+=("$(basename "$file" .rs)"); done

seconds=20 targets=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --seconds) seconds=${2-} && shift 2 ;;
    *) targets+=("$1") && shift ;;
  esac
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: --seconds takes a number from 1 on" >&2 && exit 2; }
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
for name in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $name "* ]] || { echo "fuzz: no target is called $name; there are: ${all[*]}" >&2 && exit 2; }
done

# Beside what the other workspaces build.
folder=$(cargo metadata --format-version 1 --no-deps --locked --manifest-path "$here/../../Cargo.toml" |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/fuzz
export PATH=$PATH:$folder/tools/bin
if ! command -v cargo-fuzz >/dev/null && ! cargo install cargo-fuzz --locked --root "$folder/tools" >&2; then
  echo "SKIPPED: cargo-fuzz is missing and can't be installed (cargo install cargo-fuzz --locked)"
  exit 77
fi

# Coverage and AddressSanitizer are flags that a stable compiler takes only so.
RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir "$here" --target-dir "$folder" >&2
binaries=$folder/$(rustc -vV | sed -n 's/^host: //p')/release

dictionary_of() {
  case $1 in
    deflate | handshake | http1) echo "$here/heads.dict" ;;
    json_command) echo "$here/json.dict" ;;
  esac
}

passed=0 failed=0
for name in "${targets[@]}"; do
  found=$here/work/corpus/$name log=$here/work/$name.log artifact=$here/work/$name.artifact
  mkdir -p "$found"
  rm -f "$artifact"
  options=(-max_total_time="$seconds" -max_len=1024 -timeout=10 -exact_artifact_path="$artifact" -print_final_stats=1)
  dictionary=$(dictionary_of "$name")
  [ -z "$dictionary" ] || options+=(-dict="$dictionary")
  if "$binaries/$name" "$found" "$here/corpus/$name" "${options[@]}" >"$log" 2>&1; then
    passed=$((passed + 1))
    # The last line about progress: "#100466 DONE cov: 1585 ft: 4908 ...".
    sed -n "s/^#\([0-9]*\).*DONE *cov: \([0-9]*\).*/$name: \1 inputs in $seconds s, \2 edges covered/p" "$log"
  else
    failed=$((failed + 1))
    echo "$name: FAILED"
    sed -n '/panicked at\|ERROR: /,/^stack backtrace:\|^ *#1 /p' "$log" | head -n 40
    echo "All of it: $log"
    echo "The input: $artifact"
    echo "Again:     $binaries/$name $artifact"
  fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
