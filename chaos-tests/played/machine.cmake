# The machine room: security processors, key service and signatures of a simulation. An OBJECT
# library: what it defines must win over the archives of the product.
# SPDX-License-Identifier: Apache-2.0
add_library(machine_room OBJECT
  fixed_rand.c
  machine_room.c
  played_attester.c
  played_fetcher.c
  played_kds.c
  played_keys.c
  played_pkey.c
  played_x509.c
  room_issuer.c
  room_stock.c
  room_wait.c
  room_warm.c)
target_link_libraries(machine_room PUBLIC simulator endorse attest manifest crypto base
  PkgConfig::OPENSSL_CRYPTO PkgConfig::UV ${CMAKE_DL_LIBS})
contrast_test(machine_room LINK machine_room)

# What it costs, with the cheap signatures and with OpenSSL's own.
add_library(machine_room_plain OBJECT fixed_rand.c machine_room.c room_issuer.c room_stock.c room_wait.c)
target_link_libraries(machine_room_plain PUBLIC simulator attest manifest crypto base
  PkgConfig::OPENSSL_CRYPTO PkgConfig::UV)
contrast_program(contrast-room-bench SOURCES bench/room_bench.c LINK machine_room meshca)
contrast_program(contrast-room-bench-plain SOURCES bench/room_bench.c LINK machine_room_plain meshca)
set_target_properties(contrast-room-bench contrast-room-bench-plain PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
