/* Issuer driver for /dev/sev-guest.
 *
 *   SNP_GET_EXT_REPORT   no room for a table -> EIO, INVALID_LEN, the size -> again with room
 *   SNP_GET_REPORT       when the kernel does not know the first: a report without a table
 *   SNP_GET_DERIVED_KEY  a key (issuer_key.h)
 *
 * The room that was enough is remembered, so that a call is one request. The host says how much it
 * wants and may change its mind between two calls: a size that is no multiple of a page or over
 * LIMIT_SNP_CERTTABLE is refused, and after LIMIT_ISSUER_TRIES it is UNAVAILABLE. A throttling host
 * (the kernel has asked it again for a minute by then) is BUSY.
 *
 * ENOTTY and ENODEV are the end: after a message whose fate it does not know the kernel wipes the
 * guest's key (VMPCK), because to use a sequence number twice would give the encryption away. It
 * comes back with a new guest only. So this driver says LOST, now and for ever.
 *
 * VMPL 0 is asked for: a report of another level is not this guest's kernel.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/issuer_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define DEFAULT_PATH "/dev/sev-guest"
#define TABLE_PAGE 4096 /* the unit of the table's size: GHCB, AMD 56421 section 4.1.8 */

struct guest {
    const struct issuer_guest_calls *calls; /* borrowed */
    int fd;
    uint8_t *table;      /* LIMIT_SNP_CERTTABLE bytes, owned: pages of their own */
    uint32_t table_size; /* room that is offered; 0 at first, then what the host wanted */
    bool has_no_tables;  /* the kernel knows SNP_GET_REPORT alone */
    bool is_lost;
};

/* --- System calls */

static int open_system(void *data, const char *path) {
    (void)data;
    return open(path, O_RDWR | O_CLOEXEC);
}

static int ioctl_system(void *data, int fd, unsigned long code,
                        struct issuer_guest_ioctl *request) {
    (void)data;
    return ioctl(fd, code, request);
}

static void close_system(void *data, int fd) {
    (void)data;
    close(fd);
}

const struct issuer_guest_calls issuer_guest_system = {NULL, open_system, ioctl_system,
                                                       close_system};

static uint64_t address_of(const void *p) {
    return (uint64_t)(uintptr_t)p;
}

/* --- One request */

/* What came of one ioctl. */
struct outcome {
    int error; /* errno; 0 = done */
    struct issuer_guest_ioctl io;
    struct issuer_guest_response response;
};

static void call_into(struct guest *g, unsigned long code, const void *request, void *response,
                      struct outcome *o) {
    o->io = (struct issuer_guest_ioctl){.message_version = ISSUER_GUEST_MESSAGE_VERSION};
    o->io.request = address_of(request);
    o->io.response = address_of(response);
    o->error = g->calls->ioctl(g->calls->data, g->fd, code, &o->io) == 0 ? 0 : errno;
}

static void call(struct guest *g, unsigned long code, const void *request, struct outcome *o) {
    *o = (struct outcome){0};
    call_into(g, code, request, &o->response, o);
}

/* The kernel says so of a wiped key; of a request that it does not know, too. */
static bool is_gone(int error) {
    return error == ENOTTY || error == ENODEV;
}

static RESULT lose(struct guest *g, const struct outcome *o, struct err *err) {
    g->is_lost = true;
    log_error(ISSUER_LOST_TEXT " (%s)", strerror(o->error));
    return err_set(err, ERR_LOST, ISSUER_LOST_TEXT);
}

/* `what` was asked for: "report". */
static RESULT fail(struct guest *g, const struct outcome *o, const char *what, struct err *err) {
    if (is_gone(o->error)) {
        return lose(g, o, err);
    }
    bool is_busy = o->io.vmm_error == ISSUER_GUEST_VMM_BUSY || o->error == EBUSY ||
                   o->error == EAGAIN || o->error == ETIMEDOUT || o->error == EINTR;
    ENSURE(!is_busy, err, BUSY, "the host throttles %ss (%s)", what, strerror(o->error));
    return err_set(err, ERR_UNAVAILABLE, "no %s: %s, firmware error 0x%x, host error 0x%x", what,
                   strerror(o->error), (unsigned)o->io.firmware_error, (unsigned)o->io.vmm_error);
}

static RESULT take_report(const struct outcome *o, struct buf *report, struct err *err) {
    const struct issuer_guest_response *r = &o->response;
    ENSURE(r->status == 0, err, UNAVAILABLE,
           "the security processor refused the request with status 0x%x (0x16: wrong parameter, "
           "0x27: no such key)",
           (unsigned)r->status);
    ENSURE(r->report_size == LIMIT_SNP_REPORT, err, MALFORMED,
           "the security processor's report has %u bytes, want %d", (unsigned)r->report_size,
           LIMIT_SNP_REPORT);
    buf_append(report, r->report, LIMIT_SNP_REPORT);
    return OK;
}

static void fill(struct issuer_guest_request *request, const uint8_t *report_data) {
    *request = (struct issuer_guest_request){.vmpl = 0};
    memcpy(request->user_data, report_data, ISSUER_DATA_SIZE);
}

static RESULT fetch_plain(struct guest *g, const uint8_t *report_data, struct buf *report,
                          struct err *err) {
    struct issuer_guest_request request;
    struct outcome o;
    fill(&request, report_data);
    call(g, ISSUER_GUEST_GET_REPORT, &request, &o);
    return o.error == 0 ? take_report(&o, report, err) : fail(g, &o, "report", err);
}

/* --- The table */

static RESULT grow(struct guest *g, uint32_t wanted, struct err *err) {
    ENSURE(wanted > 0 && wanted % TABLE_PAGE == 0, err, MALFORMED,
           "the host wants %u bytes for its certificate table, no multiple of %d", (unsigned)wanted,
           TABLE_PAGE);
    ENSURE(wanted <= LIMIT_SNP_CERTTABLE, err, TOO_LARGE,
           "the host wants %u bytes for its certificate table, limit %d", (unsigned)wanted,
           LIMIT_SNP_CERTTABLE);
    g->table_size = wanted;
    return OK;
}

/* One attempt; *again when the host wants more room. */
static RESULT try_extended(struct guest *g, const uint8_t *report_data, struct buf *report,
                           struct buf *table, bool *again, struct err *err) {
    struct issuer_guest_ext_request request = {.table_size = g->table_size};
    struct outcome o;
    fill(&request.report, report_data);
    memset(g->table, 0, LIMIT_SNP_CERTTABLE);
    request.table = g->table_size > 0 ? address_of(g->table) : 0;
    call(g, ISSUER_GUEST_GET_EXT_REPORT, &request, &o);
    *again = o.error != 0 && o.io.vmm_error == ISSUER_GUEST_VMM_INVALID_LEN;
    if (*again) {
        return grow(g, request.table_size, err);
    }
    if (is_gone(o.error) || o.error == EOPNOTSUPP) {
        TRY(fetch_plain(g, report_data, report, err));
        g->has_no_tables = true;
        log_warn("the kernel gives no certificate table: verifiers need the certificates from "
                 "elsewhere");
        return OK;
    }
    TRY(o.error == 0 ? take_report(&o, report, err) : fail(g, &o, "report", err));
    buf_append(table, g->table, g->table_size);
    return OK;
}

static RESULT fetch_extended(struct guest *g, const uint8_t *report_data, struct buf *report,
                             struct buf *table, struct err *err) {
    for (int i = 0; i < LIMIT_ISSUER_TRIES; i++) {
        bool again = false;
        TRY(try_extended(g, report_data, report, table, &again, err));
        if (!again) {
            return OK;
        }
    }
    return err_set(err, ERR_UNAVAILABLE,
                   "the host wanted another size for its certificate table %d times",
                   LIMIT_ISSUER_TRIES);
}

/* --- The driver */

static RESULT fetch_report(void *state, const uint8_t report_data[ISSUER_DATA_SIZE],
                           struct buf *report, struct buf *table, struct err *err) {
    struct guest *g = state;
    ENSURE(!g->is_lost, err, LOST, ISSUER_LOST_TEXT);
    return g->has_no_tables ? fetch_plain(g, report_data, report, err)
                            : fetch_extended(g, report_data, report, table, err);
}

/* The kernel writes the response there and nowhere else. */
static RESULT derive_key(void *state, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
                         uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct err *err) {
    struct guest *g = state;
    struct outcome o = {0};
    ENSURE(!g->is_lost, err, LOST, ISSUER_LOST_TEXT);
    call_into(g, ISSUER_GUEST_GET_DERIVED_KEY, request, response, &o);
    return o.error == 0 ? OK : fail(g, &o, "derived key", err);
}

static void close_guest(void *state) {
    struct guest *g = state;
    g->calls->close(g->calls->data, g->fd);
    CHECK(munmap(g->table, LIMIT_SNP_CERTTABLE) == 0);
    mem_free(g);
}

struct result issuer_guest_open(const struct issuer_guest_calls *calls, const char *path,
                                void **state, struct err *err) {
    ENSURE(path[0] == '/', err, CONFIG, "the path of the device must be absolute");
    int fd = calls->open(calls->data, path);
    ENSURE(fd >= 0, err, UNAVAILABLE, "%s: %s", path, strerror(errno));
    void *pages =
        mmap(NULL, LIMIT_SNP_CERTTABLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    struct guest *g = mem_zalloc(sizeof *g);
    *g = (struct guest){.calls = calls, .fd = fd, .table = pages};
    *state = g;
    return OK;
}

static RESULT open_guest(const char *rest, void **state, struct err *err) {
    return issuer_guest_open(&issuer_guest_system, rest[0] == 0 ? DEFAULT_PATH : rest, state, err);
}

const struct issuer_driver issuer_guest = {
    .prefix = "sev-guest:",
    .usage = "sev-guest:[/PATH] (the device " DEFAULT_PATH ")",
    .open = open_guest,
    .fetch = fetch_report,
    .derive = derive_key,
    .close = close_guest,
};
