# Language level, warnings, compiler cache, linker and sanitizers for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Dev: what ./dev build, test and demo use. Two cores compile everything in a quarter of an hour only if the optimiser works where
# it pays: rooms on a hot path get -O2 (rooms.cmake), tests none, the rest -O1. The release preset optimises everything.
set(CMAKE_C_FLAGS_DEV "-O1 -g1")
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

add_compile_options(-Wall -Wextra -Werror=return-type -Wno-missing-field-initializers)
add_link_options(-Wl,--as-needed)

find_program(CCACHE ccache)
if(CCACHE)
  # Paths are hashed relative to the checkout, so that clones share one cache. The sloppiness is what precompiled headers ask for.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(CROSSOVER_SANITIZE)
  add_compile_options(-fsanitize=${CROSSOVER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=${CROSSOVER_SANITIZE})
endif()
if(CROSSOVER_FUZZ)
  # Debian's Abseil was compiled by g++, whose mangling of constrained templates clang 18 gave up.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fclang-abi-compat=17)
  add_link_options(-fsanitize=address,undefined)
endif()
