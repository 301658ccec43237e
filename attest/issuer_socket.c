/* Issuer driver for a simulated machine: one Unix socket per pod, one connection per request.
 *
 * The protocol stands in issuer.h. Every size is checked before a byte is stored. A host that
 * closes, refuses or stays silent for LIMIT_ISSUER_MS is UNAVAILABLE; what does not fit the
 * protocol is MALFORMED or TOO_LARGE.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "attest/issuer.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define ANSWER_HEADER_SIZE (ISSUER_MAGIC_SIZE + 4)

static struct result open_socket(const char *rest, void **state, struct err *err) {
    struct sockaddr_un address;
    ENSURE(rest[0] == '/', err, CONFIG, "the path of the socket must be absolute");
    ENSURE(strlen(rest) < sizeof address.sun_path, err, CONFIG,
           "the path of the socket has %zu bytes, the system takes %zu", strlen(rest),
           sizeof address.sun_path - 1);
    *state = mem_strdup(rest);
    return OK;
}

static void close_socket(void *state) {
    mem_free(state);
}

static void close_fd(const int *fd) {
    if (*fd >= 0) {
        close(*fd);
    }
}

static RESULT connect_to(int fd, const char *path, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    struct timeval limit = {.tv_sec = LIMIT_ISSUER_MS / 1000};
    ENSURE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
               setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0,
           err, IO, "%s: %s", path, strerror(errno));
    int rc = 0;
    do {
        rc = connect(fd, (const struct sockaddr *)&address, sizeof address);
    } while (rc != 0 && errno == EINTR);
    ENSURE(rc == 0, err, UNAVAILABLE, "%s: %s", path, strerror(errno));
    return OK;
}

static RESULT send_request(int fd, const char *magic, struct span body, struct err *err) {
    AUTO(buf_deinit)
    struct buf request = {0};
    buf_append_str(&request, magic);
    buf_append_u32be(&request, ISSUER_VERSION);
    buf_append_span(&request, body);
    for (size_t at = 0; at < request.size;) {
        ssize_t n = send(fd, request.data + at, request.size - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n > 0, err, UNAVAILABLE, "the host did not take the request: %s", strerror(errno));
        at += (size_t)n;
    }
    return OK;
}

/* Exactly `size` bytes; `what` names them in the error. */
static RESULT receive(int fd, uint8_t *out, size_t size, const char *what, struct err *err) {
    for (size_t at = 0; at < size;) {
        ssize_t n = recv(fd, out + at, size - at, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK), err, UNAVAILABLE,
               "the host was silent for %d ms at byte %zu of %s", LIMIT_ISSUER_MS, at, what);
        ENSURE(n >= 0, err, UNAVAILABLE, "%s: %s", what, strerror(errno));
        ENSURE(n > 0, err, UNAVAILABLE, "the host closed at byte %zu of %zu of %s", at, size, what);
        at += (size_t)n;
    }
    return OK;
}

static RESULT receive_block(int fd, size_t limit, const char *what, struct buf *out,
                            struct err *err) {
    uint8_t head[4];
    TRY(receive(fd, head, sizeof head, what, err));
    size_t size = load_u32be(head);
    ENSURE(size <= limit, err, TOO_LARGE, "%s has %zu bytes, limit %zu", what, size, limit);
    return receive(fd, buf_extend(out, size), size, what, err);
}

/* `what` was asked for: "reports". */
static RESULT receive_status(int fd, const char *what, struct err *err) {
    uint8_t head[ANSWER_HEADER_SIZE];
    TRY(receive(fd, head, sizeof head, "the answer", err));
    ENSURE(memcmp(head, ISSUER_ANSWER_MAGIC, ISSUER_MAGIC_SIZE) == 0, err, MALFORMED,
           "the answer does not start with " ISSUER_ANSWER_MAGIC);
    uint32_t status = load_u32be(head + ISSUER_MAGIC_SIZE);
    ENSURE(status != ISSUER_STATUS_BUSY, err, BUSY, "the host throttles %s", what);
    ENSURE(status != ISSUER_STATUS_REFUSED, err, UNAVAILABLE, "the host refused the request");
    ENSURE(status == ISSUER_STATUS_OK, err, MALFORMED, "the answer has the unknown status %u",
           (unsigned)status);
    return OK;
}

static RESULT open_connection(const char *path, int *fd, struct err *err) {
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ENSURE(*fd >= 0, err, UNAVAILABLE, "%s: %s", path, strerror(errno));
    return connect_to(*fd, path, err);
}

static struct result fetch_report(void *state, const uint8_t report_data[ISSUER_DATA_SIZE],
                                  struct buf *report, struct buf *table, struct err *err) {
    AUTO(close_fd)
    int fd = -1;
    TRY(open_connection(state, &fd, err));
    TRY(send_request(fd, ISSUER_REQUEST_MAGIC, span_of(report_data, ISSUER_DATA_SIZE), err));
    TRY(receive_status(fd, "reports", err));
    TRY(receive_block(fd, LIMIT_SNP_REPORT, "the report", report, err));
    return receive_block(fd, LIMIT_SNP_CERTTABLE, "the certificate table", table, err);
}

static struct result derive_key(void *state, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
                                uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct err *err) {
    uint8_t head[4];
    AUTO(close_fd)
    int fd = -1;
    TRY(open_connection(state, &fd, err));
    TRY(send_request(fd, ISSUER_KEY_MAGIC, span_of(request, ISSUER_KEY_REQUEST_SIZE), err));
    TRY(receive_status(fd, "derived keys", err));
    TRY(receive(fd, head, sizeof head, "the derived key", err));
    ENSURE(load_u32be(head) == ISSUER_KEY_RESPONSE_SIZE, err, MALFORMED,
           "the answer to a request for a key has %u bytes, want %d", (unsigned)load_u32be(head),
           ISSUER_KEY_RESPONSE_SIZE);
    return receive(fd, response, ISSUER_KEY_RESPONSE_SIZE, "the derived key", err);
}

const struct issuer_driver issuer_socket = {
    .prefix = "unix:",
    .usage = "unix:/PATH (the pod socket of contrast-snp-simulator)",
    .open = open_socket,
    .fetch = fetch_report,
    .derive = derive_key,
    .close = close_socket,
};
