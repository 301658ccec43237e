/* bench-installer: one run of a program, with what it took; and the floor of the installer.
 *
 *   bench-installer run PROGRAM [ARGUMENT]...   "MICROSECONDS KIBIBYTES EXIT": wall time, VmHWM
 *   bench-installer floor                       does nothing, with the installer's libraries
 *
 * The memory is wait4's ru_maxrss of a child of this small process: a child of a large one would
 * inherit that one's peak.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <nghttp2/nghttp2.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "lib/crypto/digest.h"

extern char **environ;

static uint64_t now_us(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A use of each library: the linker keeps them all. */
static int floor_run(void) {
    sd_bus *bus = NULL;
    uint8_t digest[SHA256_SIZE] = {0};
    sha256(span_str("x"), digest);
    bool is_linked = nghttp2_version(0) != NULL && jansson_version_str() != NULL &&
                     digest[0] == 0x2d && sd_bus_new(&bus) >= 0;
    sd_bus_unref(bus);
    return is_linked ? 0 : 1;
}

static int measure(char **argv) {
    pid_t pid = 0;
    int status = 0;
    struct rusage usage;
    uint64_t start = now_us();
    int r = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    if (r != 0 || wait4(pid, &status, 0, &usage) != pid) {
        (void)fprintf(stderr, "%s: %s\n", argv[0], strerror(r));
        return 1;
    }
    (void)printf("%" PRIu64 " %ld %d\n", now_us() - start, usage.ru_maxrss,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "floor") == 0) {
        return floor_run();
    }
    if (argc > 2 && strcmp(argv[1], "run") == 0) {
        return measure(argv + 2);
    }
    (void)fputs("usage: bench-installer run PROGRAM [ARGUMENT]... | bench-installer floor\n",
                stderr);
    return 2;
}
