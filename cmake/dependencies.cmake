# Third-party libraries as targets named dep_<library>. Rooms link these names and nothing else from outside.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(crossover_pkg target module)
  pkg_check_modules(${target} REQUIRED IMPORTED_TARGET ${module})
  add_library(dep_${target} INTERFACE)
  target_link_libraries(dep_${target} INTERFACE PkgConfig::${target})
endfunction()

find_package(absl REQUIRED)
add_library(dep_absl INTERFACE)
target_link_libraries(dep_absl INTERFACE absl::status absl::statusor absl::strings absl::str_format absl::time
  absl::synchronization absl::flat_hash_map absl::flat_hash_set absl::btree absl::cord absl::span absl::hash Threads::Threads)

find_package(Protobuf REQUIRED)
add_library(dep_protobuf INTERFACE)
target_link_libraries(dep_protobuf INTERFACE protobuf::libprotobuf)
crossover_pkg(grpc grpc++)
target_link_libraries(dep_grpc INTERFACE dep_protobuf grpc++_reflection)

crossover_pkg(pqxx libpqxx)
crossover_pkg(openssl openssl)
crossover_pkg(pcre2 libpcre2-8)
crossover_pkg(icu icu-uc)
crossover_pkg(zstd libzstd)
crossover_pkg(yaml yaml-cpp)
crossover_pkg(prometheus prometheus-cpp-core)
crossover_pkg(simdjson simdjson)
crossover_pkg(zlib zlib)
foreach(header_only json boost cli11 xxhash)   # all in the compiler's default include path
  add_library(dep_${header_only} INTERFACE)
endforeach()
# Handlers compile once, in common/http; keeps Boost.Asio from linking deprecated APIs.
target_compile_definitions(dep_boost INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ALL_NO_LIB)

add_library(dep_gtest INTERFACE)
target_link_libraries(dep_gtest INTERFACE gmock gtest Threads::Threads)

# What `./dev setup` unpacked from PyPI wheels: LibTorch, the test model, googleapis' protos.
if(DEFINED ENV{CROSSOVER_CACHE})
  set(CROSSOVER_CACHE $ENV{CROSSOVER_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(CROSSOVER_CACHE $ENV{XDG_CACHE_HOME}/crossover)
else()
  set(CROSSOVER_CACHE $ENV{HOME}/.cache/crossover)
endif()
set(CROSSOVER_WHEELS ${CROSSOVER_CACHE}/wheels-v1)
if(NOT EXISTS ${CROSSOVER_WHEELS}/google/rpc/status.proto)
  message(FATAL_ERROR "${CROSSOVER_WHEELS} is missing or incomplete. Run ./dev setup first.")
endif()

if(CROSSOVER_TORCH)
  # find_package(Torch) of this wheel asks for a CUDA toolkit, so the target is our own. Its include folder carries its own
  # google/protobuf: a target that links dep_torch must not include protobuf headers (scripts/check_layering.py).
  set(torch_root ${CROSSOVER_WHEELS}/torch)
  add_library(dep_torch INTERFACE)
  target_include_directories(dep_torch SYSTEM INTERFACE
    ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
  target_link_options(dep_torch INTERFACE -Wl,--no-as-needed)
  target_link_libraries(dep_torch INTERFACE ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so
    -Wl,-rpath,${torch_root}/lib)
  # libtorch_cpu.so itself needs these two of NVIDIA's runtime to load.
  target_link_options(dep_torch INTERFACE -Wl,-rpath-link,${CROSSOVER_WHEELS}/nvidia/cu13/lib)
endif()
