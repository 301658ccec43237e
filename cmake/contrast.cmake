# Build helpers: warnings, hardening, libraries, programs, tests, fuzz targets.
# SPDX-License-Identifier: Apache-2.0
include_guard()
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(CONTRAST_TESTS "build tests and replay fuzz targets" ON)
option(CONTRAST_FUZZ "libFuzzer instead of replaying the corpora (clang)" OFF)

add_compile_definitions(_GNU_SOURCE CONTRAST_VERSION="${PROJECT_VERSION}")
include_directories("${CMAKE_SOURCE_DIR}")
add_compile_options(
  -Wall -Wextra -Werror -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
  -Wformat=2 -Wvla -Wswitch-enum -Wundef -Wcast-qual -Wwrite-strings)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
    -fstack-clash-protection -fcf-protection)
  add_link_options(-pie -Wl,-z,relro,-z,now)
endif()

# System libraries, each behind one name. libraft older than 0.22.1 loses committed entries (Raft
# figure 8) and newer ones change who owns what in raft_step: exactly 0.22.x is accepted.
pkg_check_modules(OPENSSL_CRYPTO REQUIRED IMPORTED_TARGET GLOBAL libcrypto>=3.0)
pkg_check_modules(OPENSSL_SSL REQUIRED IMPORTED_TARGET GLOBAL libssl>=3.0)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET GLOBAL libuv>=1.44)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET GLOBAL yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET GLOBAL jansson>=2.14)
pkg_check_modules(MSGPACK REQUIRED IMPORTED_TARGET GLOBAL msgpack)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET GLOBAL libcurl>=7.87)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET GLOBAL libsystemd>=252)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET GLOBAL libnghttp2)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET GLOBAL libmicrohttpd)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET GLOBAL zlib)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET GLOBAL libzstd>=1.5)
pkg_check_modules(RAFT IMPORTED_TARGET GLOBAL raft>=0.22.1)
if(NOT RAFT_FOUND OR RAFT_VERSION VERSION_GREATER_EQUAL 0.23)
  message(FATAL_ERROR "libraft-dev 0.22.1 is needed (found: '${RAFT_VERSION}'). Debian 12's own "
    "0.15.0 diverges; run scripts/deps, which takes it from bookworm-backports.")
endif()
pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET GLOBAL cmocka)
pkg_check_modules(FUSE3 QUIET IMPORTED_TARGET GLOBAL fuse3) # tests alone

# contrast_library(name SOURCES a.c b.c [LINK lib ...])
function(contrast_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ${A_LINK})
  set_target_properties(${name} PROPERTIES OUTPUT_NAME contrast-${name})
endfunction()

# contrast_program(name SOURCES main.c [LINK lib ...])
function(contrast_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_LINK})
endfunction()

# contrast_test(stem [SOURCES helper.c ...] [LINK lib ...] [LABELS l ...] [ARGS ...] [TIMEOUT s])
# test/test_<stem>.c of the current folder, cmocka.
function(contrast_test stem)
  if(NOT CMOCKA_FOUND OR NOT CONTRAST_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;LINK;LABELS;ARGS" ${ARGN})
  set(target test_${stem})
  add_executable(${target} test/test_${stem}.c ${A_SOURCES})
  target_link_libraries(${target} PRIVATE ${A_LINK} PkgConfig::CMOCKA)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test")
  add_test(NAME ${stem} COMMAND ${target} ${A_ARGS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  set_tests_properties(${stem} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}"
    SKIP_RETURN_CODE 77)
endfunction()

# contrast_fuzz(stem [LINK lib ...]): fuzz/fuzz_<stem>.c defines LLVMFuzzerTestOneInput. With
# CONTRAST_FUZZ it is a libFuzzer program; otherwise ctest replays fuzz/corpus/<stem>/ through it.
function(contrast_fuzz stem)
  cmake_parse_arguments(A "" "" "LINK" ${ARGN})
  if(NOT CONTRAST_TESTS)
    return()
  endif()
  set(target fuzz_${stem})
  if(CONTRAST_FUZZ)
    add_executable(${target} fuzz/fuzz_${stem}.c)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${target} fuzz/fuzz_${stem}.c "${CMAKE_SOURCE_DIR}/lib/base/fuzz/replay.c")
    add_test(NAME fuzz_${stem}
      COMMAND ${target} "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${stem}")
    set_tests_properties(fuzz_${stem} PROPERTIES TIMEOUT 120 LABELS fuzz)
  endif()
  target_link_libraries(${target} PRIVATE ${A_LINK})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
endfunction()
