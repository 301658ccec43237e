/* Plan: facts in, steps out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MAIN_PATH "/etc/containerd/config.toml"
#define STEM "contrast-cc-metal-qemu-snp-"
#define ONE STEM "00000001"
#define TWO STEM "00000002"
#define THREE STEM "00000003"
#define GPU "contrast-cc-metal-qemu-snp-gpu-00000001"
#define START_NS (UINT64_C(1700000000) * 1000000000)
#define CONFIG                                                                                     \
    "{\"platform\":\"Metal-QEMU-SNP\",\"files\":[{\"url\":\"file:///q\","                          \
    "\"path\":\"@@runtimeBase@@/bin/qemu-system-x86_64\",\"executable\":true}],\"kata\":{"         \
    "\"kernel\":\"\",\"initrd\":\"\",\"image\":\"\",\"firmware\":\"\"}}"
#define USERS                                                                                      \
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n"              \
    "runtime_type = \"io.containerd.runc.v2\"\n"

/* A node with containerd 1.7 and what the test says. */
struct fixture {
    struct node_config config;
    struct node_journal journal;
    struct node_texts texts;
    struct node_plan plan;
    struct sri digest;
    bool is_there;
    struct buf kata;
    size_t shims[8];
    struct node_facts facts;
};

static void add_text(struct fixture *f, const char *path, const char *text) {
    f->texts.items = mem_realloc(f->texts.items, (f->texts.count + 1) * sizeof *f->texts.items);
    struct node_text item = {.path = mem_strdup(path), .exists = text != NULL};
    if (text != NULL) {
        buf_append_str(&item.before, text);
        buf_append_str(&item.after, text);
        item.stat = (struct node_stat){.exists = true, .mode = 0644, .mtime_ns = START_NS - 1};
    }
    f->texts.items[f->texts.count++] = item;
}

static int set_up(void **state) {
    struct fixture *f = mem_zalloc(sizeof *f);
    struct err err;
    assert_true(is_ok(node_config_parse(span_of(CONFIG, strlen(CONFIG)), NULL, &f->config, &err)));
    f->texts.main_path = MAIN_PATH;
    f->digest.size = 32;
    f->facts = (struct node_facts){.config = &f->config,
                                   .handler = ONE,
                                   .digests = &f->digest,
                                   .is_there = &f->is_there,
                                   .daemon = {1, 7, 0},
                                   .journal = &f->journal,
                                   .shim_counts = f->shims,
                                   .service = {.started_ns = START_NS},
                                   .keep = 2};
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    node_plan_deinit(&f->plan);
    node_texts_deinit(&f->texts);
    node_journal_deinit(&f->journal);
    node_config_deinit(&f->config);
    buf_deinit(&f->kata);
    mem_free(f);
    return 0;
}

static void install(struct fixture *f) {
    struct err err = {0};
    struct result r = node_plan_install(&f->facts, &f->texts, &f->plan, &err);
    if (!is_ok(r)) {
        fail_msg("%s", err.text);
    }
}

/* The texts as an installation of `handler` leaves them, read again. */
static void settle(struct fixture *f) {
    node_plan_deinit(&f->plan);
    for (size_t i = 0; i < f->texts.count; i++) {
        struct node_text *t = &f->texts.items[i];
        buf_clear(&t->before);
        buf_append_span(&t->before, buf_span(&t->after));
        t->stat = (struct node_stat){.exists = t->exists, .mode = 0644, .mtime_ns = START_NS - 1};
    }
    const struct node_runtime runtime = {.handler = f->facts.handler};
    node_journal_put(&f->journal, &runtime);
    f->is_there = true;
    buf_clear(&f->kata);
    AUTO(buf_deinit)
    struct buf base = {0};
    buf_appendf(&base, NODE_RUNTIME_ROOT "/%s", f->facts.handler);
    kata_config_make(f->config.platform, &f->config.kata, buf_cstr(&base), &f->kata);
    f->facts.kata = buf_span(&f->kata);
    f->facts.has_kata = true;
    f->facts.has_folder = true;
}

static void installed(struct fixture *f, const char *handler) {
    f->facts.handler = handler;
    f->facts.has_kata = false;
    f->is_there = false;
    install(f);
    settle(f);
}

/* "fetch,write,edit,restart,confirm" */
static void expect(const struct fixture *f, const char *steps) {
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; i < f->plan.count; i++) {
        buf_appendf(&text, "%s%s", i > 0 ? "," : "", node_step_name(f->plan.steps[i].kind));
    }
    assert_string_equal(buf_cstr(&text), steps);
}

static const struct node_step *last(const struct fixture *f) {
    return &f->plan.steps[f->plan.count - 1];
}

static void test_fresh(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    install(f);
    expect(f, "fetch,write,edit,restart,confirm");
    assert_string_equal(f->plan.steps[0].path, "/opt/edgeless/" ONE "/bin/qemu-system-x86_64");
    assert_int_equal(f->plan.steps[0].mode, 0755);
    assert_string_equal(f->plan.steps[1].path,
                        "/opt/edgeless/" ONE "/etc/configuration-qemu-snp.toml");
    assert_true(node_plan_changes(&f->plan));
    AUTO(buf_deinit)
    struct buf text = {0};
    node_plan_print(&f->plan, &text);
    assert_non_null(strstr(buf_cstr(&text), "+runtime_type = \"io.containerd.contrast-cc.v2\""));
    assert_non_null(strstr(buf_cstr(&text), "restart containerd: its configuration changes"));
}

static void test_nothing_to_do(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    install(f);
    expect(f, "confirm");
    assert_false(node_plan_changes(&f->plan));
}

static void test_changed_file(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    f->is_there = false;
    install(f);
    expect(f, "fetch,confirm");
}

static void test_changed_kata(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    buf_append_str(&f->kata, "# by hand\n");
    f->facts.kata = buf_span(&f->kata);
    install(f);
    expect(f, "write,confirm");
}

static void test_garbage(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    installed(f, TWO);
    f->facts.handler = THREE;
    install(f);
    expect(f, "write,edit,restart,confirm,drop");
    assert_string_equal(last(f)->handler, ONE);
    assert_null(strstr(buf_cstr(&f->texts.items[0].after), ONE));
    assert_non_null(strstr(buf_cstr(&f->texts.items[0].after), TWO));
}

static void test_shim_runs(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    installed(f, TWO);
    f->facts.handler = THREE;
    f->shims[0] = 1;
    install(f);
    expect(f, "write,edit,restart,confirm");
    assert_non_null(strstr(buf_cstr(&f->texts.items[0].after), ONE));
}

/* Each platform has its own newest ones. */
static void test_platforms(void **state) {
    struct fixture *f = *state;
    f->facts.keep = 1;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    installed(f, GPU);
    install(f);
    expect(f, "confirm");
}

/* A runtime that no file names: a run was killed while it staged, or was rolled back. */
static void test_left_by_a_killed_run(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    const struct node_runtime runtime = {.handler = TWO};
    node_journal_put(&f->journal, &runtime);
    install(f);
    expect(f, "fetch,write,edit,restart,confirm,drop");
    assert_string_equal(last(f)->handler, TWO);
}

static void test_interrupted(void **state) {
    static const struct {
        enum node_phase phase;
        int64_t asked_ms;
        uint64_t started_ns;
        const char *steps;
    } rows[] = {
        {NODE_PHASE_STAGING, 0, START_NS, "confirm"},
        {NODE_PHASE_SWAPPING, 0, START_NS, "restart,confirm"},
        {NODE_PHASE_ROLLING_BACK, 0, START_NS, "restart,confirm"},
        {NODE_PHASE_RESTARTING, START_NS / 1000000 + 1, START_NS, "restart,confirm"},
        {NODE_PHASE_RESTARTING, START_NS / 1000000, START_NS, "confirm"}, /* k3s: it killed us */
        {NODE_PHASE_RESTARTING, START_NS / 1000000, 0, "restart,confirm"},
        {NODE_PHASE_IDLE, 0, START_NS - 2, "restart,confirm"}, /* the unit is older */
        {NODE_PHASE_IDLE, 0, 0, "confirm"},                    /* the unit is unknown */
    };
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f->journal.phase = rows[i].phase;
        f->journal.restart_ms = rows[i].asked_ms;
        f->facts.service.started_ns = rows[i].started_ns;
        install(f);
        expect(f, rows[i].steps);
        node_plan_deinit(&f->plan);
    }
}

static void uninstall(struct fixture *f) {
    struct err err = {0};
    struct result r = node_plan_uninstall(&f->facts, &f->texts, &f->plan, &err);
    if (!is_ok(r)) {
        fail_msg("%s", err.text);
    }
}

static void test_uninstall(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    uninstall(f);
    expect(f, "edit,restart,confirm,drop");
    assert_true(f->plan.steps[2].is_absent);
    assert_string_equal(buf_cstr(&f->texts.items[0].after), USERS);
}

static void test_uninstall_nothing(void **state) {
    struct fixture *f = *state;
    add_text(f, MAIN_PATH, USERS);
    uninstall(f);
    expect(f, "");
    assert_false(node_plan_changes(&f->plan));
}

static void test_uninstall_while_a_shim_runs(void **state) {
    struct fixture *f = *state;
    struct err err;
    static const char names[] = "77 containerd-shim-contrast-cc-v2";
    add_text(f, MAIN_PATH, USERS);
    installed(f, ONE);
    f->facts.own_shims = 1;
    f->facts.own_shim_names = span_of(names, sizeof names - 1);
    assert_int_equal(node_plan_uninstall(&f->facts, &f->texts, &f->plan, &err).code, ERR_BUSY);
    assert_non_null(strstr(err.text, names));
    assert_non_null(strstr(err.text, "drain the node"));
}

/* New files come before what imports them, and deletions last. */
static void test_order_of_edits(void **state) {
    static const char users[] = "version = 3\n";
    struct fixture *f = *state;
    f->facts.daemon = (struct containerd_version){2, 1, 0};
    f->facts.keep = 1;
    add_text(f, MAIN_PATH, users);
    add_text(f, "/etc/containerd/conf.d/" ONE ".toml", NULL);
    add_text(f, "/etc/containerd/conf.d/" TWO ".toml", NULL);
    installed(f, ONE);
    f->facts.handler = TWO;
    install(f);
    size_t created = 0;
    size_t deleted = 0;
    for (size_t i = 0; i < f->plan.count; i++) {
        const struct node_step *s = &f->plan.steps[i];
        created = s->kind == NODE_EDIT && strstr(s->path, TWO) != NULL ? i + 1 : created;
        deleted = s->kind == NODE_EDIT && strstr(s->path, ONE) != NULL ? i + 1 : deleted;
    }
    assert_true(created > 0 && deleted > created);
    assert_int_equal(last(f)->kind, NODE_DROP);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_fresh),
        T(test_nothing_to_do),
        T(test_changed_file),
        T(test_changed_kata),
        T(test_garbage),
        T(test_shim_runs),
        T(test_platforms),
        T(test_left_by_a_killed_run),
        T(test_interrupted),
        T(test_uninstall),
        T(test_uninstall_nothing),
        T(test_uninstall_while_a_shim_runs),
        T(test_order_of_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
