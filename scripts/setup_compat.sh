#!/usr/bin/env bash
# Installs the oracles that tests/compat compares with (transformers, peft, tokenizers, scipy, …) into a venv under the cache folder.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}/compat-venv
wanted=$(sha256sum "$root/tests/compat/requirements.txt" | cut -c1-64)
[ "$(cat "$venv/.stamp" 2>/dev/null)" = "$wanted" ] && exit 0
"$root/scripts/setup.sh" --compat
python3 -m venv "$venv" || { echo "setup_compat: python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
# llama-cpp-python is compiled here, for minutes: without llama.cpp's multi-modal part, which no test uses.
export CMAKE_ARGS="-DLLAVA_BUILD=OFF ${CMAKE_ARGS:-}"
"$venv/bin/pip" install -q --disable-pip-version-check -r "$root/tests/compat/requirements.txt"
echo "$wanted" >"$venv/.stamp"
