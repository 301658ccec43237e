/* Renewal: see renewal.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "initializer/enroll_files.h"
#include "initializer/enroll_swap.h"
#include "initializer/renewal_status.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define SWEEP_MS 60000       /* a reader of the old set has so long */
#define SAY_AGAIN_MS 3600000 /* one reason is in the log once in so long */

/* Of each purpose. */
struct track {
    unsigned failures;       /* in a row */
    struct err error;        /* the last one; code OK: none */
    int64_t at;              /* unix seconds */
    enum err_code said_code; /* what the log has, ... */
    uint64_t said_hash;      /* ... */
    uint64_t said_ms;        /* ... and since when */
};

struct renewal {
    const struct enroll_config *config;
    const struct host *host;
    struct renewal_calls calls;
    struct enroll *enroll;
    uv_timer_t timer;
    int lock; /* descriptor of the folder; -1 */
    struct renewal_status status;
    struct renewal_plan plan;
    struct track tracks[2];      /* by enum enroll_purpose */
    struct lineage refused;      /* position at which the last renewal failed */
    enum enroll_purpose purpose; /* of the attempt under way */
    uint64_t sweep_ms;           /* monotonic: when the set before goes; 0 = gone */
    bool is_under_way;
    bool is_stopping;
    bool is_expiry_said;
};

static uint64_t now_ms(const struct renewal *r) {
    return host_monotonic_ms(r->host);
}

static unsigned draw_jitter(const struct renewal *r) {
    return (unsigned)host_random_below(r->host, RENEWAL_JITTER);
}

static bool is_expired(const struct renewal *r) {
    return r->status.has_certificate &&
           renewal_plan_is_expired(&r->status.certificate.life, now_ms(r), host_unix_s(r->host));
}

/* ---- the status file ---- */

static RESULT store(struct renewal *r, struct err *err) {
    const struct track *t = &r->tracks[ENROLL_ISSUE];
    t = t->error.code == ERR_OK ? &r->tracks[ENROLL_CHECK] : t;
    r->status.error = t->error;
    r->status.error_at = t->at;
    return renewal_status_store(r->config->dir, &r->status, is_expired(r), err);
}

/* Where the file is for people, an attempt does not fail for it. */
static void store_for_people(struct renewal *r) {
    struct err err;
    if (!is_ok(store(r, &err))) {
        log_warn("%s: %s", err_name(err.code), err.text);
    }
}

/* The memory comes first: who stops after this and before the new files still refuses what is
 * older. */
static RESULT on_judged(void *data, const struct lineage *now, struct err *err) {
    struct renewal *r = data;
    struct lineage before = r->status.seen;
    TRY(lineage_check(&before, now, err));
    r->status.seen = *now;
    if (lineage_is_same(&before, now)) {
        return OK;
    }
    struct result stored = store(r, err);
    if (!is_ok(stored)) {
        r->status.seen = before;
        return stored;
    }
    if (before.is_known) {
        log_info("the Coordinator moved on: epoch %" PRIu64 ", generation %" PRIu64, now->epoch,
                 now->generation);
    }
    return OK;
}

/* ---- what lies in the folder ---- */

/* The certificate's life is known when the status file is about these very files, and of this boot:
 * then its issued_ms means something. */
static bool describes(const struct renewal *r, const struct enroll_present *p) {
    const struct renewal_certificate *c = &r->status.certificate;
    return r->status.has_certificate &&
           memcmp(c->chain_digest, p->chain_digest, sizeof c->chain_digest) == 0 &&
           memcmp(c->mesh_ca, p->mesh_ca, sizeof c->mesh_ca) == 0 &&
           c->life.not_after == p->not_after && c->life.issued_ms <= now_ms(r);
}

static void load_status(struct renewal *r) {
    struct err err;
    struct result loaded = renewal_status_load(r->config->dir, &r->status, &err);
    if (!is_ok(loaded) && loaded.code != ERR_NOT_FOUND) {
        log_error("%s: %s; starting without a memory of earlier epochs", err_name(err.code),
                  err.text);
    }
}

/* A certificate of unknown age is replaced at once; it counts as one all the same. */
static void load_certificate(struct renewal *r) {
    struct enroll_present present;
    struct err err;
    struct result found = enroll_files_read(r->config->dir, &present, &err);
    if (!is_ok(found)) {
        if (found.code != ERR_NOT_FOUND) {
            log_warn("%s: %s; getting a new certificate", err_name(err.code), err.text);
        }
        r->status.has_certificate = false;
        return;
    }
    if (describes(r, &present)) {
        renewal_plan_renew(&r->plan, &r->status.certificate.life, draw_jitter(r));
        r->plan.is_outdated = r->status.certificate.epoch != r->status.seen.epoch ||
                              r->status.certificate.generation != r->status.seen.generation;
        log_info("found a certificate of generation %" PRIu64 ", good until %" PRId64,
                 r->status.certificate.generation, present.not_after);
        return;
    }
    log_info("found a certificate that the status file does not describe: renewing it");
    struct renewal_certificate *c = &r->status.certificate;
    *c = (struct renewal_certificate){.life = {.not_before = present.not_before,
                                               .not_after = present.not_after,
                                               .issued_at = present.not_before,
                                               .issued_ms = now_ms(r)}};
    memcpy(c->chain_digest, present.chain_digest, sizeof c->chain_digest);
    memcpy(c->mesh_ca, present.mesh_ca, sizeof c->mesh_ca);
    r->status.has_certificate = true;
    r->plan.has_certificate = true;
    r->plan.is_outdated = true;
}

/* ---- success ---- */

static RESULT take_new_set(struct renewal *r, const struct enroll_receipt *receipt,
                           struct err *err) {
    struct enroll_present present;
    struct renewal_certificate c = {.generation = receipt->generation,
                                    .epoch = receipt->seen.epoch,
                                    .life.issued_at = host_unix_s(r->host),
                                    .life.issued_ms = now_ms(r)};
    TRY(err_wrap(enroll_files_read(r->config->dir, &present, err), err,
                 "reading what was written"));
    memcpy(c.serial, receipt->serial, sizeof c.serial);
    memcpy(c.mesh_ca, present.mesh_ca, sizeof c.mesh_ca);
    memcpy(c.chain_digest, present.chain_digest, sizeof c.chain_digest);
    c.life.not_before = present.not_before;
    c.life.not_after = present.not_after;
    r->status.certificate = c;
    r->status.has_certificate = true;
    renewal_plan_renew(&r->plan, &c.life, draw_jitter(r));
    r->sweep_ms = now_ms(r) + SWEEP_MS;
    r->is_expiry_said = false;
    return OK;
}

/* By a check: does the Coordinator have what our certificate comes from? */
static void compare(struct renewal *r, const struct enroll_receipt *receipt) {
    const struct renewal_certificate *c = &r->status.certificate;
    bool is_current = c->generation == receipt->seen.generation &&
                      c->epoch == receipt->seen.epoch &&
                      memcmp(c->mesh_ca, receipt->mesh_ca, sizeof c->mesh_ca) == 0;
    if (!is_current && !r->plan.is_outdated) {
        log_info("the certificate is of another generation, epoch or mesh CA: renewing it");
    }
    r->plan.is_outdated = r->plan.is_outdated || !is_current;
    if (r->tracks[ENROLL_ISSUE].failures > 0 && !lineage_is_same(&r->refused, &receipt->seen)) {
        r->plan.hold_ms = 0; /* what was refused then may be permitted now */
        r->tracks[ENROLL_ISSUE].failures = 0;
    }
}

static void succeed(struct renewal *r, const struct enroll_receipt *receipt) {
    r->tracks[r->purpose] = (struct track){0};
    if (receipt->is_issued) {
        r->tracks[ENROLL_CHECK] = (struct track){0};
        r->plan.hold_ms = 0;
        r->calls.issued(r->calls.data, receipt);
    } else {
        compare(r, receipt);
    }
    r->status.last_success = host_unix_s(r->host);
    r->plan.check_ms = now_ms(r) + renewal_plan_interval_ms(r->config->check_s, draw_jitter(r));
    store_for_people(r);
}

/* ---- failure ---- */

static uint64_t hash_text(const char *text) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text != 0; text++) {
        h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    }
    return h;
}

/* Once for each reason; a process that ends over it says so itself; what a person must look at is
 * an error. */
static void say(struct renewal *r, struct track *t, bool is_false, uint64_t pause_ms) {
    uint64_t hash = hash_text(t->error.text);
    bool is_said = t->said_code == t->error.code && t->said_hash == hash &&
                   now_ms(r) - t->said_ms < SAY_AGAIN_MS;
    if (r->plan.has_certificate ? is_said : is_false) {
        return;
    }
    t->said_code = t->error.code;
    t->said_hash = hash;
    t->said_ms = now_ms(r);
    log_at(is_false ? LOG_ERROR : LOG_WARN, "%s: %s; %strying again in %" PRIu64 " ms",
           err_name(t->error.code), t->error.text,
           r->plan.has_certificate ? "keeping the certificate, " : "", pause_ms);
}

/* Drawn from the upper half of what the plan allows, and after what the other end advises. */
static uint64_t draw_pause(const struct renewal *r, const struct track *t, bool is_false) {
    enum renewal_patience patience = is_false                  ? RENEWAL_SLOW
                                     : r->plan.has_certificate ? RENEWAL_PATIENT
                                                               : RENEWAL_EAGER;
    uint64_t most = renewal_plan_pause_ms(patience, t->failures);
    uint64_t advice = t->error.retry_ms;
    uint64_t limit = renewal_plan_pause_ms(patience, UINT32_MAX);
    return most / 2 + host_random_below(r->host, most / 2 + 1) + (advice < limit ? advice : limit);
}

static void fail(struct renewal *r, const struct err *why) {
    struct track *t = &r->tracks[r->purpose];
    bool is_false = !renewal_plan_may_retry(why->code);
    t->failures++;
    t->error = *why;
    t->at = host_unix_s(r->host);
    uint64_t pause_ms = draw_pause(r, t, is_false);
    say(r, t, is_false, pause_ms);
    if (r->purpose == ENROLL_ISSUE) {
        r->plan.hold_ms = now_ms(r) + pause_ms;
        r->refused = r->status.seen;
    } else {
        r->plan.check_ms = now_ms(r) + pause_ms;
    }
    store_for_people(r);
}

/* ---- turns ---- */

static void go_on(struct renewal *r);

static void on_timer(uv_timer_t *timer) {
    go_on(timer->data);
}

static void end(struct renewal *r, const struct err *why) {
    uv_timer_stop(&r->timer);
    r->calls.done(r->calls.data, why);
}

static void sweep(struct renewal *r) {
    struct err err;
    if (r->sweep_ms != 0 && now_ms(r) >= r->sweep_ms) {
        r->sweep_ms = 0;
        if (!is_ok(enroll_swap_sweep(r->config->dir, &err))) {
            log_warn("%s: %s", err_name(err.code), err.text);
        }
    }
}

static void on_done(void *data, const struct enroll_receipt *receipt, const struct err *why) {
    struct renewal *r = data;
    struct err err = *why;
    bool is_good = receipt != NULL;
    r->is_under_way = false;
    if (is_good && receipt->is_issued) {
        is_good = is_ok(take_new_set(r, receipt, &err));
    }
    if (is_good) {
        succeed(r, receipt);
    } else if (!r->is_stopping) {
        fail(r, &err);
    }
    if (is_good && !r->config->is_renewing) {
        r->sweep_ms = now_ms(r); /* no container runs that could have the old set open */
        sweep(r);
        end(r, &(struct err){.code = ERR_OK});
    } else if (r->is_stopping) {
        end(r, &(struct err){.code = ERR_CANCELED, .text = "stopped by a signal"});
    } else if (!is_good && !r->plan.has_certificate && !renewal_plan_may_retry(err.code)) {
        end(r, &err);
    } else {
        uv_timer_start(&r->timer, on_timer, 0, 0);
    }
}

static void attempt(struct renewal *r, enum enroll_purpose purpose) {
    struct err err;
    r->purpose = purpose;
    r->is_under_way = true;
    if (!is_ok(enroll_start(r->enroll, purpose, &err))) {
        on_done(r, NULL, &err);
    }
}

static void notice_expiry(struct renewal *r) {
    if (is_expired(r) && !r->is_expiry_said) {
        r->is_expiry_said = true;
        log_error("the certificate expired (not_after %" PRId64
                  "): peers refuse this pod until a new one comes",
                  r->status.certificate.life.not_after);
        store_for_people(r);
    }
}

static void go_on(struct renewal *r) {
    if (r->is_stopping) {
        end(r, &(struct err){.code = ERR_CANCELED, .text = "stopped by a signal"});
        return;
    }
    notice_expiry(r);
    sweep(r);
    struct renewal_step step = renewal_plan_next(&r->plan, now_ms(r), host_unix_s(r->host));
    if (step.action == RENEWAL_WAIT) {
        uv_timer_start(&r->timer, on_timer, step.wait_ms, 0);
    } else {
        attempt(r, step.action == RENEWAL_CHECK ? ENROLL_CHECK : ENROLL_ISSUE);
    }
}

/* ---- life ---- */

static RESULT lock_folder(struct renewal *r, struct err *err) {
    const char *dir = r->config->dir;
    TRY(file_mkdirs(dir, 0755, err));
    r->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ENSURE(r->lock >= 0, err, IO, "%s: %s", dir, strerror(errno));
    ENSURE(flock(r->lock, LOCK_EX | LOCK_NB) == 0, err, BUSY,
           "%s: another initializer keeps this folder (%s)", dir, strerror(errno));
    return OK;
}

static void unlock_folder(struct renewal *r) {
    if (r->lock >= 0) {
        close(r->lock);
    }
}

struct result renewal_new(uv_loop_t *loop, const struct enroll_config *config,
                          const struct host *host, struct attester *attester,
                          const struct renewal_calls *calls, struct renewal **out,
                          struct err *err) {
    struct renewal *r = mem_zalloc(sizeof *r);
    r->config = config;
    r->host = host;
    r->calls = *calls;
    r->lock = -1;
    r->timer.data = r;
    struct enroll_calls to_us = {&r->status.seen, on_judged, on_done, r};
    struct result made = lock_folder(r, err);
    made = is_ok(made) ? enroll_new(loop, config, host, attester, &to_us, &r->enroll, err) : made;
    if (!is_ok(made)) {
        unlock_folder(r);
        mem_free(r);
        return made;
    }
    CHECK(uv_timer_init(loop, &r->timer) == 0);
    *out = r;
    return OK;
}

void renewal_start(struct renewal *r) {
    load_status(r);
    if (r->config->is_renewing) {
        load_certificate(r);
        r->sweep_ms = now_ms(r) + SWEEP_MS;
        store_for_people(r); /* what went wrong in an earlier process is over */
    } else {
        r->status.has_certificate = false; /* the init run always gets a new one */
    }
    r->plan.check_ms = now_ms(r) + host_random_below(r->host, r->config->check_s * 1000);
    uv_timer_start(&r->timer, on_timer, 0, 0);
}

void renewal_stop(struct renewal *r) {
    if (r->is_stopping || uv_is_closing((uv_handle_t *)&r->timer)) {
        return;
    }
    r->is_stopping = true;
    if (r->is_under_way) {
        enroll_stop(r->enroll);
    } else {
        uv_timer_start(&r->timer, on_timer, 0, 0);
    }
}

bool renewal_is_reporting(const struct renewal *r) {
    return enroll_is_reporting(r->enroll);
}

static void on_closed(uv_handle_t *handle) {
    struct renewal *r = handle->data;
    unlock_folder(r);
    mem_free(r);
}

void renewal_free(struct renewal *r) {
    if (r != NULL) {
        enroll_free(r->enroll);
        uv_close((uv_handle_t *)&r->timer, on_closed);
    }
}
