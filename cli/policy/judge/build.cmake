# Builds the judge with cargo and puts it beside contrast. A failure (no crates, no network) is told
# and does not stop the build: only `contrast policy check` needs it.
#
#   cmake -DCARGO=... -DCRATE=... -DTARGET=... -DOUT=... -P build.cmake
#
# SPDX-License-Identifier: Apache-2.0
execute_process(
  COMMAND "${CARGO}" build --quiet --release --locked --manifest-path "${CRATE}/Cargo.toml"
    --target-dir "${TARGET}"
  RESULT_VARIABLE code)
if(code EQUAL 0)
  file(COPY_FILE "${TARGET}/release/contrast-policy-judge" "${OUT}" ONLY_IF_DIFFERENT)
else()
  message(WARNING "contrast-policy-judge was not built; contrast policy check will say so")
endif()
