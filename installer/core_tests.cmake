# Tests of the installer but for what talks to containerd, systemd and processes: node_tests.cmake.
# SPDX-License-Identifier: Apache-2.0
contrast_test(sri LINK runtime_config)
contrast_test(node_config LINK runtime_config toml)
contrast_test(node_journal LINK node)
contrast_test(node_plan LINK node)
contrast_test(node_root LINK node)
contrast_test(node_settings LINK node)
contrast_test(node_lock LINK node)
contrast_test(text_diff LINK node)
contrast_fuzz(node_config LINK runtime_config)
contrast_fuzz(node_journal LINK node)

find_package(Python3 COMPONENTS Interpreter)
if(CONTRAST_TESTS AND Python3_FOUND)
  add_library(fault_preload MODULE test/fault_preload.c)
  target_compile_options(fault_preload PRIVATE -fno-sanitize=all)
  target_link_options(fault_preload PRIVATE -fno-sanitize=all)
  target_link_libraries(fault_preload PRIVATE ${CMAKE_DL_LIBS})
  add_test(NAME installer_kill
    COMMAND Python3::Interpreter -B "${CMAKE_CURRENT_SOURCE_DIR}/test/test_installer_kill.py"
      $<TARGET_FILE:contrast-node-installer> $<TARGET_FILE:fault_preload>)
  add_test(NAME installer_bad
    COMMAND Python3::Interpreter -B "${CMAKE_CURRENT_SOURCE_DIR}/test/test_installer_bad.py"
      $<TARGET_FILE:contrast-node-installer>)
  set_tests_properties(installer_kill installer_bad PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)
endif()
