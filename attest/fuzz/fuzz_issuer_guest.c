/* Fuzz: the answers of a kernel, and of the host behind it, to the ioctls of four reports.
 *
 *   an answer   u8 error (index below)  u8 vmm_error  u8 firmware_error  u8 is over other data
 *               u32 wanted table size  u32 status  u32 report size  u16 n, n bytes of table   (LE)
 *
 * What is missing at the end is zero. A report that is given out has the right size and data; one
 * call makes a bounded number of ioctls; what is lost stays lost, without any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "attest/issuer_guest.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define HEAD_SIZE 18
#define REPORTS 4
#define REPORT_DATA 0x50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_kernel {
    struct span rest;
    unsigned calls; /* ioctls of this report */
};

static const int errors[] = {0, EIO, ENOTTY, ENODEV, EBUSY, EAGAIN, ETIMEDOUT, EINTR, EOPNOTSUPP};

static void take(struct fuzz_kernel *k, uint8_t *out, size_t size) {
    size_t n = size < k->rest.size ? size : k->rest.size;
    if (n > 0) {
        memcpy(out, k->rest.data, n);
        k->rest = span_of(k->rest.data + n, k->rest.size - n);
    }
}

static void give_report(const uint8_t *head, const struct issuer_guest_ext_request *request,
                        struct issuer_guest_ioctl *io) {
    struct issuer_guest_response response = {.status = load_u32le(head + 8),
                                             .report_size = load_u32le(head + 12)};
    memcpy(response.report + REPORT_DATA, request->report.user_data, ISSUER_DATA_SIZE);
    response.report[REPORT_DATA] ^= head[3];
    memcpy((void *)(uintptr_t)io->response, &response, sizeof response);
}

static int on_ioctl(void *data, int fd, unsigned long code, struct issuer_guest_ioctl *io) {
    struct fuzz_kernel *k = data;
    uint8_t head[HEAD_SIZE] = {0};
    uint8_t table[LIMIT_SNP_CERTTABLE] = {0};
    struct issuer_guest_ext_request request = {0};
    bool is_extended = code == ISSUER_GUEST_GET_EXT_REPORT;
    (void)fd;
    k->calls++;
    take(k, head, sizeof head);
    size_t size = load_u16le(head + 16) % (LIMIT_SNP_CERTTABLE + 1U);
    take(k, table, size);
    memcpy(&request, (const void *)(uintptr_t)io->request,
           is_extended ? sizeof request : sizeof request.report);
    io->vmm_error = head[1];
    io->firmware_error = head[2];
    errno = errors[head[0] % (sizeof errors / sizeof errors[0])];
    if (errno == 0) {
        give_report(head, &request, io);
    }
    if (is_extended && errno == 0 && request.table_size > 0) {
        memcpy((void *)(uintptr_t)request.table, table, request.table_size);
    }
    if (is_extended) {
        request.table_size = load_u32le(head + 4);
        memcpy((void *)(uintptr_t)io->request, &request, sizeof request);
    }
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

static bool ask(struct issuer *issuer, struct fuzz_kernel *k, bool was_lost) {
    uint8_t report_data[ISSUER_DATA_SIZE] = {0x77};
    struct issuer_evidence e = {0};
    k->calls = 0;
    struct result r = issuer_report(issuer, report_data, &e, NULL);
    CHECK(k->calls <= LIMIT_ISSUER_TRIES + 1);
    CHECK(!was_lost || (r.code == ERR_LOST && k->calls == 0));
    CHECK(is_ok(r) ? e.report.size == LIMIT_SNP_REPORT &&
                         memcmp(e.report.data + REPORT_DATA, report_data, ISSUER_DATA_SIZE) == 0
                   : e.report.size == 0);
    issuer_evidence_deinit(&e);
    return r.code == ERR_LOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_kernel kernel = {.rest = span_of(data, size)};
    const struct issuer_guest_calls calls = {&kernel, on_open, on_ioctl, on_close};
    void *state = NULL;
    bool is_lost = false;
    log_set_sink(on_log, NULL);
    CHECK(is_ok(issuer_guest_open(&calls, "/dev/sev-guest", &state, NULL)));
    struct issuer *issuer = issuer_new(&issuer_guest, state);
    for (int i = 0; i < REPORTS; i++) {
        is_lost = ask(issuer, &kernel, is_lost);
    }
    issuer_close(issuer);
    return 0;
}
