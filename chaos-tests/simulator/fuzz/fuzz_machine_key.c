/* Fuzz: a MSG_KEY_REQ of 32 bytes, then the product (1 byte), the guest's SVN (4) and the bytes of
 * its other fields; what is missing is zero.
 *
 * Every request gets a response: a status of AMD's and, only with 0, a key; the same one again, and
 * the same one whatever HOST_DATA is. A root key, VMPL, field or SVN that the guest does not have
 * is never given a key.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "chaos-tests/simulator/machine_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct span *rest, void *out, size_t size) {
    size_t n = size < rest->size ? size : rest->size;
    if (n > 0) {
        memcpy(out, rest->data, n);
        *rest = span_of(rest->data + n, rest->size - n);
    }
}

static void check(const uint8_t *request, const struct machine_guest *guest,
                  const uint8_t *response) {
    uint32_t status = load_u32le(response);
    bool has_key = !span_is_zero(span_of(response + 32, MACHINE_KEY_SIZE));
    CHECK(status == MACHINE_KEY_OK || status == MACHINE_KEY_INVALID_PARAM ||
          status == MACHINE_KEY_INVALID_KEY);
    CHECK(has_key == (status == MACHINE_KEY_OK));
    CHECK(span_is_zero(span_of(response + 4, 28)));
    CHECK(!has_key ||
          ((load_u64le(request) & ~UINT64_C(2)) == 0 && load_u64le(request + 8) < 64 &&
           load_u32le(request + 16) < 4 && load_u32le(request + 20) <= guest->guest_svn));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum snp_product products[] = {SNP_MILAN, SNP_GENOA, SNP_TURIN};
    struct span rest = span_of(data, size);
    uint8_t request[MACHINE_KEY_REQUEST_SIZE] = {0};
    uint8_t product = 0;
    struct machine machine = {.tcb = {.fmc = 1, .bootloader = 4, .snp = 24, .microcode = 219}};
    struct machine_guest guest = {0};
    uint8_t first[MACHINE_KEY_RESPONSE_SIZE];
    uint8_t second[MACHINE_KEY_RESPONSE_SIZE];
    take(&rest, request, sizeof request);
    take(&rest, &product, sizeof product);
    take(&rest, &guest.guest_svn, sizeof guest.guest_svn);
    take(&rest, guest.measurement, sizeof guest.measurement);
    take(&rest, guest.image_id, sizeof guest.image_id);
    machine.product = products[product % 3];
    machine.chip_secret = secret_new(MACHINE_CHIP_SECRET_SIZE);
    machine_key_derive(&machine, &guest, request, first);
    memset(guest.host_data, 0xFF, sizeof guest.host_data);
    machine_key_derive(&machine, &guest, request, second);
    CHECK(memcmp(first, second, sizeof first) == 0);
    check(request, &guest, first);
    machine_deinit(&machine);
    return 0;
}
