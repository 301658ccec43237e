/* Restart store: see restart_store.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restart_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "coordinator/revival.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define NAMES 2
#define DERIVE_AGAIN_NS UINT64_C(10000000000) /* the chip was asked in vain */
#define PATH_SIZE (LIMIT_PATH + 32)
#define MARK_SIZE (4 + 32 + 8 + 8) /* "RSTG", digest, collector, epoch */

static const char *const names[NAMES] = {"restart.state", "restart.state.1"};
static const char mark_name[] = "restart.given";
static const char mark_magic[4] = {'R', 'S', 'T', 'G'};

struct job {
    struct core *core; /* NULL: the files go */
    uint64_t voters[LIMIT_VOTERS];
    size_t voter_count;
};

/* What the newest file ends in. */
struct end {
    bool is_known;
    uint8_t cluster[32];
    uint64_t epoch;
    uint8_t head[32];
    uint8_t voters[32];
};

struct restart_store {
    char folder[LIMIT_PATH + 1];
    uint64_t own;
    struct attester *attester;
    struct restart_desk *desk;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t changed;
    struct secret *chip_key; /* under the mutex until it is there, then the thread's */
    bool is_deriving;
    struct job *waiting;
    bool is_stopping;
    bool has_failed;  /* the thread's: the last write; said once */
    bool may_be_here; /* the thread's: files to remove */
    struct end end;   /* the thread's */
};

static void path_of(const struct restart_store *s, const char *name, char out[PATH_SIZE]) {
    snprintf(out, PATH_SIZE, "%s/%s", s->folder, name);
}

static void job_free(struct job *j) {
    if (j != NULL) {
        core_free(j->core);
        mem_free(j);
    }
}

/* --- Reading, at start */

struct mark {
    uint8_t digest[32];
    uint64_t collector;
    uint64_t epoch; /* 0: none, or damaged: then every share rests as if it were handed over */
    bool is_damaged;
};

static void read_mark(const struct restart_store *s, struct mark *out) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    char path[PATH_SIZE];
    *out = (struct mark){.epoch = 0};
    path_of(s, mark_name, path);
    struct result r = file_read(path, MARK_SIZE, &bytes, NULL);
    if (r.code == ERR_NOT_FOUND) {
        return;
    }
    out->is_damaged = !is_ok(r) || bytes.size != MARK_SIZE ||
                      memcmp(bytes.data, mark_magic, sizeof mark_magic) != 0;
    if (!out->is_damaged) {
        memcpy(out->digest, bytes.data + 4, sizeof out->digest);
        out->collector = load_u64be(bytes.data + 36);
        out->epoch = load_u64be(bytes.data + 44);
    }
}

static RESULT load_one(struct restart_store *s, struct buf *bytes, const struct mark *mark,
                       struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct restart_file f;
    struct secret *share = NULL;
    TRY(restart_file_parse(buf_span(bytes), &arena, &f, err));
    TRY(restart_file_unseal(&f, s->chip_key, &share, err));
    bool is_marked = memcmp(mark->digest, f.digest, sizeof f.digest) == 0;
    uint64_t armed = is_marked ? mark->epoch : 0;
    uint64_t armed_for = is_marked ? mark->collector : 0;
    armed = mark->is_damaged ? f.header.epoch + 1 : armed;
    if (!s->end.is_known) {
        s->end = (struct end){.is_known = true, .epoch = f.header.epoch};
        memcpy(s->end.cluster, f.header.cluster, sizeof s->end.cluster);
        memcpy(s->end.head, f.header.head, sizeof s->end.head);
        memcpy(s->end.voters, f.voters, sizeof s->end.voters);
    }
    log_info("restart: here is the state up to entry %" PRIu64 ", epoch %" PRIu64
             ", generation %" PRIu64 ", and share %u of %zu",
             f.header.index, f.header.epoch, f.header.generation, f.x, f.header.voters.count);
    return restart_desk_put(s->desk, bytes, share, armed, armed_for, err);
}

static void load(struct restart_store *s) {
    struct mark mark;
    read_mark(s, &mark);
    for (size_t i = 0; i < NAMES; i++) {
        AUTO(buf_deinit)
        struct buf bytes = {0};
        char path[PATH_SIZE];
        struct err err;
        path_of(s, names[i], path);
        struct result r = file_read(path, LIMIT_RESTART_FILE, &bytes, &err);
        if (r.code == ERR_NOT_FOUND) {
            continue;
        }
        s->may_be_here = true;
        r = is_ok(r) ? load_one(s, &bytes, &mark, &err) : r;
        if (!is_ok(r) && r.code != ERR_CANCELED) { /* else it joined meanwhile */
            log_warn("restart: %s is of no use: %s; this replica starts empty", path, err.text);
            if (!restart_desk_is_armed(s->desk)) {
                char why[RESTART_WHY_SIZE];
                snprintf(why, sizeof why, "restart: the file here is of no use: %.300s", err.text);
                restart_desk_end(s->desk, why);
            }
        }
    }
}

/* --- Writing */

static void remove_files(struct restart_store *s) {
    if (!s->may_be_here) {
        return;
    }
    for (size_t i = 0; i <= NAMES; i++) {
        char path[PATH_SIZE];
        path_of(s, i < NAMES ? names[i] : mark_name, path);
        if (unlink(path) == 0) {
            log_info("restart: %s is removed, the manifest does not permit it", path);
        }
    }
    s->may_be_here = false;
    s->end = (struct end){.is_known = false};
}

static void fill_header(const struct job *j, struct restart_voter *voters,
                        struct restart_header *h) {
    static char unknown[] = "?";
    struct recovery at = {0};
    size_t count = 0;
    const struct core_record *records = core_records(j->core, &count);
    revival_position(j->core, &at);
    for (size_t i = 0; i < j->voter_count; i++) {
        const struct core_member *m = core_find_member(j->core, j->voters[i]);
        voters[i] = (struct restart_voter){.id = j->voters[i],
                                           .name = m == NULL ? unknown : m->member.name};
    }
    *h = (struct restart_header){.epoch = at.previous_epoch,
                                 .index = at.index,
                                 .term = core_applied_term(j->core),
                                 .time = core_time(j->core),
                                 .generation = at.generation,
                                 .ledger_size = at.ledger_size,
                                 .manifest = records[count - 1].manifest,
                                 .voters = {voters, j->voter_count}};
    memcpy(h->cluster, at.cluster, sizeof h->cluster);
    memcpy(h->head, at.head, sizeof h->head);
    memcpy(h->ledger_root, at.ledger_root, sizeof h->ledger_root);
}

static RESULT seal(const struct restart_store *s, const struct job *j, struct buf *out,
                   struct err *err) {
    AUTO(buf_deinit)
    struct buf state = {0};
    struct restart_voter voters[LIMIT_VOTERS];
    struct restart_header h;
    fill_header(j, voters, &h);
    core_save_checkpoint(j->core, &state);
    return restart_file_seal(&h, s->own, buf_span(&state), core_ca(j->core).workload_secret,
                             s->chip_key, out, err);
}

/* The newest file here would do in place of this one, but for the end of the record. */
static bool would_do(const struct restart_store *s, const struct restart_file *f) {
    const struct end *e = &s->end;
    return e->is_known && e->epoch == f->header.epoch &&
           memcmp(e->cluster, f->header.cluster, sizeof e->cluster) == 0 &&
           memcmp(e->head, f->header.head, sizeof e->head) == 0 &&
           memcmp(e->voters, f->voters, sizeof e->voters) == 0;
}

/* The file before stays only where this one may be missing at others, and it would do. */
static RESULT rotate(struct restart_store *s, const struct restart_file *f, struct err *err) {
    char newest[PATH_SIZE];
    char before[PATH_SIZE];
    path_of(s, names[0], newest);
    path_of(s, names[1], before);
    if (!would_do(s, f)) {
        ENSURE(unlink(before) == 0 || errno == ENOENT, err, IO, "%s: %s", before, strerror(errno));
        return OK;
    }
    ENSURE(rename(newest, before) == 0 || errno == ENOENT, err, IO, "%s: %s", newest,
           strerror(errno));
    return OK;
}

/* What is here and would not do goes when it cannot be followed: it would bring back a manifest, an
 * epoch or voters that are over, after a disk was full for hours. With it goes what it takes of the
 * disk, so there is a second try. */
static RESULT put(struct restart_store *s, const struct restart_file *f, struct span bytes,
                  struct err *err) {
    char path[PATH_SIZE];
    path_of(s, names[0], path);
    TRY(rotate(s, f, err));
    struct result r = file_write(path, bytes, 0600, err);
    if (is_ok(r) || would_do(s, f)) {
        return r;
    }
    s->end = (struct end){.is_known = false};
    if (unlink(path) == 0) {
        log_warn("restart: %s is removed, it ends before the manifest, epoch and voters of now and "
                 "cannot be followed: %s",
                 path, err->text);
    }
    return file_write(path, bytes, 0600, err);
}

static RESULT write_job(struct restart_store *s, const struct job *j, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    struct restart_file f;
    TRY(seal(s, j, &file, err));
    TRY(restart_file_parse(buf_span(&file), &arena, &f, err));
    s->may_be_here = true;
    TRY(put(s, &f, buf_span(&file), err));
    s->end = (struct end){.is_known = true, .epoch = f.header.epoch};
    memcpy(s->end.cluster, f.header.cluster, sizeof s->end.cluster);
    memcpy(s->end.head, f.header.head, sizeof s->end.head);
    memcpy(s->end.voters, f.voters, sizeof s->end.voters);
    log_debug("restart: kept the state up to entry %" PRIu64 ", %zu voters", f.header.index,
              f.header.voters.count);
    return OK;
}

static void do_job(struct restart_store *s, struct job *j) {
    struct err err;
    if (j->core == NULL) {
        remove_files(s);
        return;
    }
    struct result r = write_job(s, j, &err);
    if (!is_ok(r) && !s->has_failed) {
        log_error("restart: the state could not be kept: %s; without a file of a majority of the "
                  "voters a whole restart needs people",
                  err.text);
    }
    s->has_failed = !is_ok(r);
}

/* --- The thread */

static void on_derived(void *data, struct secret *key, const struct err *err) {
    struct restart_store *s = data;
    if (key == NULL) {
        log_warn("restart: the chip gives no key: %s; nothing is kept until it does", err->text);
    }
    uv_mutex_lock(&s->mutex);
    s->chip_key = key;
    s->is_deriving = false;
    uv_cond_signal(&s->changed);
    uv_mutex_unlock(&s->mutex);
}

/* AMD 56860: the processor mixes in the measurement and the guest policy, so no other image gets
 * the key; HOST_DATA is no such field (issuer_key.h). */
static void derive(struct restart_store *s) {
    struct issuer_key_spec spec = {.root_key = ISSUER_ROOT_KEY_VCEK,
                                   .fields = ISSUER_FIELD_GUEST_POLICY | ISSUER_FIELD_MEASUREMENT};
    struct err err;
    uv_mutex_lock(&s->mutex);
    s->is_deriving = true;
    uv_mutex_unlock(&s->mutex);
    if (!is_ok(attester_derive(s->attester, &spec, on_derived, s, &err))) {
        on_derived(s, NULL, &err);
    }
}

/* False: it ends before there is a key. */
static bool wait_key(struct restart_store *s) {
    for (;;) {
        derive(s);
        uv_mutex_lock(&s->mutex);
        while (s->is_deriving && !s->is_stopping) {
            uv_cond_wait(&s->changed, &s->mutex);
        }
        bool has_key = s->chip_key != NULL;
        if (!has_key && !s->is_stopping) {
            (void)uv_cond_timedwait(&s->changed, &s->mutex, DERIVE_AGAIN_NS);
        }
        bool is_over = s->is_stopping;
        uv_mutex_unlock(&s->mutex);
        if (has_key || is_over) {
            return has_key;
        }
    }
}

/* NULL: it ends, and nothing waits. */
static struct job *take_job(struct restart_store *s) {
    uv_mutex_lock(&s->mutex);
    while (s->waiting == NULL && !s->is_stopping) {
        uv_cond_wait(&s->changed, &s->mutex);
    }
    struct job *j = s->waiting;
    s->waiting = NULL;
    uv_mutex_unlock(&s->mutex);
    return j;
}

static void run(void *data) {
    struct restart_store *s = data;
    struct job *j = NULL;
    if (!wait_key(s)) {
        return;
    }
    load(s);
    while ((j = take_job(s)) != NULL) {
        do_job(s, j);
        job_free(j);
    }
}

struct result restart_store_open(const char *folder, uint64_t own, struct attester *attester,
                                 struct restart_desk *desk, struct restart_store **out,
                                 struct err *err) {
    TRY(err_wrap(file_mkdirs(folder, 0700, err), err, "CONTRAST_STATE_DIR"));
    struct restart_store *s = mem_zalloc(sizeof *s);
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    s->own = own;
    s->attester = attester;
    s->desk = desk;
    CHECK(uv_mutex_init(&s->mutex) == 0 && uv_cond_init(&s->changed) == 0);
    CHECK(uv_thread_create(&s->thread, run, s) == 0);
    *out = s;
    return OK;
}

void restart_store_stop(struct restart_store *s) {
    if (s == NULL) {
        return;
    }
    uv_mutex_lock(&s->mutex);
    s->is_stopping = true;
    uv_cond_signal(&s->changed);
    uv_mutex_unlock(&s->mutex);
    uv_thread_join(&s->thread);
}

void restart_store_free(struct restart_store *s) {
    if (s == NULL) {
        return;
    }
    secret_free(s->chip_key);
    job_free(s->waiting);
    uv_cond_destroy(&s->changed);
    uv_mutex_destroy(&s->mutex);
    mem_free(s);
}

/* --- From other threads */

static void hand_in(struct restart_store *s, struct job *j) {
    uv_mutex_lock(&s->mutex);
    struct job *replaced = s->waiting;
    s->waiting = j;
    uv_cond_signal(&s->changed);
    uv_mutex_unlock(&s->mutex);
    job_free(replaced);
}

void restart_store_point(struct restart_store *s, const struct core *core, const uint64_t *voters,
                         size_t count) {
    const struct manifest *m = core_manifest(core);
    bool is_voter = false;
    for (size_t i = 0; i < count; i++) {
        is_voter = is_voter || voters[i] == s->own;
    }
    bool is_permitted = m != NULL && m->auto_recovery;
    if (m == NULL || core_is_checkpoint(core) || count > LIMIT_VOTERS ||
        (is_permitted && !is_voter)) {
        return;
    }
    struct job *j = mem_zalloc(sizeof *j);
    j->core = is_permitted ? core_copy(core) : NULL;
    j->voter_count = count;
    memcpy(j->voters, voters, count * sizeof voters[0]);
    hand_in(s, j);
}

struct result restart_store_mark(struct restart_store *s, const uint8_t digest[32],
                                 uint64_t collector, uint64_t epoch, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    char path[PATH_SIZE];
    path_of(s, mark_name, path);
    buf_append(&bytes, mark_magic, sizeof mark_magic);
    buf_append(&bytes, digest, 32);
    buf_append_u64be(&bytes, collector);
    buf_append_u64be(&bytes, epoch);
    return file_write(path, buf_span(&bytes), 0600, err);
}
