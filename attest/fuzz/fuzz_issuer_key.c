/* Fuzz: specs of keys, and the answers of a kernel and its security processor to four of them.
 *
 *   a key   u8 root key  u8 VMPL  u64 fields  u32 guest SVN  u64 TCB version       the spec
 *           u8 error (index below)  u8 vmm_error  u8 firmware_error                (LE)
 *           u8 n, n % 65 bytes of the response; the others stay as they were
 *
 * What is missing at the end is zero. A spec is encoded as it is or refused before anybody is
 * asked; a key that is given out is the response's; a failure leaves the output alone; what is lost
 * stays lost, without any call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "attest/issuer_guest.h"
#include "lib/base/log.h"

#define SPEC_SIZE 22
#define HEAD_SIZE 4
#define KEYS 4
#define UNTOUCHED 0xEE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_kernel {
    struct span rest;
    unsigned calls;                             /* ioctls for this key */
    uint8_t request[ISSUER_KEY_REQUEST_SIZE];   /* what it was asked last */
    uint8_t response[ISSUER_KEY_RESPONSE_SIZE]; /* what it said last */
};

static const int errors[] = {0, EIO, ENOTTY, ENODEV, EBUSY, EAGAIN, ETIMEDOUT, EINTR, EINVAL};

static void take(struct fuzz_kernel *k, uint8_t *out, size_t size) {
    size_t n = size < k->rest.size ? size : k->rest.size;
    if (n > 0) {
        memcpy(out, k->rest.data, n);
        k->rest = span_of(k->rest.data + n, k->rest.size - n);
    }
}

static int on_ioctl(void *data, int fd, unsigned long code, struct issuer_guest_ioctl *io) {
    struct fuzz_kernel *k = data;
    uint8_t head[HEAD_SIZE] = {0};
    (void)fd;
    CHECK(code == ISSUER_GUEST_GET_DERIVED_KEY);
    k->calls++;
    take(k, head, sizeof head);
    memset(k->response, 0, sizeof k->response);
    take(k, k->response, head[3] % (sizeof k->response + 1));
    memcpy(k->request, (const void *)(uintptr_t)io->request, sizeof k->request);
    memcpy((void *)(uintptr_t)io->response, k->response, sizeof k->response);
    io->vmm_error = head[1];
    io->firmware_error = head[2];
    errno = errors[head[0] % (sizeof errors / sizeof errors[0])];
    return errno == 0 ? 0 : -1;
}

static int on_open(void *data, const char *path) {
    (void)data;
    (void)path;
    return 3;
}

static void on_close(void *data, int fd) {
    (void)data;
    (void)fd;
}

static void on_log(void *data, enum log_level level, const char *line) {
    (void)data;
    (void)level;
    (void)line;
}

static struct issuer_key_spec take_spec(struct fuzz_kernel *k) {
    uint8_t bytes[SPEC_SIZE] = {0};
    take(k, bytes, sizeof bytes);
    return (struct issuer_key_spec){.root_key = (enum issuer_root_key)bytes[0],
                                    .vmpl = bytes[1],
                                    .fields = load_u64le(bytes + 2),
                                    .guest_svn = load_u32le(bytes + 10),
                                    .tcb_version = load_u64le(bytes + 14)};
}

static void check_request(const struct fuzz_kernel *k, const struct issuer_key_spec *spec) {
    CHECK(spec->root_key <= 1 && spec->vmpl <= 3 && spec->fields <= ISSUER_FIELD_ALL);
    CHECK(load_u64le(k->request) == (uint64_t)spec->root_key);
    CHECK(load_u64le(k->request + 8) == spec->fields);
    CHECK(load_u32le(k->request + 16) == spec->vmpl);
    CHECK(load_u32le(k->request + 20) == spec->guest_svn);
    CHECK(load_u64le(k->request + 24) == spec->tcb_version);
}

static void check_key(const struct fuzz_kernel *k, struct result r, const struct secret *key) {
    static const uint8_t zero[ISSUER_KEY_SIZE];
    uint8_t before[ISSUER_KEY_SIZE];
    memset(before, UNTOUCHED, sizeof before);
    struct span said = span_of(k->response + 32, ISSUER_KEY_SIZE);
    if (!is_ok(r)) {
        CHECK(span_equal(secret_span(key), SPAN(before)));
        return;
    }
    CHECK(k->calls == 1 && load_u32le(k->response) == 0);
    CHECK(span_equal(secret_span(key), said) && !span_equal(said, SPAN(zero)));
}

static bool ask(struct issuer *issuer, struct fuzz_kernel *k, struct secret *key, bool was_lost) {
    struct issuer_key_spec spec = take_spec(k);
    memset(secret_data(key), UNTOUCHED, ISSUER_KEY_SIZE);
    k->calls = 0;
    struct result r = issuer_derive_key(issuer, &spec, key, NULL);
    CHECK(k->calls <= 1 && (r.code != ERR_INVALID || k->calls == 0));
    CHECK(!was_lost || ((r.code == ERR_LOST || r.code == ERR_INVALID) && k->calls == 0));
    if (k->calls == 1) {
        check_request(k, &spec);
    }
    check_key(k, r, key);
    return was_lost || r.code == ERR_LOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_kernel kernel = {.rest = span_of(data, size)};
    const struct issuer_guest_calls calls = {&kernel, on_open, on_ioctl, on_close};
    void *state = NULL;
    bool is_lost = false;
    log_set_sink(on_log, NULL);
    CHECK(is_ok(issuer_guest_open(&calls, "/dev/sev-guest", &state, NULL)));
    struct issuer *issuer = issuer_new(&issuer_guest, state);
    struct secret *key = secret_new(ISSUER_KEY_SIZE);
    for (int i = 0; i < KEYS; i++) {
        is_lost = ask(issuer, &kernel, key, is_lost);
    }
    secret_free(key);
    issuer_close(issuer);
    return 0;
}
