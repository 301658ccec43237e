/* The life of a sidecar: the real renewal over real files, with attempts that the test decides
 * about and clocks that it moves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "initializer/enroll_files.h"
#include "initializer/enroll_swap.h"
#include "initializer/renewal.h"
#include "initializer/renewal_status.h"
#include "lib/base/log.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/digest.h"

#define HOUR 3600
#define T0 INT64_C(1800000000)
#define TURNS_MAX 200000
#define TICK_MS 10
#define TICKS_MAX 2000

/* ---- the world: clocks, a CA, what the Coordinator answers ---- */

struct world {
    uv_loop_t loop;
    uv_timer_t guard; /* ticks, so that no turn of the loop is long */
    unsigned ticks;
    struct enroll_config config;
    struct renewal *renewal;
    uint64_t skip_ms; /* monotonic time beside the real one */
    int64_t unix_s;   /* the host's clock */
    /* the Coordinator */
    struct key ca_key;
    struct buf ca; /* PEM */
    struct lineage position;
    enum err_code issue_fails; /* OK: it does not */
    enum err_code check_fails;
    bool is_holding; /* attempts do not end */
    /* what happened */
    unsigned issues;
    unsigned checks;
    unsigned issued;
    bool is_done;
    struct err why;
    unsigned said; /* lines of the log with `watched` in them */
    const char *watched;
};
static struct world w;

static uint64_t now_ms(void *data) {
    (void)data;
    return host_monotonic_ms(&host_system) + w.skip_ms;
}

static int64_t now_s(void *data) {
    (void)data;
    return w.unix_s;
}

static void draw(void *data, void *out, size_t size) {
    (void)data;
    host_random(&host_system, out, size);
}
static const struct host moved = {NULL, now_ms, now_s, draw};

static void make_ca(uint8_t serial) {
    AUTO(buf_deinit)
    struct buf der = {0};
    struct cert_spec spec = {.subject = "mesh",
                             .serial = span_of(&serial, 1),
                             .not_before = T0 - HOUR,
                             .not_after = T0 + INT64_C(9999) * HOUR,
                             .is_ca = true,
                             .path_length = CERT_PATH_LENGTH_NONE,
                             .key_usage = CERT_USE_KEY_CERT_SIGN};
    key_deinit(&w.ca_key);
    buf_clear(&w.ca);
    assert_int_equal(key_generate(KEY_P256, &w.ca_key, NULL).code, ERR_OK);
    assert_int_equal(cert_build(&spec, &w.ca_key, &w.ca_key, &der, NULL).code, ERR_OK);
    cert_to_pem(buf_span(&der), &w.ca);
}

static char *text_of(struct buf *b) {
    union {
        const char *in;
        char *out;
    } u = {buf_cstr(b)};
    return u.out;
}

/* A certificate for 24 hours over a new key, written as the real attempt does. */
static RESULT issue(struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    AUTO(buf_deinit)
    struct buf chain = {0};
    uint8_t serial = (uint8_t)(100 + w.issues);
    struct cert_spec spec = {.subject = "web",
                             .issuer = "mesh",
                             .serial = span_of(&serial, 1),
                             .not_before = w.unix_s - HOUR,
                             .not_after = w.unix_s + 24 * HOUR,
                             .key_usage = CERT_USE_DIGITAL_SIGNATURE,
                             .extended_usage = CERT_EXT_SERVER_AUTH};
    TRY(key_generate(KEY_P256, &key, err));
    TRY(cert_build(&spec, &key, &w.ca_key, &der, err));
    cert_to_pem(buf_span(&der), &chain);
    buf_append_span(&chain, buf_span(&w.ca));
    struct api_certificate_reply reply = {
        .chain_pem = text_of(&chain), .mesh_ca_pem = text_of(&w.ca), .root_ca_pem = text_of(&w.ca)};
    return enroll_files_write(w.config.dir, &reply, &key, err);
}

static struct renewal_status status(void) {
    struct renewal_status s;
    assert_int_equal(renewal_status_load(w.config.dir, &s, NULL).code, ERR_OK);
    return s;
}

/* ---- attempts, in the place of enroll.c ---- */

struct enroll {
    struct enroll_calls calls;
    uv_timer_t timer;
    enum enroll_purpose purpose;
};

static RESULT answer(struct enroll *e, struct enroll_receipt *out, struct err *err) {
    struct enroll_receipt r = {.seen = w.position};
    enum err_code code = e->purpose == ENROLL_ISSUE ? w.issue_fails : w.check_fails;
    sha384(buf_span(&w.ca), r.mesh_ca);
    TRY(e->calls.judged(e->calls.data, &r.seen, err));
    struct renewal_status before = status(); /* on disk, before the files */
    assert_true(lineage_is_same(&before.seen, &w.position));
    if (code != ERR_OK) {
        return err_set(err, code, "the test says no");
    }
    if (e->purpose == ENROLL_ISSUE) {
        TRY(issue(err));
        r.is_issued = true;
        r.generation = w.position.generation;
    }
    *out = r;
    return OK;
}

static void on_attempt(uv_timer_t *timer) {
    struct enroll *e = timer->data;
    struct enroll_receipt receipt;
    struct err err = {.code = ERR_OK};
    if (!w.is_holding) {
        bool is_good = is_ok(answer(e, &receipt, &err));
        e->calls.done(e->calls.data, is_good ? &receipt : NULL, &err);
    }
}

struct result enroll_new(uv_loop_t *loop, const struct enroll_config *config,
                         const struct host *host, struct attester *attester,
                         const struct enroll_calls *calls, struct enroll **out, struct err *err) {
    (void)config;
    (void)host;
    (void)attester;
    (void)err;
    struct enroll *e = mem_zalloc(sizeof *e);
    e->calls = *calls;
    e->timer.data = e;
    CHECK(uv_timer_init(loop, &e->timer) == 0);
    *out = e;
    return OK;
}

struct result enroll_start(struct enroll *e, enum enroll_purpose purpose, struct err *err) {
    (void)err;
    e->purpose = purpose;
    w.issues += purpose == ENROLL_ISSUE ? 1 : 0;
    w.checks += purpose == ENROLL_CHECK ? 1 : 0;
    uv_timer_start(&e->timer, on_attempt, 0, 0);
    return OK;
}

static void on_stopped(uv_timer_t *timer) {
    struct enroll *e = timer->data;
    e->calls.done(e->calls.data, NULL, &(struct err){.code = ERR_CANCELED, .text = "stopped"});
}

void enroll_stop(struct enroll *e) {
    uv_timer_start(&e->timer, on_stopped, 0, 0);
}

bool enroll_is_reporting(const struct enroll *e) {
    (void)e;
    return false;
}

static void on_freed(uv_handle_t *handle) {
    mem_free(handle->data);
}

void enroll_free(struct enroll *e) {
    uv_close((uv_handle_t *)&e->timer, on_freed);
}

/* ---- one test ---- */

static void on_issued(void *data, const struct enroll_receipt *receipt) {
    (void)data;
    assert_true(receipt->is_issued);
    w.issued++;
}

static void on_done(void *data, const struct err *why) {
    (void)data;
    assert_false(w.is_done);
    w.is_done = true;
    w.why = *why;
}

static void on_line(void *data, enum log_level level, const char *line) {
    (void)data;
    w.said += w.watched != NULL && level >= LOG_WARN && strstr(line, w.watched) != NULL ? 1 : 0;
}

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    if (++w.ticks > TICKS_MAX) {
        fail_msg("nothing happens");
    }
}

static void open_renewal(void) {
    struct renewal_calls calls = {on_issued, on_done, NULL};
    struct err err;
    if (!is_ok(renewal_new(&w.loop, &w.config, &moved, NULL, &calls, &w.renewal, &err))) {
        fail_msg("%s", err.text);
    }
    w.is_done = false;
    renewal_start(w.renewal);
}

static int set_up(void **state) {
    (void)state;
    w = (struct world){.unix_s = T0};
    w.config.is_renewing = true;
    w.config.check_s = 1;
    strcpy(w.config.dir, "/tmp/test_renewal_XXXXXX");
    assert_non_null(mkdtemp(w.config.dir));
    w.position = (struct lineage){true, {1}, 1, 1, {1}, 10};
    make_ca(1);
    log_set_sink(on_line, NULL);
    CHECK(uv_loop_init(&w.loop) == 0);
    CHECK(uv_timer_init(&w.loop, &w.guard) == 0);
    uv_timer_start(&w.guard, on_guard, TICK_MS, TICK_MS);
    return 0;
}

static int on_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static int tear_down(void **state) {
    (void)state;
    renewal_free(w.renewal);
    uv_close((uv_handle_t *)&w.guard, NULL);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&w.loop) == 0);
    log_set_sink(NULL, NULL);
    key_deinit(&w.ca_key);
    buf_deinit(&w.ca);
    return nftw(w.config.dir, on_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Turns the loop until the counter is there; the guard ends what never comes. */
static void turn_until(const unsigned *counter, unsigned count) {
    for (int i = 0; i < TURNS_MAX && *counter < count && !w.is_done; i++) {
        uv_run(&w.loop, UV_RUN_ONCE);
    }
    assert_true(*counter >= count);
}

static void turn_until_done(enum err_code code) {
    for (int i = 0; i < TURNS_MAX && !w.is_done; i++) {
        uv_run(&w.loop, UV_RUN_ONCE);
    }
    assert_true(w.is_done);
    assert_int_equal(w.why.code, code);
}

static struct enroll_present present(void) {
    struct enroll_present p;
    assert_int_equal(enroll_files_read(w.config.dir, &p, NULL).code, ERR_OK);
    return p;
}

static bool status_says(const char *words) {
    char path[ENROLL_PATH_SIZE + 32];
    char text[4096] = {0};
    (void)snprintf(path, sizeof path, "%s/" RENEWAL_STATUS_NAME, w.config.dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    return strstr(text, words) != NULL;
}

static size_t count_sets(void) {
    size_t count = 0;
    DIR *d = opendir(w.config.dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        count += strncmp(e->d_name, ENROLL_SWAP_PREFIX, strlen(ENROLL_SWAP_PREFIX)) == 0 ? 1 : 0;
    }
    closedir(d);
    return count;
}

static void stop(void) {
    renewal_stop(w.renewal);
    renewal_stop(w.renewal);
    turn_until_done(ERR_CANCELED);
}

static void reopen(void) {
    stop();
    renewal_free(w.renewal);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    open_renewal();
}

/* ---- the init container ---- */

static void test_once_it_ends_with_the_first_certificate(void **state) {
    (void)state;
    w.config.is_renewing = false;
    open_renewal();
    turn_until_done(ERR_OK);
    assert_int_equal(w.issues, 1);
    assert_int_equal(status().certificate.generation, 1);
    assert_int_equal(status().certificate.life.not_after, T0 + 24 * HOUR);
}

static void test_before_a_certificate_it_retries_what_may_help(void **state) {
    (void)state;
    w.issue_fails = ERR_UNAVAILABLE;
    open_renewal();
    turn_until(&w.issues, 3);
    assert_true(status_says("\"state\": \"none\""));
    assert_true(status_says("\"code\": \"UNAVAILABLE\""));
    w.issue_fails = ERR_OK;
    turn_until(&w.issued, 1);
    assert_true(status_says("\"last_error\": null"));
    assert_int_equal(w.checks, 0);
    stop();
}

static void test_before_a_certificate_a_denial_ends_it(void **state) {
    (void)state;
    w.issue_fails = ERR_DENIED;
    open_renewal();
    turn_until_done(ERR_DENIED);
    assert_int_equal(w.issues, 1);
    assert_true(status_says("\"code\": \"DENIED\""));
}

/* ---- renewal ---- */

static void test_half_life_by_monotonic_time_although_the_clock_goes_back(void **state) {
    (void)state;
    open_renewal();
    turn_until(&w.issued, 1);
    struct enroll_present first = present();
    turn_until(&w.checks, 2);
    assert_int_equal(w.issues, 1);
    w.skip_ms += UINT64_C(14) * HOUR * 1000;
    w.unix_s -= HOUR;
    turn_until(&w.issued, 2);
    assert_memory_not_equal(first.chain_digest, present().chain_digest, 32);
    assert_int_equal(count_sets(), 2); /* somebody may have it open */
    w.skip_ms += 61000;
    unsigned checks = w.checks;
    turn_until(&w.checks, checks + 2);
    assert_int_equal(count_sets(), 1);
    stop();
}

static void test_half_life_by_the_clock_after_a_pause_of_the_machine(void **state) {
    (void)state;
    open_renewal();
    turn_until(&w.issued, 1);
    w.unix_s += 14 * HOUR;
    turn_until(&w.issued, 2);
    assert_int_equal(status().certificate.life.not_after, T0 + 38 * HOUR);
    stop();
}

static void test_another_mesh_ca_generation_or_epoch_renews(void **state) {
    (void)state;
    open_renewal();
    turn_until(&w.issued, 1);
    make_ca(2);
    turn_until(&w.issued, 2);
    w.position.generation = 2;
    turn_until(&w.issued, 3);
    w.position.epoch = 2;
    w.position.confirmed_index = 1;
    turn_until(&w.issued, 4);
    assert_int_equal(status().certificate.epoch, 2);
    assert_int_equal(status().certificate.generation, 2);
    unsigned checks = w.checks;
    turn_until(&w.checks, checks + 2);
    assert_int_equal(w.issues, 4);
    stop();
}

static void test_a_lower_epoch_is_refused_and_nothing_is_replaced(void **state) {
    (void)state;
    w.position.epoch = 2;
    w.watched = "ROLLBACK";
    open_renewal();
    turn_until(&w.issued, 1);
    struct enroll_present first = present();
    make_ca(2); /* the old quorum has another CA */
    w.position.epoch = 1;
    unsigned checks = w.checks;
    turn_until(&w.checks, checks + 1);
    turn_until(&w.said, 1);
    for (unsigned i = 2; i < 5; i++) { /* every process after this one, too */
        w.skip_ms += 1000000;
        reopen();
        turn_until(&w.checks, checks + i);
    }
    assert_int_equal(w.issues, 1);
    assert_int_equal(status().seen.epoch, 2);
    assert_memory_equal(first.chain_digest, present().chain_digest, 32);
    stop();
}

static void test_the_memory_is_written_before_the_files(void **state) {
    (void)state;
    open_renewal();
    turn_until(&w.issued, 1);
    w.issue_fails = ERR_NO_QUORUM;
    w.position.epoch = 2;
    turn_until(&w.issues, 3);
    assert_int_equal(status().seen.epoch, 2);
    assert_int_equal(status().certificate.epoch, 1);
    w.issue_fails = ERR_OK;
    reopen(); /* and another process knows what is due */
    turn_until(&w.issued, 2);
    assert_int_equal(status().certificate.epoch, 2);
    stop();
}

static void test_a_denial_keeps_the_files_until_the_manifest_changes(void **state) {
    (void)state;
    w.watched = "DENIED";
    open_renewal();
    turn_until(&w.issued, 1);
    struct enroll_present first = present();
    w.issue_fails = ERR_DENIED;
    w.position.generation = 2;
    turn_until(&w.issues, 2);
    unsigned checks = w.checks;
    turn_until(&w.checks, checks + 3); /* it goes on looking, and does not ask again */
    assert_int_equal(w.issues, 2);
    assert_true(status_says("\"code\": \"DENIED\""));
    assert_memory_equal(first.chain_digest, present().chain_digest, 32);
    w.skip_ms += 120000;
    turn_until(&w.issues, 3);
    assert_int_equal(w.said, 1);
    w.issue_fails = ERR_OK;
    w.position.generation = 3;
    turn_until(&w.issued, 2);
    assert_true(status_says("\"last_error\": null"));
    stop();
}

static void test_expiry_is_an_error_once_and_a_state(void **state) {
    (void)state;
    w.watched = "the certificate expired";
    open_renewal();
    turn_until(&w.issued, 1);
    w.issue_fails = ERR_UNAVAILABLE;
    w.skip_ms += UINT64_C(25) * HOUR * 1000; /* whatever the host's clock says */
    turn_until(&w.issues, 4);
    assert_int_equal(w.said, 1);
    assert_true(status_says("\"state\": \"expired\""));
    w.issue_fails = ERR_OK;
    turn_until(&w.issued, 2);
    assert_true(status_says("\"state\": \"valid\""));
    stop();
}

/* ---- from one process to the next ---- */

static void test_the_next_process_goes_on(void **state) {
    (void)state;
    open_renewal();
    turn_until(&w.issued, 1);
    reopen();
    turn_until(&w.checks, 2);
    assert_int_equal(w.issues, 1);
    stop();
}

static void test_a_certificate_of_unknown_age_is_renewed_at_once(void **state) {
    (void)state;
    char path[ENROLL_PATH_SIZE + 32];
    open_renewal();
    turn_until(&w.issued, 1);
    (void)snprintf(path, sizeof path, "%s/" RENEWAL_STATUS_FOLDER "/" RENEWAL_STATUS_NAME,
                   w.config.dir);
    stop();
    assert_int_equal(remove(path), 0);
    renewal_free(w.renewal);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    w.issue_fails = ERR_DENIED; /* it is a certificate all the same: no reason to end */
    open_renewal();
    turn_until(&w.issues, 2);
    assert_false(w.is_done);
    assert_int_equal(present().not_after, T0 + 24 * HOUR);
    stop();
}

static void test_two_processes_do_not_share_a_folder(void **state) {
    (void)state;
    struct renewal_calls calls = {on_issued, on_done, NULL};
    struct renewal *second = NULL;
    struct err err;
    open_renewal();
    struct result r = renewal_new(&w.loop, &w.config, &moved, NULL, &calls, &second, &err);
    assert_int_equal(r.code, ERR_BUSY);
    assert_non_null(strstr(err.text, w.config.dir));
    stop();
}

static void test_a_stop_ends_an_attempt_under_way(void **state) {
    (void)state;
    w.is_holding = true;
    open_renewal();
    turn_until(&w.issues, 1);
    stop();
    assert_int_equal(w.issued, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_once_it_ends_with_the_first_certificate),
        TEST(test_before_a_certificate_it_retries_what_may_help),
        TEST(test_before_a_certificate_a_denial_ends_it),
        TEST(test_half_life_by_monotonic_time_although_the_clock_goes_back),
        TEST(test_half_life_by_the_clock_after_a_pause_of_the_machine),
        TEST(test_another_mesh_ca_generation_or_epoch_renews),
        TEST(test_a_lower_epoch_is_refused_and_nothing_is_replaced),
        TEST(test_the_memory_is_written_before_the_files),
        TEST(test_a_denial_keeps_the_files_until_the_manifest_changes),
        TEST(test_expiry_is_an_error_once_and_a_state),
        TEST(test_the_next_process_goes_on),
        TEST(test_a_certificate_of_unknown_age_is_renewed_at_once),
        TEST(test_two_processes_do_not_share_a_folder),
        TEST(test_a_stop_ends_an_attempt_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
