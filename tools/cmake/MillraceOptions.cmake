# How every target is compiled. Presets choose MILLRACE_SANITIZE; everything else is the same everywhere.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(MILLRACE_SANITIZE "" CACHE STRING "address (with undefined), thread, fuzzer, or empty")
set(MILLRACE_FUZZ_SECONDS 10 CACHE STRING "How long each fuzzer's test runs in the fuzz preset")
option(MILLRACE_PCH "Precompile the standard and test headers" ON)

add_library(millrace_options INTERFACE)
target_compile_options(millrace_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual
  -Wconversion -Wno-sign-conversion -fno-omit-frame-pointer
  # At -O3 g++ 12 takes the empty half of an optional or variant for uninitialized memory.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
  # And in `"literal" + string` it sees writes beyond the small buffer. The address sanitizer knows better.
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-restrict$<SEMICOLON>-Wno-array-bounds$<SEMICOLON>-Wno-stringop-overflow>)
target_include_directories(millrace_options INTERFACE ${CMAKE_SOURCE_DIR})

if(MILLRACE_SANITIZE STREQUAL "address")
  set(MILLRACE_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(MILLRACE_SANITIZE STREQUAL "thread")
  set(MILLRACE_SANITIZE_FLAGS -fsanitize=thread)
elseif(MILLRACE_SANITIZE STREQUAL "fuzzer")
  set(MILLRACE_SANITIZE_FLAGS -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
elseif(NOT MILLRACE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "MILLRACE_SANITIZE is '${MILLRACE_SANITIZE}'; use address, thread, fuzzer or leave it empty")
endif()
target_compile_options(millrace_options INTERFACE ${MILLRACE_SANITIZE_FLAGS})
target_link_options(millrace_options INTERFACE ${MILLRACE_SANITIZE_FLAGS})

find_program(MILLRACE_CCACHE ccache)
if(MILLRACE_CCACHE)
  # Precompiled headers need this leniency, else ccache never hits.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${MILLRACE_CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
