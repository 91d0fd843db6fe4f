#!/usr/bin/env bash
# Installs what the tests labelled `deploy` need: Prometheus from Debian, and the Compose specification's schema with its checker in
# a venv under the cache folder.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/setup.sh" --deploy
venv=${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}/deploy-venv
wanted=$(sha256sum "$root/tests/deploy/requirements.txt" | cut -c1-64)
[ "$(cat "$venv/.stamp" 2>/dev/null)" = "$wanted" ] && exit 0
python3 -m venv "$venv" || { echo "setup_deploy: python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
"$venv/bin/pip" install -q --disable-pip-version-check -r "$root/tests/deploy/requirements.txt"
echo "$wanted" >"$venv/.stamp"
