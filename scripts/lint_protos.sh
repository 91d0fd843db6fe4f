#!/usr/bin/env bash
# buf's rules over our protos, and its comparison with the protos of a landed commit.
# Usage: lint_protos.sh [COMMIT]   COMMIT: what to compare with (default: origin/main, else main; none skips the comparison)
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}
googleapis=$cache/wheels-v1
buf=.tools/buf/node_modules/.bin/buf
version=1.75.0

fail() { printf 'lint_protos: %s\n' "$1" >&2; exit 1; }
[ -f "$googleapis/google/api/annotations.proto" ] || fail "googleapis is not in $googleapis; run ./dev setup"
if [ "$("$buf" --version 2>/dev/null)" != $version ]; then
  command -v npm >/dev/null || fail "npm is needed to fetch buf; run ./dev setup --lint"
  npm install --no-audit --no-fund --silent --prefix .tools/buf -E @bufbuild/buf@$version >/dev/null ||
    fail "npm could not fetch @bufbuild/buf@$version: is a registry reachable?"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# buf reads a descriptor set that protoc made: it would not find googleapis in the cache by itself.
image() {  # image FOLDER OUT: the protos under FOLDER as one descriptor set
  (cd "$1" && find crossover -name '*.proto' | sort |
    xargs protoc -I. -I"$googleapis" -I/usr/include --include_imports --include_source_info --descriptor_set_out="$2")
}

image protos "$work/now.binpb"
"$buf" lint "$work/now.binpb" --config protos/buf.yaml

against=${1:-$(git rev-parse -q --verify origin/main || git rev-parse -q --verify main || true)}
if [ -z "$against" ] || ! git cat-file -e "$against:protos/crossover" 2>/dev/null; then
  echo "lint_protos: rules hold; no earlier protos to compare with"
  exit
fi
mkdir "$work/before"
git archive "$against" protos | tar -x -C "$work/before"
image "$work/before/protos" "$work/before.binpb"
"$buf" breaking "$work/now.binpb" --against "$work/before.binpb" --config protos/buf.yaml
echo "lint_protos: rules hold, nothing breaks clients of $(git rev-parse --short "$against")"
