/* The unit of containerd, asked and restarted: over systemd's own socket, over a private
 * dbus-daemon, by systemctl, by a hook. systemd is mock_systemd.c, whose path is the argument.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "installer/node_service.h"
#include "lib/base/file.h"

#define LONG_MS 30000
#define SHORT_MS 200
#define ARGS_MAX 12

extern char **environ;

static const char *mock_path;

struct child {
    pid_t pid;
    FILE *out;
};

struct host {
    char folder[32];
    struct node_root root;
    struct child children[4];
    size_t child_count;
    struct node_service_config config;
};

/* --- A host's root, and programs beside it */

static const char *in(const struct host *h, const char *name, char out[PATH_MAX]) {
    (void)snprintf(out, PATH_MAX, "%s%s", h->folder, name);
    return out;
}

static void write_text(const struct host *h, const char *name, const char *text) {
    char path[PATH_MAX];
    FILE *f = fopen(in(h, name, path), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state) {
    struct host *h = calloc(1, sizeof *h);
    char path[PATH_MAX];
    (void)strcpy(h->folder, "/tmp/service-XXXXXX");
    assert_non_null(mkdtemp(h->folder));
    assert_int_equal(mkdir(in(h, "/real", path), 0755), 0);
    assert_int_equal(mkdir(in(h, "/real/systemd", path), 0755), 0);
    assert_int_equal(mkdir(in(h, "/real/dbus", path), 0755), 0);
    /* As on the host itself: an absolute link, which must not lead out of the mount. */
    assert_int_equal(symlink("/real", in(h, "/run", path)), 0);
    assert_true(is_ok(node_root_open(h->folder, &h->root, NULL)));
    h->config = (struct node_service_config){
        .root = &h->root,
        .units = {"k3s.service", "k3s-agent.service"},
        .node_command = "/nowhere/nsenter",
        .timeout_ms = LONG_MS,
    };
    *state = h;
    return 0;
}

static int teardown(void **state) {
    struct host *h = *state;
    for (size_t i = h->child_count; i-- > 0;) {
        (void)kill(h->children[i].pid, SIGTERM);
        (void)waitpid(h->children[i].pid, NULL, 0);
        (void)fclose(h->children[i].out);
    }
    assert_true(is_ok(node_root_remove_tree(&h->root, "/real", NULL)));
    char path[PATH_MAX];
    (void)unlink(in(h, "/run", path));
    (void)unlink(in(h, "/script", path));
    (void)unlink(in(h, "/log", path));
    node_root_close(&h->root);
    (void)rmdir(h->folder);
    free(h);
    return 0;
}

/* Its standard output is read by the test. */
static struct child *spawn(struct host *h, const char *const argv[]) {
    struct child *c = &h->children[h->child_count];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], 1), 0);
    char *copy[ARGS_MAX] = {0};
    assert_non_null(argv[0]);
    for (size_t i = 0; i < ARGS_MAX - 1 && argv[i] != NULL; i++) {
        copy[i] = strdup(argv[i]);
    }
    assert_int_equal(
        posix_spawnp(&c->pid, copy[0] != NULL ? copy[0] : "", &actions, NULL, copy, environ), 0);
    for (size_t i = 0; i < ARGS_MAX; i++) {
        free(copy[i]);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    c->out = fdopen(ends[0], "r");
    assert_non_null(c->out);
    h->child_count++; /* only now: teardown ends it by its id */
    return c;
}

static void expect_line(struct child *c, const char *want) {
    char line[256] = "";
    assert_non_null(fgets(line, sizeof line, c->out));
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(line, want);
}

static struct child *start_mock(struct host *h, const char *kind, const char *path, const char *one,
                                const char *two) {
    const char *const argv[] = {mock_path, kind, path, one, two, NULL};
    struct child *c = spawn(h, argv);
    expect_line(c, "ready");
    return c;
}

static struct child *start_private(struct host *h, const char *one, const char *two) {
    char path[PATH_MAX];
    return start_mock(h, "private", in(h, "/real/systemd/private", path), one, two);
}

/* A dbus-daemon of its own, and systemd on it. */
static struct child *start_bus(struct host *h, const char *one, const char *two) {
    char path[PATH_MAX];
    char conf[PATH_MAX + 512];
    (void)snprintf(conf, sizeof conf,
                   "<busconfig><type>system</type><listen>unix:path=%s</listen>"
                   "<policy context=\"default\"><allow send_destination=\"*\"/>"
                   "<allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/></policy>"
                   "</busconfig>",
                   in(h, "/real/dbus/system_bus_socket", path));
    write_text(h, "/real/dbus/conf", conf);
    char option[PATH_MAX + 32];
    char where[PATH_MAX];
    (void)snprintf(option, sizeof option, "--config-file=%s", in(h, "/real/dbus/conf", where));
    const char *const argv[] = {"dbus-daemon",       option, "--nofork", "--nopidfile",
                                "--print-address=1", NULL};
    struct child *bus = spawn(h, argv);
    char line[1024];
    assert_non_null(fgets(line, sizeof line, bus->out)); /* its address: it listens */
    return start_mock(h, "bus", path, one, two);
}

static struct result restart(struct host *h, const char *unit, struct err *err) {
    struct node_service service = {0};
    (void)snprintf(service.unit, sizeof service.unit, "%s", unit);
    return node_service_restart(&h->config, &service, NULL, err);
}

static void assert_refused(struct host *h, const char *unit, enum err_code code, const char *want) {
    struct err err = {0};
    assert_int_equal(restart(h, unit, &err).code, code);
    if (strstr(err.text, want) == NULL || strstr(err.text, unit) == NULL) {
        fail_msg("want '%s', got '%s'", want, err.text);
    }
}

/* --- Looking */

static void test_look(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=inactive,5,done",
                  "k3s-agent.service=active,1700000000000001,done");
    struct node_service s;
    assert_true(is_ok(node_service_look(&h->config, &s, NULL)));
    assert_string_equal(s.unit, "k3s-agent.service");
    assert_true(s.started_ns == UINT64_C(1700000000000001000));
}

static void test_look_prefers_the_first(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,7,done", "k3s-agent.service=active,8,done");
    struct node_service s;
    assert_true(is_ok(node_service_look(&h->config, &s, NULL)));
    assert_string_equal(s.unit, "k3s.service");
    assert_true(s.started_ns == 7000);
}

/* A unit that failed has a time, but nothing runs since then. */
static void test_look_at_what_is_down(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=unloaded,1,done", "k3s-agent.service=failed,9,done");
    struct node_service s;
    assert_true(is_ok(node_service_look(&h->config, &s, NULL)));
    assert_string_equal(s.unit, "k3s-agent.service");
    assert_true(s.started_ns == 0);
}

static void test_look_over_the_bus(void **state) {
    struct host *h = *state;
    start_bus(h, "k3s-agent.service=active,9,done", NULL);
    struct node_service s;
    assert_true(is_ok(node_service_look(&h->config, &s, NULL)));
    assert_string_equal(s.unit, "k3s-agent.service");
    assert_true(s.started_ns == 9000);
}

static void test_look_where_nobody_is(void **state) {
    struct host *h = *state;
    struct node_service s = {.unit = "x", .started_ns = 1};
    assert_true(is_ok(node_service_look(&h->config, &s, NULL)));
    assert_true(s.unit[0] == '\0' && s.started_ns == 0);
}

/* A socket that nobody listens on any more, before a bus that works. */
static void test_look_past_a_dead_socket(void **state) {
    struct host *h = *state;
    struct child *dead = start_private(h, "k3s.service=active,1,done", NULL);
    assert_int_equal(kill(dead->pid, SIGKILL), 0);
    start_bus(h, "k3s.service=active,2,done", NULL);
    struct node_service s;
    assert_true(is_ok(node_service_look(&h->config, &s, NULL)));
    assert_true(s.started_ns == 2000);
}

/* --- Restarting */

static void test_restart(void **state) {
    struct host *h = *state;
    struct child *mock = start_private(h, "k3s.service=active,1,done", NULL);
    assert_true(is_ok(restart(h, "k3s.service", NULL)));
    expect_line(mock, "subscribe"); /* first: or the end of a fast job would be missed */
    expect_line(mock, "restart k3s.service");
}

static void test_restart_over_the_bus(void **state) {
    struct host *h = *state;
    struct child *mock = start_bus(h, "k3s.service=active,1,done", NULL);
    assert_true(is_ok(restart(h, "k3s.service", NULL)));
    expect_line(mock, "subscribe");
    expect_line(mock, "restart k3s.service");
}

static void test_restart_of_the_configured_unit(void **state) {
    struct host *h = *state;
    struct child *mock = start_private(h, "k3s.service=unloaded,1,done", NULL);
    assert_true(is_ok(restart(h, "", NULL)));
    expect_line(mock, "subscribe");
    expect_line(mock, "restart k3s.service");
}

static void test_job_that_ends_before_the_answer(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,1,early", NULL);
    assert_true(is_ok(restart(h, "k3s.service", NULL)));
}

static void test_job_fails(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,1,failed", "k3s-agent.service=active,1,timeout");
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "job failed");
    assert_refused(h, "k3s-agent.service", ERR_UNAVAILABLE, "job timeout");
}

static void test_no_such_unit(void **state) {
    struct host *h = *state;
    start_private(h, NULL, NULL);
    assert_refused(h, "k3s.service", ERR_NOT_FOUND, "not loaded");
}

static void test_masked(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=inactive,1,masked", NULL);
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "is masked");
}

static void test_systemd_goes_away(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,1,gone", NULL);
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "went away");
}

static void test_bus_goes_away(void **state) {
    struct host *h = *state;
    start_bus(h, "k3s.service=active,1,slow", NULL);
    h->config.timeout_ms = SHORT_MS;
    assert_refused(h, "k3s.service", ERR_TIMEOUT, "did not restart within");
    assert_int_equal(kill(h->children[0].pid, SIGKILL), 0);
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "D-Bus");
}

static void test_job_that_never_ends(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,1,slow", NULL);
    h->config.timeout_ms = SHORT_MS;
    assert_refused(h, "k3s.service", ERR_TIMEOUT, "did not restart within");
}

static void test_no_answer(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,1,silent", NULL);
    h->config.timeout_ms = SHORT_MS;
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "RestartUnit");
}

static void test_signal(void **state) {
    struct host *h = *state;
    start_private(h, "k3s.service=active,1,slow", NULL);
    const volatile sig_atomic_t stop = 1;
    struct node_service service = {.unit = "k3s.service"};
    struct err err;
    assert_int_equal(node_service_restart(&h->config, &service, &stop, &err).code, ERR_CANCELED);
}

/* --- Without D-Bus */

static void test_systemctl(void **state) {
    struct host *h = *state;
    char path[PATH_MAX];
    char text[2 * PATH_MAX];
    (void)snprintf(text, sizeof text, "echo \"$@\" >%s/log", h->folder);
    write_text(h, "/script", text);
    (void)snprintf(text, sizeof text, "/bin/sh %s", in(h, "/script", path));
    h->config.node_command = text;
    assert_true(is_ok(restart(h, "k3s.service", NULL)));
    struct buf log = {0};
    assert_true(is_ok(file_read(in(h, "/log", path), 4096, &log, NULL)));
    assert_string_equal(buf_cstr(&log), "systemctl restart k3s.service\n");
    buf_deinit(&log);
    write_text(h, "/script", "echo 'Job for k3s.service failed.' >&2; exit 1");
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "D-Bus: ");
    assert_refused(h, "k3s.service", ERR_UNAVAILABLE, "exit code 1: Job for k3s.service failed.");
}

static void test_nothing_works(void **state) {
    assert_refused(*state, "k3s.service", ERR_UNAVAILABLE, "/nowhere/nsenter");
}

static void test_hook(void **state) {
    struct host *h = *state;
    struct child *mock = start_private(h, "k3s.service=active,1,failed", NULL);
    h->config.restart_command = "exit 0";
    assert_true(is_ok(restart(h, "k3s.service", NULL)));
    h->config.restart_command = "echo no >&2; exit 3";
    struct err err;
    assert_int_equal(restart(h, "k3s.service", &err).code, ERR_UNAVAILABLE);
    assert_string_equal(err.text, "RESTART_COMMAND: /bin/sh: exit code 3: no");
    h->config.restart_command = NULL; /* and systemd was not asked for either of them */
    assert_false(is_ok(restart(h, "k3s.service", &err)));
    expect_line(mock, "subscribe");
    expect_line(mock, "restart k3s.service");
}

static void test_no_unit(void **state) {
    struct host *h = *state;
    h->config.units[0] = NULL;
    struct err err;
    assert_int_equal(restart(h, "", &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "systemd-unit-name"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fputs("usage: test_node_service MOCK_SYSTEMD\n", stderr);
        return 2;
    }
    mock_path = argv[1];
    const struct CMUnitTest tests[] = {
        T(test_look),
        T(test_look_prefers_the_first),
        T(test_look_at_what_is_down),
        T(test_look_over_the_bus),
        T(test_look_where_nobody_is),
        T(test_look_past_a_dead_socket),
        T(test_restart),
        T(test_restart_over_the_bus),
        T(test_restart_of_the_configured_unit),
        T(test_job_that_ends_before_the_answer),
        T(test_job_fails),
        T(test_no_such_unit),
        T(test_masked),
        T(test_systemd_goes_away),
        T(test_bus_goes_away),
        T(test_job_that_never_ends),
        T(test_no_answer),
        T(test_signal),
        T(test_systemctl),
        T(test_nothing_works),
        T(test_hook),
        T(test_no_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
