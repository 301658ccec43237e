/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/core/core_state.h"
#include "coordinator/core/test/core_world.h"

/* --- Fixture */

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -1;
    }
    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static void assert_applied(struct world *w, enum entry_type type, const void *body) {
    if (world_apply(w, type, body) != ERR_OK) {
        fail_msg("%s: %s", err_name(w->result.code), w->result.text);
    }
}

/* --- Random logs: determinism, snapshots */

static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void append_random(struct world *w, uint64_t *seed, struct buf *out) {
    unsigned r = (unsigned)(next_random(seed) % 1000);
    unsigned low = r % 4;
    size_t count = 0;
    const struct core_member *members = core_members(w->core, &count);
    uint64_t id = members[next_random(seed) % count].member.id;
    id += id == w->founders[0].id; /* it proposes everything: it stays */
    char name[32];
    snprintf(name, sizeof name, "coordinator-%u", r % 7);
    struct entry_blob b = world_blob(w, low);
    struct entry_set_manifest s = world_set(w, (r % 16) | (r % 3 != 0), r);
    struct entry_admit a = world_admit(w, r, name, low == 0 ? id : 0);
    struct entry_retire t = world_retire(w, id, 1 + low % 3);
    struct entry_issue i = world_issue(w, 1 + low, low);
    struct entry_collateral c = low == 0   ? world_fetch(w, r % 5)
                                : low == 1 ? world_crl(w, r, "a list")
                                           : world_vek(w, 1 + r % 5, low == 2 ? "first" : "next");
    struct entry_level l = world_level(w, 1 + r % 4);
    const void *bodies[] = {&b, &s, &a, &t, &i, &c, &l};
    static const enum entry_type types[] = {ENTRY_BLOB,   ENTRY_SET_MANIFEST, ENTRY_ADMIT,
                                            ENTRY_RETIRE, ENTRY_ISSUE,        ENTRY_COLLATERAL,
                                            ENTRY_LEVEL};
    size_t pick = next_random(seed) % 7;
    entry_encode(types[pick], bodies[pick], out);
}

/* The state as a checkpoint and its recovery, in `out`; whoever recovered it proposes from now. */
static void append_recovery(struct world *w, struct buf *out) {
    world_checkpoint(w);
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 2);
    entry_encode(ENTRY_RECOVER, &e, out);
    w->founders[0] = e.recipient;
    w->sequence = 0;
}

static struct core *reload(const struct core *c) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct err err;
    struct core *copy = NULL;
    core_save(c, &bytes);
    if (!is_ok(core_load(buf_span(&bytes), &copy, &err))) {
        fail_msg("%s", err.text);
    }
    return copy;
}

static void assert_same(const struct core *a, const struct core *b) {
    uint8_t left[32];
    uint8_t right[32];
    core_state_hash(a, left);
    core_state_hash(b, right);
    assert_memory_equal(left, right, 32);
}

/* At every step: what was loaded from a snapshot goes on exactly like what never stopped. */
static void test_snapshots_of_a_random_log(void **state) {
    struct world *w = *state;
    uint64_t seed = 88172645463325252U;
    unsigned refused = 0;
    struct core *copy = reload(w->core);
    assert_same(w->core, copy);
    core_free(copy);
    world_share(w, WORLD_SHARE_OWNERS, 2, false);
    world_start(w);
    for (unsigned step = 0; step < 400; step++) {
        AUTO(buf_deinit)
        struct buf entry = {0};
        if (step % 67 == 66) {
            append_recovery(w, &entry);
        } else {
            append_random(w, &seed, &entry);
        }
        copy = step % 2 == 0 ? reload(w->core) : core_copy(w->core);
        assert_same(w->core, copy);
        refused += world_apply_bytes(w, buf_span(&entry)) != ERR_OK;
        struct core_result result;
        core_apply(copy, w->index, 1, buf_span(&entry), &result);
        assert_memory_equal(&result, &w->result, sizeof result);
        assert_same(w->core, copy);
        core_free(copy);
    }
    assert_in_range(refused, 50, 350);
    assert_in_range(core_generation(w->core), 3, 400);
    assert_int_equal(core_epoch(w->core), 6);
}

static void test_two_replicas_agree(void **state) {
    struct world *w = *state;
    uint64_t seed = 12345;
    world_start(w);
    for (unsigned step = 0; step < 200; step++) {
        AUTO(buf_deinit)
        struct buf entry = {0};
        append_random(w, &seed, &entry);
        (void)world_apply_bytes(w, buf_span(&entry));
    }
    struct core *other = core_new();
    uint64_t index = 0;
    for (size_t at = 0; at < w->log.size;) {
        uint32_t size = load_u32be(w->log.data + at);
        struct core_result result;
        core_apply(other, ++index, 1, span_of(w->log.data + at + 4, size), &result);
        at += 4 + size;
    }
    assert_same(w->core, other);
    core_free(other);
}

/* Something in every list: endorsements, a list, a lease, two recoveries, requests, a member who
 * leaves. */
static void start_rich(struct world *w) {
    world_share(w, WORLD_SHARE_OWNERS, 2, false);
    world_start(w);
    for (unsigned i = 0; i < 2; i++) {
        AUTO(buf_deinit)
        struct buf entry = {0};
        append_recovery(w, &entry);
        assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_OK);
    }
    struct entry_set_manifest s = world_set(w, 0xf, 1);
    struct entry_admit a = world_admit(w, 10, "coordinator-10", 0);
    struct entry_collateral v = world_vek(w, 1, "first");
    struct entry_collateral c = world_crl(w, 1, "a list");
    struct entry_collateral f = world_fetch(w, 2);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    assert_applied(w, ENTRY_ADMIT, &a);
    struct entry_retire t = world_retire(w, a.member.id, RETIRE_OWNER);
    assert_applied(w, ENTRY_RETIRE, &t);
    assert_applied(w, ENTRY_COLLATERAL, &v);
    assert_applied(w, ENTRY_COLLATERAL, &c);
    assert_applied(w, ENTRY_COLLATERAL, &f);
}

/* Flips one byte after another: a snapshot that still loads is a consistent state of its own. */
static void test_damaged_snapshots_never_pass_for_the_original(void **state) {
    struct world *w = *state;
    start_rich(w);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    core_save(w->core, &bytes);
    uint8_t original[32];
    core_state_hash(w->core, original);
    unsigned refused = 0;
    size_t step = 7;
    for (size_t at = 0; at < bytes.size; at += step) {
        struct core *copy = NULL;
        bytes.data[at] ^= 0x41;
        if (is_ok(core_load(buf_span(&bytes), &copy, NULL))) {
            AUTO(buf_deinit)
            struct buf again = {0};
            core_save(copy, &again);
            assert_true(span_equal(buf_span(&again), buf_span(&bytes)));
            uint8_t hash[32];
            core_state_hash(copy, hash);
            assert_memory_not_equal(hash, original, sizeof hash);
            core_free(copy);
        } else {
            refused++;
        }
        bytes.data[at] ^= 0x41;
    }
    assert_true(refused > 100);
    for (size_t size = 0; size < bytes.size; size++) {
        struct core *copy = NULL;
        assert_false(is_ok(core_load(span_of(bytes.data, size), &copy, NULL)));
    }
}

/* Changes the last byte of `what` where it stands for the `nth` time. */
static void assert_damage_is_seen(const struct buf *snapshot, struct span what, unsigned nth,
                                  const char *text) {
    uint8_t *at = snapshot->data;
    for (unsigned i = 0; at != NULL && i < nth; i++) {
        size_t left = snapshot->size - (size_t)(at - snapshot->data);
        at = memmem(at + (i > 0), left - (i > 0), what.data, what.size);
    }
    CHECK(at != NULL);
    struct core *copy = NULL;
    struct err err;
    at[what.size - 1] ^= 1;
    struct result r = core_load(buf_span(snapshot), &copy, &err);
    at[what.size - 1] ^= 1;
    if (is_ok(r) || strstr(err.text, text) == NULL) {
        fail_msg("want '%s', got '%s'", text, is_ok(r) ? "success" : err.text);
    }
}

static void test_snapshot_damage_has_a_name(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_set_manifest s = world_set(w, 1, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    core_save(w->core, &bytes);
    size_t count = 0;
    const struct core_record *records = core_records(w->core, &count);
    struct span spki = w->founders[1].spki;
    assert_damage_is_seen(&bytes, span_str("contrast"), 1, "not a snapshot");
    assert_damage_is_seen(&bytes, span_of(core_cluster(w->core), 32), 1, "cluster id");
    assert_damage_is_seen(&bytes, spki, 1, "does not belong to its key");
    assert_damage_is_seen(&bytes, spki, 2, "does not belong to its key");
    assert_damage_is_seen(&bytes, SPAN(records[0].transition), 1, "generation 1: transition");
    assert_damage_is_seen(&bytes, SPAN(records[1].transition), 1, "generation 2: transition");
    assert_damage_is_seen(&bytes, world_owner(), 2, "generation 2: generation 1 does not name");
    const uint8_t first[] = {0x9a, 1}; /* array of 10, generation */
    const uint8_t second[] = {0x9a, 2, (uint8_t)records[1].index};
    assert_damage_is_seen(&bytes, SPAN(first), 1, "generation 1: wrong number");
    assert_damage_is_seen(&bytes, SPAN(second), 1, "generation 2: index does not rise");
    assert_damage_is_seen(&bytes, w->policies[1], 1, "does not have its hash");
}

/* Windows that no log leads to: a code that nobody knows, requests without a highest one. */
static void test_snapshot_windows_are_checked(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_set_manifest s = world_set(w, 1, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    core_save(w->core, &bytes);
    uint8_t unused[64];
    memset(unused, 0xff, sizeof unused);
    uint8_t *at = memmem(bytes.data, bytes.size, unused, sizeof unused);
    assert_non_null(at);
    struct core *copy = NULL;
    struct err err;
    at[3] = 57;
    assert_false(is_ok(core_load(buf_span(&bytes), &copy, &err)));
    assert_non_null(strstr(err.text, "unknown code 57"));
    at[3] = 0xff;
    assert_true(is_ok(core_load(buf_span(&bytes), &copy, &err)));
    core_free(copy);
}

/* --- Snapshots that no log leads to, one field at a time */

typedef void damage_cb(struct core *c);

static struct core_recovery *recovery(struct core *c, size_t at) {
    return &c->history->recoveries[at];
}
static void damage_level(struct core *c) {
    c->level = 1;
}
static void damage_level_high(struct core *c) {
    c->level = 3;
}
static void damage_epoch(struct core *c) {
    c->epoch++;
}
static void damage_cluster(struct core *c) {
    recovery(c, 0)->recovery.cluster[0] ^= 1;
}
static void damage_recovery_epoch(struct core *c) {
    recovery(c, 0)->recovery.epoch = 1;
}
static void damage_last_epoch(struct core *c) {
    recovery(c, 1)->recovery.epoch = 9;
}
static void damage_previous_epoch(struct core *c) {
    recovery(c, 1)->recovery.previous_epoch = 1;
}
static void damage_mode(struct core *c) {
    recovery(c, 0)->recovery.mode = 7;
}
static void damage_automatic(struct core *c) {
    recovery(c, 0)->recovery.mode = RECOVERY_AUTOMATIC;
    recovery(c, 0)->signature_count = 0;
}
static void damage_generation(struct core *c) {
    recovery(c, 0)->recovery.generation = 2;
}
static void damage_generation_zero(struct core *c) {
    recovery(c, 0)->recovery.generation = 0;
}
static void damage_generation_high(struct core *c) {
    recovery(c, 1)->recovery.generation = 3;
}
static void damage_head(struct core *c) {
    recovery(c, 0)->recovery.head[5] ^= 1;
}
static void damage_position(struct core *c) {
    recovery(c, 0)->recovery.index = 0;
}
static void damage_position_high(struct core *c) {
    recovery(c, 0)->recovery.index = recovery(c, 0)->index;
}
static void damage_position_back(struct core *c) {
    recovery(c, 1)->recovery.index = recovery(c, 0)->recovery.index - 1;
}
static void damage_index(struct core *c) {
    recovery(c, 1)->index = c->applied_index + 1;
}
static void damage_record_index(struct core *c) {
    c->history->records[1].index = recovery(c, 1)->index;
}
static void damage_time(struct core *c) {
    recovery(c, 0)->time = c->history->records[0].time - 1;
}
static void damage_time_order(struct core *c) {
    recovery(c, 0)->time = recovery(c, 1)->time + 1;
}
static void damage_record_time(struct core *c) {
    recovery(c, 1)->time = c->time;
}
static void damage_ledger_size(struct core *c) {
    recovery(c, 0)->recovery.ledger_size--;
}
static void damage_ledger_size_high(struct core *c) {
    recovery(c, 1)->recovery.ledger_size = merkle_log_size(&c->ledger);
}
static void damage_ledger_size_order(struct core *c) {
    recovery(c, 1)->recovery.ledger_size = recovery(c, 0)->recovery.ledger_size;
}
static void damage_ledger_root(struct core *c) {
    recovery(c, 1)->recovery.ledger_root[47] ^= 1;
}
static void damage_signatures(struct core *c) {
    recovery(c, 0)->signature_count = 1;
}
static void damage_signer_order(struct core *c) {
    struct recovery_signature *s = (void *)(uintptr_t)recovery(c, 1)->signatures;
    s[1].key = s[0].key;
}
static void damage_signer(struct core *c) {
    struct recovery_signature *s = (void *)(uintptr_t)recovery(c, 1)->signatures;
    s[1].key.size--;
}
static void damage_order(struct core *c) {
    struct core_recovery first = *recovery(c, 0);
    *recovery(c, 0) = *recovery(c, 1);
    *recovery(c, 1) = first;
}
static void damage_member_version(struct core *c) {
    c->members[0].member.version = 1;
}
static const struct {
    damage_cb *damage;
    const char *text;
} damages[] = {
    {damage_level, "level 1, founded with a higher one"},
    {damage_level_high, "knows entries up to version 2, the cluster uses version 3"},
    {damage_epoch, "epoch 4, the last recovery's is 3"},
    {damage_cluster, "recovery 0: another cluster's recovery"},
    {damage_recovery_epoch, "recovery 0: epoch 1 does not follow epoch 1"},
    {damage_last_epoch, "generation 2: transition does not follow"},
    {damage_previous_epoch, "recovery 1: previous epoch 1, this state has 2"},
    {damage_mode, "recovery 0: unknown mode 7"},
    {damage_automatic, "recovery 0: the manifest does not permit a recovery without"},
    {damage_generation, "generation 2: transition does not follow"},
    {damage_generation_zero, "generation 2: transition does not follow"},
    {damage_generation_high, "generation 2: transition does not follow"},
    {damage_head, "recovery 0: another head"},
    {damage_position, "recovery 0: index does not rise"},
    {damage_position_high, "recovery 0: index does not rise"},
    {damage_position_back, "recovery 1: index does not rise"},
    {damage_index, "recovery 1: index does not rise"},
    {damage_record_index, "generation 2: it is from before the last recovery"},
    {damage_time, "recovery 0: time goes back"},
    {damage_time_order, "recovery 1: time goes back"},
    {damage_record_time, "generation 2: it is from before the last recovery"},
    {damage_ledger_size, "recovery 0: the ledger does not have its root"},
    {damage_ledger_size_high, "recovery 1: ledger does not grow"},
    {damage_ledger_size_order, "recovery 1: ledger does not grow"},
    {damage_ledger_root, "recovery 1: the ledger does not have its root"},
    {damage_signatures, "recovery 0: 1 share owners signed, 2 are needed"},
    {damage_signer_order, "recovery 1: one share owner signed twice"},
    {damage_signer, "recovery 1: signature 1 is by nobody"},
    {damage_order, "recovery 0: previous epoch 2, this state has 1"},
    {damage_member_version, "knows entries up to version 1, the cluster uses version 2"},
};

static void test_snapshots_that_no_log_leads_to(void **state) {
    struct world *w = *state;
    start_rich(w);
    AUTO(buf_deinit)
    struct buf good = {0};
    core_save(w->core, &good);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        AUTO(buf_deinit)
        struct buf bytes = {0};
        struct core *c = NULL;
        struct core *loaded = NULL;
        struct err err;
        assert_true(is_ok(core_load(buf_span(&good), &c, NULL)));
        damages[i].damage(c);
        core_save(c, &bytes);
        struct result r = core_load(buf_span(&bytes), &loaded, &err);
        if (is_ok(r) || strstr(err.text, damages[i].text) == NULL) {
            fail_msg("row %zu: want '%s', got '%s'", i, damages[i].text,
                     is_ok(r) ? "success" : err.text);
        }
        assert_null(loaded);
        core_free(c);
    }
}

static void test_checkpoints(void **state) {
    struct world *w = *state;
    AUTO(buf_deinit)
    struct buf whole = {0};
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct core *c = NULL;
    struct err err;
    start_rich(w);
    core_save(w->core, &whole);
    core_save_checkpoint(w->core, &bytes);
    assert_null(memmem(bytes.data, bytes.size, core_ca(w->core).mesh_key.data,
                       core_ca(w->core).mesh_key.size));
    assert_int_equal(core_load_checkpoint(buf_span(&whole), &c, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "want a checkpoint"));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_false(is_ok(core_load_checkpoint(span_of(bytes.data, size), &c, NULL)));
    }
    assert_null(c);
    assert_true(is_ok(core_load_checkpoint(buf_span(&bytes), &c, &err)));
    assert_true(core_is_checkpoint(c));
    buf_clear(&whole);
    core_save(c, &whole); /* what it is stays: a joiner may get it so */
    assert_true(span_equal(buf_span(&whole), buf_span(&bytes)));
    buf_clear(&whole);
    core_save_checkpoint(c, &whole);
    assert_true(span_equal(buf_span(&whole), buf_span(&bytes)));
    assert_true(core_ca(c).root_key.size > 0);
    core_free(c);
}

/* --- Secrets */

#define SCAN_CHUNK (1 << 20)
#define PATTERN_SIZE 64
#define REGION_MAX (1UL << 30) /* what is larger is a sanitizer's shadow */

static size_t count_matches(const uint8_t *data, size_t size, uint64_t generation) {
    uint8_t first = world_key_byte(WORLD_MESH_KEY, generation, 32);
    size_t matches = 0;
    for (size_t i = 0; i + PATTERN_SIZE <= size; i++) {
        size_t n = 0;
        while (data[i] == first && n < PATTERN_SIZE &&
               data[i + n] == world_key_byte(WORLD_MESH_KEY, generation, 32 + n)) {
            n++;
        }
        matches += n == PATTERN_SIZE;
    }
    return matches;
}

static size_t scan_region(int memory, size_t start, size_t end, uint8_t *chunk,
                          uint64_t generation) {
    size_t matches = 0;
    for (size_t at = start; at < end; at += SCAN_CHUNK - PATTERN_SIZE) {
        size_t want = end - at < SCAN_CHUNK ? end - at : SCAN_CHUNK;
        ssize_t n = pread(memory, chunk, want, (off_t)at);
        matches += n > 0 ? count_matches(chunk, (size_t)n, generation) : 0;
    }
    memset(chunk, 0, SCAN_CHUNK);
    return matches;
}

/* How often the middle of the mesh key of `generation` stands in writable memory. */
static size_t count_key(uint64_t generation) {
    uint8_t *chunk =
        mmap(NULL, SCAN_CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_true(chunk != MAP_FAILED && memory >= 0 && maps != NULL);
    size_t matches = 0;
    char line[512];
    while (fgets(line, sizeof line, maps) != NULL) {
        char *rest = NULL;
        size_t start = strtoull(line, &rest, 16);
        size_t end = strtoull(rest + 1, &rest, 16);
        bool is_own = (uintptr_t)chunk >= start && (uintptr_t)chunk < end;
        if (strncmp(rest, " rw", 3) == 0 && end - start < REGION_MAX && !is_own) {
            matches += scan_region(memory, start, end, chunk, generation);
        }
    }
    fclose(maps);
    close(memory);
    munmap(chunk, SCAN_CHUNK);
    return matches;
}

/* Applies the next generation and leaves no copy of the entry behind. */
static void set_and_forget(struct world *w, unsigned number) {
    struct entry_set_manifest s = world_set(w, 1, number);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    arena_deinit(&w->arena);
    buf_clear(&w->log);
}

static void test_the_old_mesh_key_leaves_memory(void **state) {
    struct world *w = *state;
    world_start(w);
    set_and_forget(w, 1);
    assert_int_equal(count_key(2), 1);
    set_and_forget(w, 2);
    assert_int_equal(count_key(2), 0);
    assert_int_equal(count_key(3), 1);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    core_save(w->core, &bytes);
    struct core *copy = reload(w->core);
    assert_int_equal(count_key(3), 3);
    buf_deinit(&bytes);
    core_free(copy);
    assert_int_equal(count_key(3), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_snapshots_of_a_random_log),
        TEST(test_two_replicas_agree),
        TEST(test_damaged_snapshots_never_pass_for_the_original),
        TEST(test_snapshot_damage_has_a_name),
        TEST(test_snapshot_windows_are_checked),
        TEST(test_snapshots_that_no_log_leads_to),
        TEST(test_checkpoints),
        TEST(test_the_old_mesh_key_leaves_memory),
    };
    return cmocka_run_group_tests_name("core_snapshot", tests, NULL, NULL);
}
