#!/usr/bin/env bash
# Builds and runs the fuzzers. Usage: fuzz.sh [NAME] [SECONDS]; without NAME, every one, 30 seconds each.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-} seconds=${2:-30}
[ -f build/fuzz/build.ninja ] || cmake --preset fuzz >/dev/null
targets=$(ninja -C build/fuzz -t targets all | sed -n 's/^\(fuzz_[a-z0-9_]*\): phony.*/\1/p' | sort -u)
[ -n "$targets" ] || { echo "fuzz: no fuzzers found" >&2; exit 1; }
[ -z "$name" ] || targets=fuzz_$name
cmake --build build/fuzz -j "${CROSSOVER_JOBS:-$(nproc)}" --target $targets
for target in $targets; do
  corpus=build/fuzz/corpus/${target#fuzz_}
  mkdir -p "$corpus"
  echo "fuzz: ${target#fuzz_} for $seconds s"
  build/fuzz/fuzz/"${target#fuzz_}" -max_total_time="$seconds" -rss_limit_mb=4096 -print_final_stats=1 "$corpus" 2>&1 | tail -n 4
done
