#!/usr/bin/env bash
# Builds llama.cpp's llama-server, which ./dev bench generate runs beside the model server, from the sources that llama-cpp-python's sdist
# carries. Prints the program's path. Usage: setup_llama_server.sh [FOLDER], default a folder of the cache; CROSSOVER_JOBS compilers at a time.
set -euo pipefail
version=0.3.36
folder=${1:-${CROSSOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crossover}/llama-server-$version}
server=$folder/build/bin/llama-server
[ -x "$server" ] && { echo "$server"; exit 0; }

mkdir -p "$folder"
sources=$folder/llama_cpp_python-$version/vendor/llama.cpp
if [ ! -d "$sources" ]; then
  python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary llama-cpp-python -d "$folder" "llama-cpp-python==$version"
  tar xzf "$folder/llama_cpp_python-$version.tar.gz" -C "$folder"
fi
# llama.cpp's kernels for this machine's instructions, named one by one so that a virtual machine that hides its model gets them too.
flags=(-DGGML_NATIVE=OFF)
has() { grep -qwm1 "$1" /proc/cpuinfo; }
for pair in avx2:AVX2 fma:FMA f16c:F16C bmi2:BMI2 avx512f:AVX512 avx512_vnni:AVX512_VNNI avx512_vbmi2:AVX512_VBMI \
            avx512_bf16:AVX512_BF16 amx_int8:AMX_INT8 amx_tile:AMX_TILE; do
  if has "${pair%%:*}"; then flags+=("-DGGML_${pair##*:}=ON"); else flags+=("-DGGML_${pair##*:}=OFF"); fi
done
cmake -S "$sources" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF "${flags[@]}" >"$folder/configure.log" 2>&1 ||
  { tail -n 20 "$folder/configure.log" >&2; exit 1; }
cmake --build "$folder/build" -j "${CROSSOVER_JOBS:-$(nproc)}" --target llama-server >"$folder/build.log" 2>&1 ||
  { tail -n 20 "$folder/build.log" >&2; exit 1; }
echo "$server"
