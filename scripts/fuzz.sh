#!/usr/bin/env bash
# Builds and runs the fuzzers. Usage: fuzz.sh [NAME] [SECONDS]; without NAME, every one, 30 seconds each.
# Inputs that add coverage stay in build/fuzz/corpus/NAME, those that crash in build/fuzz/crashes/NAME, logs in build/fuzz/logs.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-} seconds=${2:-30}
[ -f build/fuzz/build.ninja ] || cmake --preset fuzz >/dev/null
targets=$(ninja -C build/fuzz -t targets all | sed -n 's/^\(fuzz_[a-z0-9_]*\): phony.*/\1/p' | sort -u)
[ -n "$targets" ] || { echo "fuzz: no fuzzers found" >&2; exit 1; }
if [ -n "$name" ]; then
  grep -qx "fuzz_$name" <<<"$targets" || { echo "fuzz: no fuzzer '$name'; there are:" ${targets//fuzz_/} >&2; exit 2; }
  targets=fuzz_$name
fi
cmake --build build/fuzz -j "${CROSSOVER_JOBS:-$(nproc)}" --target seeds_for_fuzzers $targets
build/fuzz/bin/seeds_for_fuzzers build/fuzz/corpus

crashed=()
mkdir -p build/fuzz/logs
for target in $targets; do
  name=${target#fuzz_}
  corpus=build/fuzz/corpus/$name crashes=build/fuzz/crashes/$name/ log=build/fuzz/logs/$name.log
  mkdir -p "$corpus" "$crashes"
  echo "fuzz: $name for $seconds s"
  if build/fuzz/fuzz/"$name" -max_total_time="$seconds" -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$crashes" "$corpus" \
      >"$log" 2>&1; then
    tail -n 4 "$log"
  else
    cat "$log"
    crashed+=("$name")
  fi
done
if [ ${#crashed[@]} != 0 ]; then
  echo "fuzz: crashes in ${crashed[*]}: the inputs are in build/fuzz/crashes, the outputs above and in build/fuzz/logs" >&2
  exit 1
fi
