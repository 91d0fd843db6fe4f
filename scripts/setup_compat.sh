#!/usr/bin/env bash
# Installs the oracles that tests/compat compares with (transformers, peft, tokenizers, scipy, …) into a venv under the cache folder, and
# unpacks the vocabularies and chat templates that llama.cpp's sources carry beside it (llama.cpp-models).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}
venv=$cache/compat-venv models=$cache/llama.cpp-models
version=$(sed -n 's/^llama-cpp-python==//p' "$root/tests/compat/requirements.txt")
wanted=$(sha256sum "$root/tests/compat/requirements.txt" | cut -c1-64)

install() {
  [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$wanted" ] && return
  "$root/scripts/setup.sh" --compat
  python3 -m venv "$venv" || { echo "setup_compat: python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
  # llama-cpp-python is compiled here, for minutes: without llama.cpp's multi-modal part, which no test uses.
  export CMAKE_ARGS="-DLLAVA_BUILD=OFF ${CMAKE_ARGS:-}"
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$root/tests/compat/requirements.txt"
  echo "$wanted" >"$venv/.stamp"
}

# The folder appears whole or not at all.
unpack_models() {
  [ "$(cat "$models/.stamp" 2>/dev/null)" = "$version" ] && return
  local made
  made=$(mktemp -d "$cache/llama.cpp-models.XXXXXX")
  if "$venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary llama-cpp-python -d "$made" "llama-cpp-python==$version" &&
      mkdir "$made/models" && tar xzf "$made/llama_cpp_python-$version.tar.gz" -C "$made/models" --strip-components=4 \
        "llama_cpp_python-$version/vendor/llama.cpp/models"; then
    echo "$version" >"$made/models/.stamp"
    rm -rf "$models"
    mv "$made/models" "$models"
  else
    echo "setup_compat: llama.cpp's vocabularies and templates could not be fetched; tests that need them will skip" >&2
  fi
  rm -rf "$made"
}

install
unpack_models
