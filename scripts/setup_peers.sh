#!/usr/bin/env bash
# Installs the trainers that ./dev bench train compares with (transformers with PEFT, TRL) into a venv under the cache folder and prints
# its Python. PyPI's torch brings NVIDIA's libraries, some gigabytes that no bench uses; PIP_EXTRA_INDEX_URL can name an index of builds for
# processors.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}/peers-venv
wanted=$(sha256sum "$root/bench/train/requirements.txt" | cut -c1-64)
if [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$wanted" ]; then
  python3 -m venv "$venv" >&2 || { echo "setup_peers: python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$root/bench/train/requirements.txt" >&2 ||
    { echo "setup_peers: pip could not install bench/train/requirements.txt (its words stand above)" >&2; exit 1; }
  echo "$wanted" >"$venv/.stamp"
fi
echo "$venv/bin/python"
