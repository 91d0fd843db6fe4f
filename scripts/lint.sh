#!/usr/bin/env bash
# Everything that can be judged without running the code. Usage: lint.sh [--fast] (without clang-tidy)
set -uo pipefail
cd "$(dirname "$0")/.."
build=build/${CROSSOVER_PRESET:-dev}
failed=0
step() { local name=$1; shift; if "$@"; then echo "lint: $name ok"; else echo "lint: $name FAILED" >&2; failed=1; fi; }

sources() { git ls-files '*.cc' '*.h'; }
check_format() { sources | xargs clang-format-19 --dry-run -Werror; }

# Time and sleep come from common/time; strings of one machine have no place in the tree.
check_clock() {
  ! git grep -nE 'absl::Now\(\)|sleep_for\(|absl::SleepFor\(|std::this_thread::sleep|system_clock::now\(\)' -- '*.cc' '*.h' \
      ':!common/time' ':!bench' ':!tests' ':!*_test.cc' ':!common/testing'
}
check_pragma() { local missing; missing=$(git ls-files '*.h' | xargs grep -L '#pragma once' || true); [ -z "$missing" ] || { echo "no #pragma once: $missing"; return 1; }; }
check_main() {
  local file bad=0
  for file in $(git ls-files 'services/*/main.cc'); do
    [ "$(wc -l <"$file")" -le 80 ] || { echo "$file: more than 80 lines"; bad=1; }
  done
  return $bad
}
check_unowned() { ! git grep -nE '\b(TODO|FIXME|XXX)\b' -- '*.cc' '*.h' '*.py' '*.sh' '*.proto' ':!scripts/lint.sh' ':!examples/debian_packages/make_rows.py' ':!tests/e2e/demo_parts_test.py' | grep -vE '(TODO|FIXME)\(#[0-9]+\)'; }
check_tidy() {
  # What the build compiles, files that it joins together, each with no headers but its own; generated code and third parties are outside
  # the header filter. One process a core.
  mkdir -p "$build/tidy"
  python3 - "$build/compile_commands.json" "$build/tidy/compile_commands.json" <<'END' |
import json, re, sys
units = json.load(open(sys.argv[1]))
for unit in units:
    unit["command"] = re.sub(r"-Winvalid-pch -include \S+cmake_pch\.hxx", "", unit["command"])
json.dump(units, open(sys.argv[2], "w"))
print(*(unit["file"] for unit in units if not re.search("/gen/|/protos/|cmake_pch", unit["file"])), sep="\n")
END
    xargs -P "$(nproc)" -n 1 clang-tidy-19 --quiet -p "$build/tidy" 2>&1 | grep -E 'error:|warning: .*\[' | sort -u | head -100 | { ! grep .; }
}

step format check_format
step clock check_clock
step headers check_pragma
step mains check_main
step unowned check_unowned
step layering python3 scripts/check_layering.py "$build"
step reasons python3 scripts/check_reasons.py
[ -x scripts/lint_protos.sh ] && step protos scripts/lint_protos.sh
[ "${1:-}" = --fast ] || step clang-tidy check_tidy
exit $failed
