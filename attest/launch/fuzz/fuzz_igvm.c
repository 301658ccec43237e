/* Fuzz: any bytes as an IGVM file. The input's checksum and total size are put right first, so that
 * changes reach the rules behind them; then the bytes are tried as they are. Measuring twice gives
 * the same; without a difference of the two readings both digests are one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/launch/igvm.h"
#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOTAL_SIZE_AT 16
#define CHECKSUM_AT 20
/* Bytes: a header may ask for 4096 pages, and an input shall take less than a millisecond. */
#define HEADERS_MAX 1024

static void measure(struct span bytes) {
    struct launch_source source = launch_file_memory(&bytes);
    struct igvm_measurement m;
    struct igvm_measurement again;
    if (!is_ok(igvm_measure(&source, 0, &m, NULL))) {
        return;
    }
    CHECK(is_ok(igvm_measure(&source, m.mask, &again, NULL)));
    CHECK(memcmp(&m.digest, &again.digest, sizeof m.digest) == 0);
    CHECK(m.pages <= LIMIT_IGVM_PAGES);
    if ((m.differences & IGVM_DIFFERS_TOOLS) == 0) {
        CHECK(memcmp(&m.digest, &m.other_digest, sizeof m.digest) == 0);
    }
    if (is_ok(igvm_check_id_block(&m, NULL)) && m.has_id_block) {
        CHECK(memcmp(&m.digest, m.id_block.block.launch_digest, sizeof m.digest) == 0);
    }
}

/* Checksum over the headers as the fixed header places them; leaves bytes that place none. */
static void mend(uint8_t *bytes, size_t size) {
    uint32_t fixed = load_u32le(bytes + 4) == 2 ? 32 : 24;
    uint64_t offset = load_u32le(bytes + 8);
    uint64_t headers = load_u32le(bytes + 12);
    if (size < fixed || offset + headers > size) {
        return;
    }
    store_u32le(bytes + TOTAL_SIZE_AT, (uint32_t)size);
    store_u32le(bytes + CHECKSUM_AT, 0);
    uint32_t crc = igvm_format_crc32(0, span_of(bytes, fixed));
    crc = igvm_format_crc32(crc, span_of(bytes + offset, headers));
    store_u32le(bytes + CHECKSUM_AT, crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    measure(span_of(data, size));
    if (size < CHECKSUM_AT + 4 || load_u32le(data + 12) > HEADERS_MAX) {
        return 0;
    }
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, data, size);
    mend(copy, size);
    measure(span_of(copy, size));
    mem_free(copy);
    return 0;
}
