# A room is one library target named by its path (common_pg, llm_tokenizer, scheduler_domain …). DEPS are the rooms and
# dep_ libraries its public headers show; PRIVATE_DEPS those that only its .cc files see. What is not listed cannot be linked,
# and scripts/check_layering.py checks from the compiler's depfiles that nothing else was included.

# The level of optimisation of a target in the dev preset: `level`, but -O2 where the name matches `hot` ("": none does).
function(crossover_optimise name level hot)
  if(CMAKE_BUILD_TYPE STREQUAL "Dev")
    if(hot AND name MATCHES "${hot}")
      set(level -O2)
    endif()
    target_compile_options(${name} PRIVATE ${level})
  endif()
endfunction()

# Files of a room are compiled several at a time where CROSSOVER_JOIN is on: most of what a file takes are headers that the room's files share.
# Names of unnamed namespaces must therefore differ within a room.
function(crossover_join name)
  if(CROSSOVER_JOIN AND NOT name MATCHES "^llm.*_test$")
    # GCC warns of types with members of unnamed namespaces in a file that another includes; here each is included once.
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8 UNITY_BUILD_CODE_BEFORE_INCLUDE
"#ifndef __clang__
#pragma GCC diagnostic ignored \"-Wsubobject-linkage\"
#endif")
  endif()
endfunction()

# What every test includes takes longer to read than most tests to compile, so it is read once: GoogleTest, and ATen with autograd for
# tests that use LibTorch. The owner of a precompiled header must be compiled with the flags of those who use it.
function(crossover_share_headers name owner)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Dev" OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR CROSSOVER_SANITIZE)
    return()
  endif()
  if(NOT TARGET ${owner})
    add_executable(${owner} EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/common/testing/test_main.cc)
    target_link_libraries(${owner} PRIVATE dep_gtest)
    target_compile_definitions(${owner} PRIVATE _GLIBCXX_ASSERTIONS)
    target_compile_options(${owner} PRIVATE -O0)
    target_precompile_headers(${owner} PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
    if(owner STREQUAL "headers_of_torch_tests")
      target_link_libraries(${owner} PRIVATE dep_torch)
      target_precompile_headers(${owner} PRIVATE <ATen/ATen.h> <torch/csrc/autograd/autograd.h>)
    endif()
  endif()
  target_precompile_headers(${name} REUSE_FROM ${owner})
endfunction()

function(crossover_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${name} STATIC ${ARG_SRCS})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
    # Whose speed users feel: kernels, statistics, HTTP, hashing, what the router, the model server and the trainer do.
    set(level -O1)
    if(name MATCHES "^cli_")   # waits for people and servers
      set(level -O0)
    endif()
    crossover_optimise(${name} ${level}
      "^(llm|common_(http|stats|blob|dataset|json)|curation_domain|router|model_server|scheduler_(domain|storage)|worker)")
    crossover_join(${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

function(crossover_binary name)
  cmake_parse_arguments(ARG "" "OUTPUT" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  if(ARG_OUTPUT)
    set_target_properties(${name} PROPERTIES OUTPUT_NAME ${ARG_OUTPUT})
  endif()
endfunction()

# A program that is built when `group` is, and not by a plain build: two cores have a quarter of an hour.
function(crossover_on_demand group name)
  set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL TRUE)
  if(NOT TARGET ${group})
    add_custom_target(${group})
  endif()
  add_dependencies(${group} ${name})
endfunction()

# LABELS: `compat` (needs Python oracles), `chaos` (kills processes); unlabelled tests run in every `./dev test`.
function(crossover_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} common_testing_main)
  # An element that is not there ends the test with words, not with SIGSEGV or by luck not at all.
  target_compile_definitions(${name} PRIVATE _GLIBCXX_ASSERTIONS)
  if(CROSSOVER_SANITIZE MATCHES "address")
    target_link_libraries(${name} PRIVATE common_testing_asan)
  endif()
  if(CROSSOVER_SANITIZE MATCHES "thread")
    target_link_libraries(${name} PRIVATE common_testing_tsan)
  endif()
  crossover_optimise(${name} -O0 "")
  crossover_join(${name})
  if("dep_torch" IN_LIST ARG_DEPS)
    crossover_share_headers(${name} headers_of_torch_tests)
  else()
    crossover_share_headers(${name} headers_of_tests)
  endif()
  if("compat" IN_LIST ARG_LABELS)
    crossover_on_demand(compat_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(CROSSOVER_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 4")  # checked code takes three to ten times as long
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "CROSSOVER_SOURCE_DIR=${CMAKE_SOURCE_DIR};CROSSOVER_BINARY_DIR=${CMAKE_BINARY_DIR};CROSSOVER_WHEELS=${CROSSOVER_WHEELS}")
endfunction()

# A program of ./dev bench: build/<preset>/bench/<name>, prints `name value unit` lines.
function(crossover_bench name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(bench_${name} ${ARG_SRCS})
  target_include_directories(bench_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(bench_${name} PRIVATE ${ARG_DEPS})
  crossover_optimise(bench_${name} -O2 "")
  crossover_on_demand(benches bench_${name})
  set_target_properties(bench_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

# A libFuzzer target: build/fuzz/fuzz/<name>. Built by the fuzz preset only.
function(crossover_fuzzer name)
  if(NOT CROSSOVER_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(fuzz_${name} ${ARG_SRCS})
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_DEPS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(fuzz_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()

# The services of one service folder: every room of it that exists.
function(crossover_add_rooms)
  foreach(room ${ARGN})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/CMakeLists.txt)
      add_subdirectory(${room})
    endif()
  endforeach()
endfunction()
