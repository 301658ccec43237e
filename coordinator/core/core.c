/* Core: see core.h. Memory, reading, and the rules that applying and loading share.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

/* --- Copies */

struct span core__dup(struct span s) {
    uint8_t *copy = mem_alloc(s.size);
    if (s.size > 0) {
        memcpy(copy, s.data, s.size);
    }
    return span_of(copy, s.size);
}

/* The one place that turns a span that the core owns back into memory. */
static void *writable(const void *p) {
    return (void *)(uintptr_t)p;
}

void core__free_span(struct span *s) {
    mem_free(writable(s->data));
    *s = span_of(NULL, 0);
}

struct entry_member core__dup_member(const struct entry_member *m, bool with_evidence) {
    struct entry_member copy = *m;
    copy.name = mem_strdup(m->name);
    copy.address = mem_strdup(m->address);
    copy.user_address = mem_strdup(m->user_address);
    copy.spki = core__dup(m->spki);
    copy.evidence = with_evidence ? core__dup(m->evidence) : span_of(NULL, 0);
    return copy;
}

void core__free_member(struct entry_member *m) {
    mem_free(m->name);
    mem_free(m->address);
    mem_free(m->user_address);
    core__free_span(&m->spki);
    core__free_span(&m->evidence);
    *m = (struct entry_member){0};
}

/* --- Life */

struct core *core_new(void) {
    struct core *c = mem_zalloc(sizeof *c);
    c->epoch = CORE_EPOCH;
    merkle_log_init(&c->ledger);
    c->history = core_history_new();
    c->digests = mem_zalloc(sizeof *c->digests);
    return c;
}

static void free_tables(struct core *c) {
    for (size_t i = 0; i < c->founder_count; i++) {
        core__free_member(&c->founders[i]);
    }
    for (size_t i = 0; i < c->member_count; i++) {
        core__free_member(&c->members[i].member);
    }
    for (size_t i = 0; i < c->blob_count; i++) {
        core_bytes_unref(c->blobs[i].bytes);
    }
    mem_free(c->blobs);
}

void core_free(struct core *c) {
    if (c == NULL) {
        return;
    }
    free_tables(c);
    core__free_collateral(c);
    core_history_unref(c->history);
    core_active_unref(c->active);
    core_keys_unref(c->keys);
    merkle_log_deinit(&c->ledger);
    mem_free(c->digests);
    mem_free_wiped(c, sizeof *c);
}

/* --- Copies and shares of the whole */

static void copy_tables(struct core *to, const struct core *c) {
    for (size_t i = 0; i < c->founder_count; i++) {
        to->founders[i] = core__dup_member(&c->founders[i], true);
    }
    for (size_t i = 0; i < c->member_count; i++) {
        to->members[i].member = core__dup_member(&c->members[i].member, true);
    }
    to->blobs = mem_calloc(c->blob_count, sizeof *to->blobs);
    to->blob_capacity = c->blob_count;
    for (size_t i = 0; i < c->blob_count; i++) {
        to->blobs[i] = c->blobs[i];
        (void)core_bytes_ref(to->blobs[i].bytes);
    }
}

struct core *core_copy(const struct core *c) {
    struct core *to = mem_alloc(sizeof *to);
    *to = *c;
    copy_tables(to, c);
    core__copy_collateral(to, c);
    to->history = core_history_ref(c->history);
    to->active = c->active == NULL ? NULL : core_active_ref(c->active);
    to->keys = c->keys == NULL ? NULL : core_keys_ref(c->keys);
    merkle_log_copy(&c->ledger, &to->ledger);
    to->digests = mem_alloc(sizeof *to->digests);
    *to->digests = *c->digests;
    return to;
}

struct core_history *core_share_history(const struct core *c) {
    return core_history_ref(c->history);
}

struct core_active *core_share_active(const struct core *c) {
    return c->active == NULL ? NULL : core_active_ref(c->active);
}

struct core_keys *core_share_keys(const struct core *c) {
    return c->keys == NULL ? NULL : core_keys_ref(c->keys);
}

/* --- Members */

size_t core__member_index(const struct core *c, uint64_t id, bool *found) {
    size_t at = 0;
    while (at < c->member_count && c->members[at].member.id < id) {
        at++;
    }
    *found = at < c->member_count && c->members[at].member.id == id;
    return at;
}

void core__add_member(struct core *c, const struct core_member *row) {
    bool found = false;
    size_t at = core__member_index(c, row->member.id, &found);
    CHECK(!found && c->member_count < LIMIT_MEMBERS);
    size_t after = c->member_count - at;
    memmove(&c->members[at + 1], &c->members[at], after * sizeof c->members[0]);
    memmove(&c->windows[at + 1], &c->windows[at], after * sizeof c->windows[0]);
    c->digests->has_members = false;
    c->members[at] = *row;
    c->windows[at].highest = 0;
    memset(c->windows[at].codes, CORE_SLOT_FREE, sizeof c->windows[at].codes);
    c->member_count++;
}

void core__remove_member(struct core *c, size_t index) {
    CHECK(index < c->member_count);
    c->digests->has_members = false;
    core__free_member(&c->members[index].member);
    size_t after = c->member_count - index - 1;
    memmove(&c->members[index], &c->members[index + 1], after * sizeof c->members[0]);
    memmove(&c->windows[index], &c->windows[index + 1], after * sizeof c->windows[0]);
    c->member_count--;
}

void core__leave_member(struct core *c, size_t index) {
    CHECK(index < c->member_count);
    c->digests->has_members = false;
    c->members[index].state = CORE_LEAVING;
}

/* --- Blobs */

size_t core__blob_index(const struct core *c, const uint8_t hash[32], bool *found) {
    size_t low = 0;
    size_t high = c->blob_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(c->blobs[middle].hash, hash, 32) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < c->blob_count && memcmp(c->blobs[low].hash, hash, 32) == 0;
    return low;
}

void core__add_blob(struct core *c, const uint8_t hash[32], struct span policy) {
    bool found = false;
    size_t at = core__blob_index(c, hash, &found);
    CHECK(!found);
    if (c->blob_count == c->blob_capacity) {
        c->blob_capacity = c->blob_capacity == 0 ? 16 : c->blob_capacity * 2;
        c->blobs = mem_realloc(c->blobs, c->blob_capacity * sizeof *c->blobs);
    }
    memmove(&c->blobs[at + 1], &c->blobs[at], (c->blob_count - at) * sizeof *c->blobs);
    struct core_bytes *bytes = core_bytes_new(policy.size);
    uint8_t *end = bytes->data;
    c->digests->has_blobs = false;
    c->blobs[at] = (struct core__blob){.data = core_bytes_put(&end, policy), .bytes = bytes};
    memcpy(c->blobs[at].hash, hash, 32);
    c->blob_count++;
    c->blob_size += policy.size;
}

void core__activate(struct core *c, struct manifest *m) {
    struct core_active *active = core_active_new(m);
    for (size_t i = 0; i < active->manifest.policy_count; i++) {
        bool found = false;
        size_t at = core__blob_index(c, active->manifest.policies[i].hash, &found);
        CHECK(found);
        c->blobs[at].is_named = true;
        active->policies[i] = core_bytes_ref(c->blobs[at].bytes);
    }
    core_active_unref(c->active);
    c->active = active;
}

void core__drop_blobs(struct core *c) {
    size_t kept = 0;
    for (size_t i = 0; i < c->blob_count; i++) {
        if (c->blobs[i].is_named) {
            c->blobs[kept++] = c->blobs[i];
            continue;
        }
        c->digests->has_blobs = false;
        c->blob_size -= c->blobs[i].data.size;
        core_bytes_unref(c->blobs[i].bytes);
    }
    c->blob_count = kept;
}

/* --- Keys */

void core__set_keys(struct core *c, struct span root_key, struct span mesh_key,
                    struct span workload_secret) {
    struct core_keys *keys = core_keys_new(c->keys, root_key, mesh_key, workload_secret);
    core_keys_unref(c->keys);
    c->keys = keys;
}

void core__renew_mesh(struct core *c, struct span key, struct span mesh_cert,
                      struct span intermediate) {
    struct core_record r = c->history->records[c->history->count - 1];
    r.mesh_cert = mesh_cert;
    r.intermediate = intermediate;
    core_history_replace_last(&c->history, &r);
    core__set_keys(c, span_of(NULL, 0), key, span_of(NULL, 0));
}

/* --- Shared rules */

RESULT core__check_founders(const struct entry_member *founders, size_t count, struct err *err) {
    ENSURE(count == 1 || count == 3 || count == 5, err, INVALID, "%zu founders, want 1, 3 or 5",
           count);
    for (size_t i = 0; i < count; i++) {
        TRY(entry_member_check(&founders[i], err));
        ENSURE(i == 0 || founders[i - 1].id < founders[i].id, err, INVALID,
               "founders are not in the order of their ids");
        for (size_t j = 0; j < i; j++) {
            ENSURE(strcmp(founders[i].name, founders[j].name) != 0, err, INVALID,
                   "two founders have the name %s", founders[i].name);
        }
    }
    return OK;
}

RESULT core__check_digests(const struct entry_digest *digests, size_t count, struct err *err) {
    for (size_t i = 1; i < count; i++) {
        ENSURE(memcmp(digests[i - 1].digest, digests[i].digest, 32) < 0, err, INVALID,
               "simulated roots are not in rising order");
    }
    return OK;
}

uint64_t core__least_version(const struct entry_member *members, size_t count) {
    uint64_t least = members[0].version;
    for (size_t i = 1; i < count; i++) {
        least = members[i].version < least ? members[i].version : least;
    }
    return least;
}

RESULT core__check_version(const struct core *c, const struct entry_member *m, struct err *err) {
    ENSURE(m->version >= c->level, err, DENIED,
           "member %s knows entries up to version %llu, the cluster uses version %llu: run a newer "
           "build",
           m->name, (unsigned long long)m->version, (unsigned long long)c->level);
    return OK;
}

RESULT core__check_members(const struct core *c, const struct manifest *m, struct err *err) {
    AUTO(buf_deinit)
    struct buf names = {0};
    for (size_t i = 0; i < c->member_count; i++) {
        const struct policy_entry *policy = manifest_find_policy(m, c->members[i].member.host_data);
        if (policy == NULL || policy->role != ROLE_COORDINATOR) {
            buf_appendf(&names, "%s%s", names.size > 0 ? ", " : "", c->members[i].member.name);
        }
    }
    ENSURE(names.size == 0, err, DENIED,
           "the host data of these members has not role coordinator in the manifest: %.700s; "
           "retire and remove them first",
           buf_cstr(&names));
    return OK;
}

RESULT core__check_owner(const struct manifest *authority, uint64_t generation, struct span signer,
                         struct span signature, struct err *err) {
    ENSURE(signer.size > 0 && signature.size > 0, err, SIGNATURE, "not signed");
    uint8_t digest[SHA256_SIZE];
    sha256(signer, digest);
    char hex[2 * SHA256_SIZE + 1];
    hex_encode(SPAN(digest), hex);
    ENSURE(manifest_has_owner(authority, digest), err, SIGNATURE,
           "generation %llu does not name the signer %s as an owner",
           (unsigned long long)generation, hex);
    return OK;
}

static RESULT check_signer(const struct core *c, const struct core_record *r,
                           const struct manifest *m, struct err *err) {
    if (c->history->count == 0) {
        return core__check_owner(m, 1, r->signer, r->signature, err);
    }
    ENSURE(r->signer.size > 0 && r->signature.size > 0, err, SIGNATURE, "not signed");
    ENSURE(c->active->manifest.owner_count > 0, err, DENIED,
           "generation %zu names no owner: it allows no further update", c->history->count);
    return core__check_owner(&c->active->manifest, c->history->count, r->signer, r->signature, err);
}

static RESULT check_policies(const struct core *c, const struct manifest *m, struct err *err) {
    for (size_t i = 0; i < m->policy_count; i++) {
        bool found = false;
        (void)core__blob_index(c, m->policies[i].hash, &found);
        char hex[2 * SHA256_SIZE + 1];
        hex_encode(SPAN(m->policies[i].hash), hex);
        ENSURE(found, err, NOT_FOUND, "policy %s was not uploaded", hex);
    }
    return OK;
}

static RESULT check_share_owners(const struct core *c, const struct manifest *m, struct err *err) {
    if (c->history->count == 0) {
        return OK;
    }
    bool is_equal = m->share_owner_count == c->active->manifest.share_owner_count;
    for (size_t i = 0; is_equal && i < m->share_owner_count; i++) {
        is_equal = span_equal(m->share_owners[i], c->active->manifest.share_owners[i]);
    }
    ENSURE(is_equal, err, DENIED, "SeedshareOwnerPubKeys differs from the active manifest's");
    ENSURE(m->share_threshold == c->active->manifest.share_threshold, err, DENIED,
           "SeedShareOwnerThreshold is %zu, the active manifest's %zu: it stays as founded",
           m->share_threshold, c->active->manifest.share_threshold);
    return OK;
}

static bool is_founding_root(const struct core *c, const uint8_t digest[32]) {
    for (size_t i = 0; i < c->root_count; i++) {
        if (memcmp(c->roots[i].digest, digest, 32) == 0) {
            return true;
        }
    }
    return false;
}

/* Which simulated roots may ever be trusted is fixed in the first entry (ARCHITECTURE section 5):
 * no owner can turn a cluster of real machines into a simulated one later. */
static RESULT check_simulated_roots(const struct core *c, const struct manifest *m,
                                    struct err *err) {
    for (size_t i = 0; i < m->reference_count; i++) {
        for (size_t k = 0; k < m->references[i].simulated_root_count; k++) {
            const uint8_t *digest = m->references[i].simulated_roots[k];
            char hex[2 * SHA256_SIZE + 1];
            hex_encode(span_of(digest, SHA256_SIZE), hex);
            ENSURE(is_founding_root(c, digest), err, DENIED,
                   "ReferenceValues.snp[%zu].SimulatedRoots[%zu]: the cluster was founded without "
                   "the simulated root %s",
                   i, k, hex);
        }
    }
    return OK;
}

RESULT core__check_next(const struct core *c, const struct core_record *r, const struct manifest *m,
                        uint8_t transition[32], struct err *err) {
    ENSURE(c->history->count < LIMIT_HISTORY &&
               core_history_record_size(r) <= LIMIT_HISTORY_BYTES - c->history->size,
           err, TOO_LARGE, "the manifest history is full (%d manifests, %d bytes)", LIMIT_HISTORY,
           LIMIT_HISTORY_BYTES);
    TRY(check_signer(c, r, m, err));
    TRY(check_share_owners(c, m, err));
    TRY(check_simulated_roots(c, m, err));
    TRY(check_policies(c, m, err));
    struct transition t = {.epoch = c->epoch, .generation = c->history->count + 1};
    memcpy(t.cluster, c->cluster, sizeof t.cluster);
    memcpy(t.previous, core_head(c), sizeof t.previous);
    memcpy(t.manifest_hash, m->hash, sizeof t.manifest_hash);
    manifest_policies_hash(m, t.policies_hash);
    transition_hash(&t, transition);
    return OK;
}

/* --- Reading */

uint64_t core_applied_index(const struct core *c) {
    return c->applied_index;
}

uint64_t core_applied_term(const struct core *c) {
    return c->applied_term;
}

int64_t core_time(const struct core *c) {
    return c->time;
}

uint64_t core_level(const struct core *c) {
    return c->level;
}

bool core_uses(const struct core *c, enum entry_type type) {
    uint8_t version = entry_version_of(type);
    return version > 0 && version <= c->level;
}

bool core_is_founded(const struct core *c) {
    return c->is_founded;
}

const uint8_t *core_cluster(const struct core *c) {
    return c->cluster;
}

uint64_t core_epoch(const struct core *c) {
    return c->epoch;
}

int64_t core_founding_time(const struct core *c) {
    return c->founding_time;
}

const struct entry_member *core_founders(const struct core *c, size_t *count) {
    *count = c->founder_count;
    return c->founders;
}

const struct entry_digest *core_simulated_roots(const struct core *c, size_t *count) {
    *count = c->root_count;
    return c->roots;
}

uint64_t core_generation(const struct core *c) {
    return c->history->count;
}

const uint8_t *core_head(const struct core *c) {
    static const uint8_t zero[32];
    return c->history->count == 0 ? zero : c->history->records[c->history->count - 1].transition;
}

const struct manifest *core_manifest(const struct core *c) {
    return c->history->count == 0 ? NULL : &c->active->manifest;
}

const struct core_record *core_records(const struct core *c, size_t *count) {
    *count = c->history->count;
    return c->history->records;
}

const struct core_recovery *core_recoveries(const struct core *c, size_t *count) {
    *count = c->history->recovery_count;
    return c->history->recoveries;
}

bool core_is_checkpoint(const struct core *c) {
    return c->is_checkpoint;
}

struct span core_blob(const struct core *c, const uint8_t hash[32]) {
    bool found = false;
    size_t at = core__blob_index(c, hash, &found);
    return found ? c->blobs[at].data : span_of(NULL, 0);
}

struct core_ca core_ca(const struct core *c) {
    if (c->history->count == 0) {
        return (struct core_ca){0};
    }
    const struct core_record *last = &c->history->records[c->history->count - 1];
    return (struct core_ca){
        .root_key = secret_span(c->keys->root_key),
        .root_cert = last->root_cert,
        .mesh_key = c->is_checkpoint ? span_of(NULL, 0) : secret_span(c->keys->mesh_key),
        .mesh_cert = last->mesh_cert,
        .intermediate = last->intermediate,
        .workload_secret = secret_span(c->keys->workload_secret),
    };
}

const struct core_member *core_members(const struct core *c, size_t *count) {
    *count = c->member_count;
    return c->members;
}

const struct core_member *core_find_member(const struct core *c, uint64_t id) {
    bool found = false;
    size_t at = core__member_index(c, id, &found);
    return found ? &c->members[at] : NULL;
}

const struct merkle_log *core_ledger(const struct core *c) {
    return &c->ledger;
}

uint64_t core_issue_count(const struct core *c) {
    return c->issued;
}
