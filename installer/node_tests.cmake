# Tests of CRI, systemd, programs, shims and health, and of the whole installer on a real containerd.
# SPDX-License-Identifier: Apache-2.0
contrast_test(proto_read LINK node)
contrast_test(cri LINK node Threads::Threads)
contrast_program(mock-systemd SOURCES test/mock_systemd.c LINK PkgConfig::SYSTEMD)
set_target_properties(mock-systemd PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test")
contrast_test(node_service LINK node ARGS $<TARGET_FILE:mock-systemd>)
contrast_test(node_health SOURCES node_health.c LINK node PkgConfig::MICROHTTPD Threads::Threads)
contrast_test(node_command LINK node)
contrast_test(node_shims LINK node)
contrast_fuzz(proto_read LINK node)
contrast_fuzz(cri LINK node)

find_package(Python3 COMPONENTS Interpreter)
if(CONTRAST_TESTS AND Python3_FOUND)
  add_test(NAME installer_real
    COMMAND Python3::Interpreter -B "${CMAKE_CURRENT_SOURCE_DIR}/test/test_installer_real.py"
      "${CMAKE_BINARY_DIR}/bin")
  set_tests_properties(installer_real PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77)
endif()

# scripts/bench runs it.
contrast_program(bench-installer SOURCES bench/node_bench.c
  LINK crypto base PkgConfig::JANSSON PkgConfig::NGHTTP2 PkgConfig::SYSTEMD)
set_target_properties(bench-installer PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
