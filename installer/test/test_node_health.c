/* Health: the verdict on a host, and the page that tells it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "installer/node_health.h"
#include "installer/node_journal.h"

#define HANDLER "contrast-cc-metal-qemu-snp-00000000"

struct host {
    char folder[32];
    struct node_root root;
    struct node_settings settings;
};

static int setup(void **state) {
    struct host *h = calloc(1, sizeof *h);
    (void)strcpy(h->folder, "/tmp/health-XXXXXX");
    assert_non_null(mkdtemp(h->folder));
    assert_true(is_ok(node_root_open(h->folder, &h->root, NULL)));
    assert_true(is_ok(node_settings_read(&h->settings, NULL)));
    h->settings.host_mount = h->folder;
    *state = h;
    return 0;
}

static int teardown(void **state) {
    struct host *h = *state;
    assert_true(is_ok(node_root_remove_tree(&h->root, "/opt", NULL)));
    node_root_close(&h->root);
    assert_int_equal(rmdir(h->folder), 0);
    free(h);
    return 0;
}

static void write_journal(struct host *h, enum node_phase phase) {
    struct node_journal journal = {.phase = phase, .handler = phase == 0 ? "" : HANDLER};
    const struct node_runtime runtime = {.handler = HANDLER, .installed_unix = 1};
    node_journal_put(&journal, &runtime);
    struct err err;
    if (!is_ok(node_journal_save(&h->root, &journal, &err))) {
        fail_msg("%s", err.text);
    }
    node_journal_deinit(&journal);
}

static void assert_sick(const struct host *h, const char *phase, const char *want) {
    struct node_verdict v;
    node_health_look(&h->settings, &v);
    assert_false(v.is_healthy);
    assert_string_equal(v.phase, phase);
    if (strstr(v.reason, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, v.reason);
    }
}

static void test_nothing_installed(void **state) {
    assert_sick(*state, "idle", "no runtime is installed");
}

static void test_installer_at_work(void **state) {
    write_journal(*state, NODE_PHASE_RESTARTING);
    assert_sick(*state, "restarting", "an installer is at work, or was interrupted");
}

static void test_nobody_answers(void **state) {
    write_journal(*state, NODE_PHASE_IDLE);
    assert_sick(*state, "idle", "/run/containerd/containerd.sock");
}

static void test_damaged_journal(void **state) {
    struct host *h = *state;
    assert_true(is_ok(node_root_write(&h->root, NODE_JOURNAL_PATH, span_str("{"), 0600, (uid_t)-1,
                                      (gid_t)-1, NULL)));
    assert_sick(h, "unknown", "journal.json");
}

static void test_no_host(void **state) {
    struct host *h = *state;
    h->settings.host_mount = "/nowhere";
    assert_sick(h, "unknown", "/nowhere");
}

/* --- The page */

/* The answer to `request`, which ends the connection. */
static void talk(unsigned port, const char *request, char *out, size_t size) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = recv(fd, out + used, size - 1 - used, 0)) > 0) {
        used += (size_t)n;
    }
    out[used] = '\0';
    (void)close(fd);
}

#define END " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

static void test_page(void **state) {
    struct host *h = *state;
    write_journal(h, NODE_PHASE_STAGING);
    struct node_health *health = NULL;
    assert_true(is_ok(node_health_open("127.0.0.1:0", &h->settings, &health, NULL)));
    static const struct {
        const char *request;
        const char *status;
        const char *want;
    } rows[] = {
        {"GET /healthz" END, "HTTP/1.1 503 ",
         "{\"ok\":false,\"phase\":\"staging\",\"handler\":\"" HANDLER "\""},
        {"GET /" END, "HTTP/1.1 404 ", "/healthz"},
        {"DELETE /healthz" END, "HTTP/1.1 405 ", "GET only"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char answer[4096];
        talk(node_health_port(health), rows[i].request, answer, sizeof answer);
        if (strncmp(answer, rows[i].status, 13) != 0 || strstr(answer, rows[i].want) == NULL) {
            fail_msg("%s", answer);
        }
    }
    node_health_close(health);
    node_health_close(NULL);
}

static void test_addresses(void **state) {
    struct host *h = *state;
    static const char *const bad[] = {
        "",      "127.0.0.1", "127.0.0.1:",   ":80",  "host:80", "127.0.0.1:-1", "127.0.0.1:65536",
        "[::1]", "[::1:80",   "127.0.0.1:8x", "[]:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct node_health *health = NULL;
        struct err err;
        assert_int_equal(node_health_open(bad[i], &h->settings, &health, &err).code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "HEALTH_ADDRESS"));
        assert_null(health);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_nothing_installed), T(test_installer_at_work), T(test_nobody_answers),
        T(test_damaged_journal),   T(test_no_host),           T(test_page),
        T(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
