# The kinds of target: a library, a program, a test, a fuzzer. Each lists its files by name; DEPENDS names what it may see.
include(GoogleTest)

# What the tests labelled "unit" or "threads" need, and only "threads": what the sanitizers build.
add_custom_target(unit_tests)
add_custom_target(thread_tests)
add_custom_target(fuzzers)

function(millrace_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC millrace_options ${arg_DEPENDS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE millrace_options ${arg_DEPENDS})
  endif()
endfunction()

# OUTPUT is the program's file name where it differs from the target's. All programs land in <build>/bin.
function(millrace_program name)
  cmake_parse_arguments(arg "" "OUTPUT" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE millrace_options ${arg_DEPENDS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  if(arg_OUTPUT)
    set_target_properties(${name} PROPERTIES OUTPUT_NAME ${arg_OUTPUT})
  endif()
endfunction()

# A GoogleTest program; every case is a CTest test. LABELS, one of: "unit" (default, also run under the address
# sanitizer), "threads" (unit that starts threads: also under the thread sanitizer), "process" (starts real processes),
# "data" (reads MILLRACE_DATA), "check" (of the tree itself). TIMEOUT in seconds a case, default 120.
# ISOLATED: each case runs in a private mount namespace with its own /dev/shm and /tmp (tools/isolated).
function(millrace_test name)
  cmake_parse_arguments(arg "ISOLATED" "TIMEOUT;LABELS" "SOURCES;DEPENDS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  # More than one would be lost in discovery, which flattens lists.
  if(NOT arg_LABELS MATCHES "^(unit|threads|process|data|check)$" OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "millrace_test(${name}): '${arg_LABELS} ${arg_UNPARSED_ARGUMENTS}': LABELS takes one of "
      "unit, threads, process, data, check")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE millrace_options ${arg_DEPENDS} GTest::gmock GTest::gtest_main)
  if(arg_ISOLATED)
    set_target_properties(${name} PROPERTIES CROSSCOMPILING_EMULATOR ${CMAKE_SOURCE_DIR}/tools/isolated)
  endif()
  if(MILLRACE_PCH)
    # A target whose definitions differ compiles without it, silently.
    target_precompile_headers(${name} REUSE_FROM millrace_test_pch)
    set_target_properties(${name} PROPERTIES PCH_WARN_INVALID OFF)
  endif()
  if(arg_LABELS MATCHES "unit|threads")
    add_dependencies(unit_tests ${name})
  endif()
  if(arg_LABELS STREQUAL "threads")
    add_dependencies(thread_tests ${name})
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}."
    PROPERTIES LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT} SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
endfunction()

# A program around LLVMFuzzerTestOneInput. CORPUS: its folder of small inputs, kept with the code. In the fuzz preset it
# is a libFuzzer program, and its test fuzzes for MILLRACE_FUZZ_SECONDS from the corpus, what it finds going to
# <build>/corpus/NAME; elsewhere it is a program whose test runs the corpus once.
function(millrace_fuzzer name)
  cmake_parse_arguments(arg "" "CORPUS" "SOURCES;DEPENDS" ${ARGN})
  get_filename_component(corpus ${arg_CORPUS} ABSOLUTE)
  if(MILLRACE_SANITIZE STREQUAL "fuzzer")
    add_executable(${name} ${arg_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set(found ${CMAKE_BINARY_DIR}/corpus/${name})
    file(MAKE_DIRECTORY ${found})
    add_test(NAME ${name} COMMAND ${name} -max_total_time=${MILLRACE_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=2048
      -print_final_stats=1 -artifact_prefix=${found}- ${found} ${corpus})
  else()
    add_executable(${name} ${arg_SOURCES} ${CMAKE_SOURCE_DIR}/tools/fuzz/replay_main.cpp)
    add_test(NAME ${name} COMMAND ${name} ${corpus})
  endif()
  target_link_libraries(${name} PRIVATE millrace_options ${arg_DEPENDS})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 3600)
  add_dependencies(fuzzers ${name})
  add_dependencies(unit_tests ${name})
endfunction()

if(MILLRACE_PCH)
  file(WRITE ${CMAKE_BINARY_DIR}/generated/millrace_test_pch.cpp "")
  add_executable(millrace_test_pch EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/millrace_test_pch.cpp)
  target_link_libraries(millrace_test_pch PRIVATE millrace_options GTest::gmock GTest::gtest_main)
  target_precompile_headers(millrace_test_pch PRIVATE <gtest/gtest.h> <gmock/gmock.h> <string> <vector> <memory> <functional> <chrono>)
endif()
