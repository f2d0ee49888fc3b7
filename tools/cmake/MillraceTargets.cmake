# The three kinds of target: a library, a program, a test. Each lists its files by name; DEPENDS names what it may see.
include(GoogleTest)

# Everything that the tests labelled unit need: what the sanitizers build.
add_custom_target(unit_tests)

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

# A GoogleTest program; every case is a CTest test. LABELS: "unit" (default, also run under sanitizers), "process" (starts
# real processes), "data" (reads MILLRACE_DATA). TIMEOUT in seconds a case, default 120.
# ISOLATED: each case runs in a private mount namespace with its own /dev/shm and /tmp (tools/isolated).
function(millrace_test name)
  cmake_parse_arguments(arg "ISOLATED" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
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
  if("unit" IN_LIST arg_LABELS)
    add_dependencies(unit_tests ${name})
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}."
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
endfunction()

if(MILLRACE_PCH)
  file(WRITE ${CMAKE_BINARY_DIR}/generated/millrace_test_pch.cpp "")
  add_executable(millrace_test_pch EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/millrace_test_pch.cpp)
  target_link_libraries(millrace_test_pch PRIVATE millrace_options GTest::gmock GTest::gtest_main)
  target_precompile_headers(millrace_test_pch PRIVATE <gtest/gtest.h> <gmock/gmock.h> <string> <vector> <memory> <functional> <chrono>)
endif()
