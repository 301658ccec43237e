/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/core/test/core_world.h"
#include "coordinator/restart_store.h"
#include "lib/base/file.h"

#define STEPS 10000 /* of a millisecond, that a test waits for another thread at most */

/* --- Fixture: a world, a folder, a chip, a store of the first founder */

struct site {
    struct world world;
    char folder[64];
    char path[256];
    uint8_t chip;    /* fill of its key */
    bool has_no_key; /* it derives none */
    struct attester *attester;
    struct restart_desk *desk;
    struct restart_store *store;
    uint64_t voters[WORLD_FOUNDERS];
};

static struct result report(void *data, const uint8_t report_data[ISSUER_DATA_SIZE],
                            struct issuer_evidence *out, struct err *err) {
    (void)data;
    (void)report_data;
    (void)out;
    return err_set(err, ERR_UNAVAILABLE, "no reports here");
}

static struct result derive(void *data, const struct issuer_key_spec *spec, struct secret *out,
                            struct err *err) {
    const struct site *s = data;
    ENSURE(!s->has_no_key, err, UNAVAILABLE, "no keys here");
    CHECK(spec->fields == (ISSUER_FIELD_GUEST_POLICY | ISSUER_FIELD_MEASUREMENT));
    memset(secret_data(out), s->chip, ISSUER_KEY_SIZE);
    return OK;
}

static void open_store(struct site *s) {
    const struct attester_source source = {s, report, derive};
    s->desk = restart_desk_new(&host_system, s->voters[0]);
    assert_true(
        is_ok(attester_new_from(&source, &attester_limits, &host_system, &s->attester, NULL)));
    assert_true(
        is_ok(restart_store_open(s->folder, s->voters[0], s->attester, s->desk, &s->store, NULL)));
}

static void close_store(struct site *s) {
    restart_store_stop(s->store);
    attester_free(s->attester);
    restart_store_free(s->store);
    restart_desk_free(s->desk);
}

static int setup(void **state) {
    struct site *s = mem_zalloc(sizeof *s);
    world_init(&s->world);
    world_share(&s->world, 3, 2, true);
    world_start(&s->world);
    for (size_t i = 0; i < WORLD_FOUNDERS; i++) {
        s->voters[i] = s->world.founders[i].id;
    }
    snprintf(s->folder, sizeof s->folder, "/tmp/contrast-restart-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->chip = 7;
    open_store(s);
    *state = s;
    return 0;
}

static const char *path_in(struct site *s, const char *name) {
    snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
    return s->path;
}

static int teardown(void **state) {
    static const char *const names[] = {"restart.state", "restart.state.1", "restart.given"};
    struct site *s = *state;
    close_store(s);
    for (size_t i = 0; i < 3; i++) {
        unlink(path_in(s, names[i]));
    }
    assert_int_equal(rmdir(s->folder), 0); /* nothing else was ever written */
    world_deinit(&s->world);
    mem_free(s);
    return 0;
}

static bool has_file(struct site *s, const char *name) {
    return access(path_in(s, name), F_OK) == 0;
}

/* Of the file, or 0. */
static uint64_t index_of(struct site *s, const char *name) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct restart_file f;
    if (!is_ok(file_read(path_in(s, name), LIMIT_RESTART_FILE, &bytes, NULL)) ||
        !is_ok(restart_file_parse(buf_span(&bytes), &arena, &f, NULL))) {
        return 0;
    }
    return f.header.index;
}

static void pause_for_threads(void) {
    const struct timespec t = {0, 1000000};
    nanosleep(&t, NULL);
}

static void wait_index(struct site *s, const char *name, uint64_t index) {
    for (int i = 0; i < STEPS && index_of(s, name) != index; i++) {
        pause_for_threads();
    }
    assert_int_equal(index_of(s, name), index);
}

static void wait_why(struct site *s, const char *words) {
    char why[RESTART_WHY_SIZE] = "";
    for (int i = 0; i < STEPS && strstr(why, words) == NULL; i++) {
        pause_for_threads();
        restart_desk_why(s->desk, why);
    }
    assert_non_null(strstr(why, words));
}

static void wait_armed(struct site *s) {
    for (int i = 0; i < STEPS && !restart_desk_is_armed(s->desk); i++) {
        pause_for_threads();
    }
    assert_true(restart_desk_is_armed(s->desk));
}

static uint64_t point(struct site *s) {
    restart_store_point(s->store, s->world.core, s->voters, WORLD_FOUNDERS);
    return core_applied_index(s->world.core);
}

static void set_manifest(struct site *s, bool is_permitted, unsigned number) {
    world_share(&s->world, 3, 2, is_permitted);
    struct entry_set_manifest e = world_set(&s->world, 15, number);
    assert_int_equal(world_apply(&s->world, ENTRY_SET_MANIFEST, &e), ERR_OK);
}

/* A point, with its file on disk, seen by the next process. */
static void keep_and_restart(struct site *s) {
    wait_index(s, "restart.state", point(s));
    close_store(s);
}

static void offers_of(struct site *s, struct restart_offer offers[LIMIT_RESTART_FILES],
                      size_t count) {
    uint8_t cluster[32];
    size_t is = 0;
    wait_armed(s);
    for (int i = 0; i < STEPS && is != count; i++) {
        assert_true(is_ok(restart_desk_offers(s->desk, cluster, offers, &is, NULL)));
        pause_for_threads();
    }
    assert_int_equal(is, count);
}

/* --- What is written */

static void test_a_point_is_kept(void **state) {
    struct site *s = *state;
    struct stat st;
    uint64_t index = point(s);
    wait_index(s, "restart.state", index);
    assert_int_equal(stat(path_in(s, "restart.state"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(has_file(s, "restart.state.1"));
}

/* Files beyond this size fail to be written, as on a full disk. */
static void set_room(rlim_t bytes) {
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void wait_no_file(struct site *s, const char *name) {
    for (int i = 0; i < STEPS && has_file(s, name); i++) {
        pause_for_threads();
    }
    assert_false(has_file(s, name));
}

/* An older manifest must not come back because the newer one found no room. */
static void test_what_cannot_be_followed_goes(void **state) {
    struct site *s = *state;
    wait_index(s, "restart.state", point(s));
    set_manifest(s, true, 2);
    set_room(64);
    point(s);
    wait_no_file(s, "restart.state");
    assert_false(has_file(s, "restart.state.1"));
    set_room(RLIM_INFINITY);
    wait_index(s, "restart.state", point(s));
}

/* The same manifest: the end of the record alone is missing, so the older one does. */
static void test_what_does_stays(void **state) {
    struct site *s = *state;
    uint64_t index = point(s);
    wait_index(s, "restart.state", index);
    struct entry_issue e = world_issue(&s->world, 1, 2);
    assert_int_equal(world_apply(&s->world, ENTRY_ISSUE, &e), ERR_OK);
    set_room(64);
    point(s);
    close_store(s); /* what waits is tried */
    set_room(RLIM_INFINITY);
    assert_int_equal(index_of(s, "restart.state.1"), index);
    open_store(s);
}

/* The same manifest, more of the record: two are kept, never three. */
static void test_the_end_of_the_record(void **state) {
    struct site *s = *state;
    uint64_t last = 0;
    uint64_t index = point(s);
    wait_index(s, "restart.state", index);
    for (int i = 0; i < 3; i++) {
        struct entry_issue e = world_issue(&s->world, 1, 2);
        assert_int_equal(world_apply(&s->world, ENTRY_ISSUE, &e), ERR_OK);
        last = index;
        index = point(s);
        wait_index(s, "restart.state", index);
        assert_int_equal(index_of(s, "restart.state.1"), last);
    }
}

/* Another manifest, other voters: the file before would never do. */
static void test_decisions(void **state) {
    struct site *s = *state;
    wait_index(s, "restart.state", point(s));
    struct entry_issue e = world_issue(&s->world, 1, 2);
    assert_int_equal(world_apply(&s->world, ENTRY_ISSUE, &e), ERR_OK);
    wait_index(s, "restart.state", point(s));
    assert_true(has_file(s, "restart.state.1"));
    set_manifest(s, true, 2);
    wait_index(s, "restart.state", point(s));
    assert_false(has_file(s, "restart.state.1"));
}

static void test_permission_taken_back(void **state) {
    struct site *s = *state;
    wait_index(s, "restart.state", point(s));
    uint8_t digest[32] = {1};
    assert_true(is_ok(restart_store_mark(s->store, digest, 5, 2, NULL)));
    set_manifest(s, false, 2);
    point(s);
    wait_index(s, "restart.state", 0);
    close_store(s); /* all that waits is done */
    assert_false(has_file(s, "restart.state"));
    assert_false(has_file(s, "restart.given"));
    open_store(s);
}

static void test_no_voter_keeps_nothing(void **state) {
    struct site *s = *state;
    restart_store_point(s->store, s->world.core, s->voters + 1, WORLD_FOUNDERS - 1);
    close_store(s);
    assert_false(has_file(s, "restart.state"));
    open_store(s);
}

static void test_what_waits_is_written_at_the_end(void **state) {
    struct site *s = *state;
    wait_index(s, "restart.state", point(s));
    struct entry_issue e = world_issue(&s->world, 1, 2);
    assert_int_equal(world_apply(&s->world, ENTRY_ISSUE, &e), ERR_OK);
    uint64_t index = point(s);
    close_store(s);
    assert_int_equal(index_of(s, "restart.state"), index);
    open_store(s);
}

static void test_no_key_no_file(void **state) {
    struct site *s = *state;
    close_store(s);
    s->has_no_key = true;
    open_store(s);
    point(s);
    close_store(s);
    assert_false(has_file(s, "restart.state"));
    open_store(s);
}

/* --- What the next process finds */

static void test_a_file_is_found(void **state) {
    struct site *s = *state;
    struct restart_offer offers[LIMIT_RESTART_FILES];
    keep_and_restart(s);
    open_store(s);
    offers_of(s, offers, 1);
    assert_int_equal(offers[0].index, core_applied_index(s->world.core));
    assert_int_equal(offers[0].armed, 0);
}

static void test_another_chip(void **state) {
    struct site *s = *state;
    keep_and_restart(s);
    s->chip = 8;
    open_store(s);
    wait_why(s, "another chip");
    assert_false(restart_desk_is_armed(s->desk));
}

static void test_a_damaged_file(void **state) {
    struct site *s = *state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    keep_and_restart(s);
    assert_true(is_ok(file_read(path_in(s, "restart.state"), LIMIT_RESTART_FILE, &bytes, NULL)));
    bytes.data[bytes.size / 2] ^= 1;
    assert_true(is_ok(file_write(path_in(s, "restart.state"), buf_span(&bytes), 0600, NULL)));
    open_store(s);
    wait_why(s, "it was changed");
    wait_index(s, "restart.state", point(s)); /* and is replaced as soon as there is a cluster */
}

static void test_a_mark(void **state) {
    struct site *s = *state;
    struct restart_offer offers[LIMIT_RESTART_FILES];
    keep_and_restart(s);
    open_store(s);
    offers_of(s, offers, 1);
    assert_true(is_ok(restart_store_mark(s->store, offers[0].digest, 99, 5, NULL)));
    close_store(s);
    open_store(s);
    offers_of(s, offers, 1);
    assert_int_equal(offers[0].armed, 5);
    assert_int_equal(offers[0].armed_for, 99);
    close_store(s);
    assert_true(is_ok(file_write(path_in(s, "restart.given"), span_str("RST"), 0600, NULL)));
    open_store(s); /* damaged: taken for one of any file */
    offers_of(s, offers, 1);
    assert_int_equal(offers[0].armed, 2);
}

static void test_a_folder_that_cannot_be(void **state) {
    struct site *s = *state;
    struct restart_store *none = NULL;
    struct err err;
    struct result r = restart_store_open("/dev/null/state", 1, s->attester, s->desk, &none, &err);
    assert_false(is_ok(r));
    assert_non_null(strstr(err.text, "CONTRAST_STATE_DIR"));
    assert_null(none);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_a_point_is_kept),
        T(test_what_cannot_be_followed_goes),
        T(test_what_does_stays),
        T(test_the_end_of_the_record),
        T(test_decisions),
        T(test_permission_taken_back),
        T(test_no_voter_keeps_nothing),
        T(test_what_waits_is_written_at_the_end),
        T(test_no_key_no_file),
        T(test_a_file_is_found),
        T(test_another_chip),
        T(test_a_damaged_file),
        T(test_a_mark),
        T(test_a_folder_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
