#!/bin/sh
# Builds taint_shares.c with MemorySanitizer at three levels of optimization and runs it: no branch
# and no address in shares.c may depend on a secret. Exit 77 (skipped) without clang-14.
#
#   meshca/test/constant_time.sh          from the root of the tree
#
# SPDX-License-Identifier: Apache-2.0
set -eu
command -v clang-14 >/dev/null || exit 77
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
for level in -O1 -O2 -O3; do
    clang-14 "$level" -g -fsanitize=memory -std=c17 -D_GNU_SOURCE -I. -o "$folder/taint" \
        meshca/test/taint_shares.c meshca/shares.c lib/base/secret.c lib/base/mem.c \
        lib/base/bytes.c lib/base/err.c lib/base/host.c
    "$folder/taint" || { echo "$level: depends on a secret"; exit 1; }
    if "$folder/taint" branch >/dev/null 2>&1; then
        echo "$level: a branch on a secret was not seen"
        exit 1
    fi
done
