/* Pod launch: see podlaunch.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/podlaunch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos-tests/simulator/podpolicy.h"
#include "chaos-tests/simulator/podserver.h"
#include "chaos-tests/simulator/podsocket.h"
#include "lib/crypto/digest.h"

#define HEADER_SIZE 8 /* magic and version or status */

static RESULT hash_policy(const struct podlaunch_options *options, uint8_t *host_data,
                          struct err *err) {
    AUTO(buf_deinit)
    struct buf policy = {0};
    TRY(podpolicy_find(options->pod_file, options->name, &policy, err));
    sha256(buf_span(&policy), host_data);
    return OK;
}

static RESULT send_launch(const struct podlaunch_options *options, int fd, const uint8_t *host_data,
                          struct err *err) {
    uint8_t request[PODSERVER_LAUNCH_SIZE] = {0};
    struct span magic = span_str(PODSERVER_LAUNCH_MAGIC);
    memcpy(request, magic.data, magic.size);
    store_u32be(request + PODSERVER_MAGIC_SIZE, PODSERVER_VERSION);
    memcpy(request + HEADER_SIZE, host_data, MACHINE_HOST_DATA_SIZE);
    if (options->measurement != NULL) {
        memcpy(request + PODSERVER_LAUNCH_MEASUREMENT, options->measurement,
               MACHINE_MEASUREMENT_SIZE);
    }
    store_u64be(request + PODSERVER_LAUNCH_POLICY, options->guest_policy);
    ssize_t n = send(fd, request, sizeof request, MSG_NOSIGNAL);
    ENSURE(n == (ssize_t)sizeof request, err, UNAVAILABLE, "the server did not take the launch: %s",
           n < 0 ? strerror(errno) : "short write");
    return OK;
}

static RESULT receive(int fd, void *out, size_t size, struct err *err) {
    ssize_t n = recv(fd, out, size, MSG_WAITALL);
    ENSURE(n == (ssize_t)size, err, UNAVAILABLE, "the server closed during the launch");
    return OK;
}

static RESULT receive_pod(int fd, char path[PODSOCKET_PATH_SIZE], struct err *err) {
    uint8_t head[HEADER_SIZE];
    uint8_t size_bytes[4];
    TRY(receive(fd, head, sizeof head, err));
    ENSURE(memcmp(head, PODSERVER_POD_MAGIC, PODSERVER_MAGIC_SIZE) == 0, err, MALFORMED,
           "the server's answer does not start with " PODSERVER_POD_MAGIC);
    uint32_t status = load_u32be(head + PODSERVER_MAGIC_SIZE);
    ENSURE(status == PODSERVER_STATUS_OK, err, UNAVAILABLE,
           "the server refused the launch (status %u); its log says why", (unsigned)status);
    TRY(receive(fd, size_bytes, sizeof size_bytes, err));
    size_t size = load_u32be(size_bytes);
    ENSURE(size > 0 && size < PODSOCKET_PATH_SIZE, err, MALFORMED,
           "the server's answer has a path of %zu bytes", size);
    TRY(receive(fd, path, size, err));
    path[size] = 0;
    ENSURE(strlen(path) == size, err, MALFORMED, "the server's answer has a NUL in the path");
    return OK;
}

/* The descriptor leads a life of its own from here: the program inherits it. */
static RESULT become(const struct podlaunch_options *options, int fd, const char *path,
                     struct err *err) {
    ENSURE(fcntl(fd, F_SETFD, 0) == 0 && setenv(PODLAUNCH_ENVIRONMENT, path, 1) == 0, err, IO,
           "cannot hand over the pod: %s", strerror(errno));
    execvp(options->program[0], options->program);
    return err_set(err, ERR_CONFIG, "%s: %s", options->program[0], strerror(errno));
}

static RESULT launch(const struct podlaunch_options *options, int fd, const uint8_t *host_data,
                     struct err *err) {
    char path[PODSOCKET_PATH_SIZE];
    TRY(send_launch(options, fd, host_data, err));
    TRY(receive_pod(fd, path, err));
    return become(options, fd, path, err);
}

struct result podlaunch_exec(const struct podlaunch_options *options, struct err *err) {
    uint8_t host_data[MACHINE_HOST_DATA_SIZE];
    int fd = -1;
    TRY(hash_policy(options, host_data, err));
    TRY(podsocket_connect(options->socket, &fd, err));
    struct result r = launch(options, fd, host_data, err);
    close(fd);
    return r;
}
