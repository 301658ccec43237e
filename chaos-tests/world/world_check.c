/* World, checks. After each event, over every coordinator's own state:
 *
 *   one leader a term; every ledger and every history of manifests is a prefix of one and the same;
 *   neither ever shrinks in a life; one CA key for each generation, and a new one; no key at
 * anybody who is no founder and in nobody else's table of members; no secret in any log line
 *
 * At rest: all members equal, nothing acknowledged is missing, as many voters as founders. What
 * clients are told is judged where their programs end (world_owner.c, world_client.c).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "chaos-tests/world/world.h"
#include "coordinator/replica_internal.h"
#include "coordinator/server_internal.h"
#include "lib/crypto/digest.h"

/* --- One history */

static void check_ledger(struct world *w, struct world_pod *p, const struct core *core) {
    const struct merkle_log *log = core_ledger(core);
    size_t size = merkle_log_size(log);
    if (size < p->leaves) {
        world_fail(w, "%s: the ledger shrank from %llu to %zu", p->name,
                   (unsigned long long)p->leaves, size);
    }
    for (size_t n = p->leaves + 1; n <= size; n++) {
        uint8_t root[48];
        merkle_log_root_at(log, n, root);
        if (n > w->root_count) {
            w->roots = mem_realloc(w->roots, n * sizeof *w->roots);
            memcpy(w->roots[w->root_count++], root, sizeof root);
        } else if (memcmp(w->roots[n - 1], root, sizeof root) != 0) {
            world_fail(w, "%s: another ledger at size %zu", p->name, n);
        }
    }
    p->leaves = size;
}

/* The private number of a key in PKCS#8 (RFC 5915 section 3: version 1, then an OCTET STRING); what
 * stands around it is no secret. Anything else is secret from its first byte on. */
static struct span private_part(struct span secret) {
    static const uint8_t before[] = {0x02, 0x01, 0x01, 0x04};
    const uint8_t *at = memmem(secret.data, secret.size, before, sizeof before);
    if (at == NULL) {
        return secret;
    }
    size_t begin = (size_t)(at - secret.data) + sizeof before + 1;
    return begin < secret.size ? span_of(secret.data + begin, secret.size - begin) : secret;
}

static void remember_secret(struct world *w, struct span whole) {
    size_t limit = sizeof w->secrets / sizeof w->secrets[0];
    struct span secret = private_part(whole);
    if (secret.size < 32 || w->secret_count == limit) {
        return;
    }
    struct world_secret *s = &w->secrets[w->secret_count++];
    memcpy(s->bytes, secret.data, sizeof s->bytes);
    char hex[65];
    hex_encode(SPAN(s->bytes), hex);
    memcpy(s->hex, hex, 32);
    for (size_t i = 0; i < 3; i++) {
        AUTO(buf_deinit)
        struct buf text = {0};
        base64_encode(span_of(s->bytes + i, 24), &text);
        memcpy(s->base64[i], buf_cstr(&text), 32);
    }
}

static void first_seen(struct world *w, const struct core *core, const struct core_record *r) {
    size_t i = w->head_count++;
    w->heads = mem_realloc(w->heads, w->head_count * sizeof *w->heads);
    w->texts = mem_realloc(w->texts, w->head_count * sizeof *w->texts);
    memcpy(w->heads[i], r->transition, 32);
    w->texts[i] = (struct buf){0};
    buf_append_span(&w->texts[i], r->manifest);
    struct core_ca ca = core_ca(core);
    if (i == 0) {
        remember_secret(w, ca.root_key);
        remember_secret(w, ca.workload_secret);
    }
}

static void check_history(struct world *w, struct world_pod *p, const struct core *core) {
    size_t count = 0;
    const struct core_record *records = core_records(core, &count);
    if (count < p->records) {
        world_fail(w, "%s: the history shrank", p->name);
    }
    for (size_t i = p->records; i < count; i++) {
        if (i >= w->head_count) {
            first_seen(w, core, &records[i]);
        } else if (memcmp(w->heads[i], records[i].transition, 32) != 0) {
            world_fail(w, "%s: another manifest in generation %zu", p->name, i + 1);
        }
    }
    p->records = count;
}

/* The key in force: one for each generation, and in an epoch that began with it one more. */
static void check_ca(struct world *w, const struct world_pod *p, const struct core *core) {
    uint8_t key[32];
    size_t generation = (size_t)core_generation(core);
    struct core_ca ca = core_ca(core);
    if (generation == 0 || ca.mesh_key.size == 0) {
        return;
    }
    sha256(ca.mesh_key, key);
    if (generation > w->key_count) {
        w->keys = mem_realloc(w->keys, generation * sizeof *w->keys);
        memset(w->keys[w->key_count], 0, (generation - w->key_count) * sizeof *w->keys);
        w->key_count = generation;
    }
    static const uint8_t none[32];
    if (memcmp(w->keys[generation - 1], none, sizeof none) == 0) {
        memcpy(w->keys[generation - 1], key, sizeof key);
        if (generation > 1 && memcmp(w->keys[generation - 2], key, sizeof key) == 0) {
            world_fail(w, "%s: the CA key of generation %zu is that of the one before", p->name,
                       generation);
        }
        remember_secret(w, ca.mesh_key);
    } else if (memcmp(w->keys[generation - 1], key, sizeof key) != 0) {
        world_fail(w, "%s: another CA key in generation %zu", p->name, generation);
    }
}

static void check_leader(struct world *w, const struct world_pod *p, const struct replica *r) {
    if (!replica_is_leader(r)) {
        return;
    }
    uint64_t *leader = &w->terms[replica_term(r) % (sizeof w->terms / sizeof w->terms[0])];
    uint64_t id = p->server->identity.id;
    if (*leader != 0 && *leader != id) {
        world_fail(w, "two leaders in term %llu", (unsigned long long)replica_term(r));
    }
    *leader = id;
}

/* --- Who may hold keys */

static bool is_admitted(const struct world *w, uint64_t id) {
    for (size_t i = 0; i < w->admitted_count; i++) {
        if (w->admitted[i] == id) {
            return true;
        }
    }
    return false;
}

static void note_id(struct world *w, uint64_t id) {
    if (!is_admitted(w, id)) {
        CHECK(w->admitted_count < sizeof w->admitted / sizeof w->admitted[0]);
        w->admitted[w->admitted_count++] = id;
    }
}

/* Founders, and whom others have in their tables: nobody is believed about itself. */
static void note_admitted(struct world *w, const struct world_pod *p, const struct core *core) {
    size_t count = 0;
    const struct entry_member *founders = core_founders(core, &count);
    for (size_t i = 0; i < count; i++) {
        note_id(w, founders[i].id);
    }
    const struct core_member *members = core_members(core, &count);
    for (size_t i = 0; i < count; i++) {
        if (members[i].member.id != p->server->identity.id) {
            note_id(w, members[i].member.id);
        }
    }
}

static void check_keys(struct world *w, const struct world_pod *p, const struct core *core) {
    if (core_ca(core).mesh_key.size == 0) {
        return;
    }
    if (p->is_bad) {
        world_fail(w, "a stranger's machine holds the CA key as %s", p->name);
    }
    if (!is_admitted(w, p->server->identity.id)) {
        world_fail(w, "%s holds the CA key and was never admitted", p->name);
    }
}

/* There is one cluster with a manifest. A founder that started with a record of its own, and finds
 * no others, ends by itself: it does not count. */
static bool is_of_the_cluster(struct world *w, const struct world_pod *p, const struct core *core) {
    bool is_same = w->has_cluster && memcmp(w->cluster, core_cluster(core), sizeof w->cluster) == 0;
    if (core_generation(core) > 0 && !w->has_cluster) {
        memcpy(w->cluster, core_cluster(core), sizeof w->cluster);
        w->has_cluster = is_same = true;
    } else if (core_generation(core) > 0 && !is_same) {
        world_fail(w, "%s belongs to a second cluster", p->name);
    }
    return is_same;
}

/* What stood behind the point from which share owners went on is no history any more. */
static void enter_epoch(struct world *w, const struct world_pod *p, const struct core *core) {
    size_t count = 0;
    const struct core_recovery *recoveries = core_recoveries(core, &count);
    if (count > 0) {
        size_t size = (size_t)recoveries[count - 1].recovery.ledger_size;
        w->root_count = size < w->root_count ? size : w->root_count;
        memset(w->terms, 0, sizeof w->terms);
        w->key_count = 0; /* the new epoch's key is noted when a replica of it shows it */
        note_id(w, p->server->identity.id); /* the share owners chose it */
    }
    w->epoch = core_epoch(core);
}

/* The state that a recovery begins with counts when its first command was applied. */
static bool is_of_newest_epoch(struct world *w, const struct world_pod *p, const struct core *core,
                               const struct replica *r) {
    if (!core_is_founded(core) || core_epoch(core) < replica_epoch(r) ||
        core_epoch(core) < w->epoch || core_is_checkpoint(core)) {
        return false;
    }
    if (core_epoch(core) > w->epoch && !p->is_stray) {
        enter_epoch(w, p, core);
    }
    return true;
}

static void check_pod(struct world *w, struct world_pod *p) {
    const struct replica *r = world_pod_replica(p);
    if (r == NULL) {
        return;
    }
    const struct core *core = replica_core(r);
    if (!is_of_newest_epoch(w, p, core, r) || !is_of_the_cluster(w, p, core)) {
        return;
    }
    check_leader(w, p, r);
    if (core_applied_index(core) == p->applied) {
        return;
    }
    p->applied = core_applied_index(core);
    if (p->epoch != core_epoch(core)) {
        p->epoch = core_epoch(core);
        p->leaves = p->records = 0;
    }
    check_ledger(w, p, core);
    check_history(w, p, core);
    check_ca(w, p, core);
    note_admitted(w, p, core);
    check_keys(w, p, core);
}

void world_check_step(struct world *w) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        check_pod(w, &w->pods[i]);
    }
    for (size_t i = 0; i < w->stray_count; i++) {
        check_pod(w, &w->strays[i]);
    }
}

/* --- Certificates */

void world_check_issued(struct world *w, uint64_t epoch, uint64_t index) {
    if (index == 0) {
        world_fail(w, "a certificate without an issue index");
    }
    for (size_t i = 0; i < w->issued_count; i++) {
        if (w->issued[i].epoch == epoch && w->issued[i].index == index) {
            world_fail(w, "issue index %llu of epoch %llu was given twice",
                       (unsigned long long)index, (unsigned long long)epoch);
        }
    }
    if (w->issued_count < WORLD_ISSUES) {
        w->issued[w->issued_count].epoch = epoch;
        w->issued[w->issued_count++].index = index;
    }
}

/* What a pod has is on record. */
static void check_recorded(struct world *w, const struct world_pod *p, const struct core *core) {
    for (size_t i = 0; i < w->issued_count; i++) {
        if (w->issued[i].epoch == core_epoch(core) && w->issued[i].index > core_issue_count(core)) {
            world_fail(w, "%s has %llu certificates on record, a pod has number %llu", p->name,
                       (unsigned long long)core_issue_count(core),
                       (unsigned long long)w->issued[i].index);
        }
    }
}

/* --- Log lines */

void world_check_log(struct world *w, const char *line) {
    for (size_t i = 0; i < w->secret_count; i++) {
        const struct world_secret *s = &w->secrets[i];
        bool is_there =
            strstr(line, s->hex) != NULL || memmem(line, strlen(line), s->bytes, 16) != NULL;
        for (size_t k = 0; k < 3; k++) {
            is_there = is_there || strstr(line, s->base64[k]) != NULL;
        }
        if (is_there) {
            world_fail(w, "a secret stands in a log line of %s", played_current());
        }
    }
}

/* --- At rest */

static size_t count_voters(const struct replica *r) {
    uint64_t ids[LIMIT_MEMBERS];
    return replica_voters(r, ids);
}

/* Why not yet; false when it rests. */
static bool is_restless(const struct world *w, const struct world_pod *p, char why[WORLD_TEXT]) {
    const struct replica *r = world_pod_replica(p);
    if (r == NULL) {
        snprintf(why, WORLD_TEXT, "%s is down: %.400s", p->name, p->end.text);
        return true;
    }
    const struct replica *first = world_pod_replica(&w->pods[0]);
    enum replica_state state = replica_state_of(r);
    size_t rows = 0;
    core_members(replica_core(r), &rows);
    if (state != REPLICA_VOTER && state != REPLICA_STANDBY) {
        snprintf(why, WORLD_TEXT, "%s is %s: %.400s", p->name, replica_state_name(state),
                 p->server->waits);
    } else if (replica_leader(r) == 0) {
        snprintf(why, WORLD_TEXT, "%s knows no leader", p->name);
    } else if (count_voters(r) != w->founder_count || rows != w->pod_count) {
        snprintf(why, WORLD_TEXT, "%s has %zu voters and %zu rows, want %u and %u", p->name,
                 count_voters(r), rows, w->founder_count, w->pod_count);
    } else if (first == NULL || replica_applied(r) != replica_applied(first)) {
        snprintf(why, WORLD_TEXT, "%s and %s stand apart", p->name, w->pods[0].name);
    } else {
        return false;
    }
    return true;
}

bool world_check_is_resting(struct world *w) {
    char why[WORLD_TEXT];
    if (!world_owner_is_idle(w) || !world_client_is_idle(w)) {
        return false;
    }
    for (unsigned i = 0; i < w->pod_count; i++) {
        if (is_restless(w, &w->pods[i], why)) {
            return false;
        }
    }
    return true;
}

static void check_equal(struct world *w, const struct world_pod *p) {
    uint8_t x[32];
    uint8_t y[32];
    const struct core *core = replica_core(world_pod_replica(p));
    core_state_hash(core, x);
    core_state_hash(replica_core(world_pod_replica(&w->pods[0])), y);
    if (memcmp(x, y, sizeof x) != 0) {
        world_fail(w, "%s and %s differ at rest", p->name, w->pods[0].name);
    }
    check_recorded(w, p, core);
    if (core_generation(core) < w->acked_generation) {
        world_fail(w, "%s lost what was acknowledged: generation %llu of %llu", p->name,
                   (unsigned long long)core_generation(core),
                   (unsigned long long)w->acked_generation);
    }
}

void world_check_rest(struct world *w) {
    char why[WORLD_TEXT];
    for (unsigned i = 0; i < w->pod_count && w->result->is_good; i++) {
        if (is_restless(w, &w->pods[i], why)) {
            world_fail(w, "no rest: %s", why);
        } else {
            check_equal(w, &w->pods[i]);
        }
    }
    for (size_t i = 0; i < w->client_count && w->result->is_good; i++) {
        const struct world_client *c = &w->clients[i];
        if (c->process != NULL && c->kind != WORLD_SIDECAR && c->kind != WORLD_BAD_POD) {
            world_fail(w, "client %u came to no end", c->index);
        }
    }
    if (w->result->is_good && !world_owner_is_idle(w)) {
        world_fail(w, "an owner's command came to no end");
    }
}

void world_check_deinit(struct world *w) {
    for (size_t i = 0; i < w->head_count; i++) {
        buf_deinit(&w->texts[i]);
    }
    mem_free(w->heads);
    mem_free(w->keys);
    mem_free(w->texts);
    mem_free(w->roots);
}
