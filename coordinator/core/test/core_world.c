/* World: see core_world.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/test/core_world.h"

#include <stdio.h>
#include <string.h>

#include "lib/crypto/digest.h"

static const char *const policy_texts[WORLD_POLICIES] = {
    "package coordinator_one", "package coordinator_two", "package web", "package database"};

/* An RSA public key of 2048 bits; the last byte but seven tells one from the next. */
#define SHARE_OWNER                                                                                \
    "3082010a0282010100bc69918781bee2c10fc246151463e8f367e015ebedb331"                             \
    "38ece908dd13db45028e3836faefd9317e2e20c925ed35f4fb72c8cd95836cfa"                             \
    "eff2e7cb1121f6232ae6f48a9e0accc524835c8d4eb677c980855488f28a65c7"                             \
    "ac69b17d917ea78a01def5c8c2d0e3ddae24ec2db398b5978725bcf2e7b345fb"                             \
    "def93495b457333c9e7f650ea7da026f0b586db27e8d41f61e11960768c481b5"                             \
    "a3c9503277e640f71b33c67132357ee81940ddd7b03440ce70c115abfef5196d"                             \
    "29bbc3505d966c6708eed6ab936c5ac4e1478693bd2663b259dd4ab18581c918"                             \
    "b6e9d1ca11fc485c05396d971042e08634242cdb49ec68adb126cfa1776d4301"                             \
    "2caaf0a79139ab3f8d0203010001"
#define SHARE_OWNER_SIZE ((sizeof SHARE_OWNER - 1) / 2)

static struct span copy_text(struct world *w, const char *text) {
    size_t size = strlen(text);
    return span_of(arena_strndup(&w->arena, text, size), size);
}

struct span world_owner(void) {
    return span_str("the owner's SubjectPublicKeyInfo");
}

uint8_t world_key_byte(enum world_key key, uint64_t generation, size_t at) {
    uint64_t x = (uint64_t)key * 1000003 + generation * 7919 + at * 104729 + 12345;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint8_t)(x >> 40);
}

static struct span key_bytes(struct world *w, enum world_key key, uint64_t generation, size_t n) {
    uint8_t *bytes = arena_alloc(&w->arena, n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = world_key_byte(key, generation, i);
    }
    return span_of(bytes, n);
}

struct entry_member world_member(struct world *w, unsigned number, const char *name,
                                 unsigned policy) {
    char text[64];
    struct entry_member m = {0};
    snprintf(text, sizeof text, "public key of replica %u", number);
    m.spki = copy_text(w, text);
    m.id = entry_replica_id(m.spki);
    m.name = arena_strndup(&w->arena, name, strlen(name));
    int n = snprintf(text, sizeof text, "%s.coordinator:7443", name);
    m.address = arena_strndup(&w->arena, text, (size_t)n);
    m.user_address = arena_strndup(&w->arena, "", 0);
    memcpy(m.host_data, w->hashes[policy], sizeof m.host_data);
    snprintf(text, sizeof text, "evidence of replica %u", number);
    m.evidence = copy_text(w, text);
    m.version = entry_version;
    return m;
}

static void sort_founders(struct world *w) {
    for (size_t i = 1; i < WORLD_FOUNDERS; i++) {
        for (size_t j = i; j > 0 && w->founders[j].id < w->founders[j - 1].id; j--) {
            struct entry_member swap = w->founders[j];
            w->founders[j] = w->founders[j - 1];
            w->founders[j - 1] = swap;
        }
    }
}

void world_init(struct world *w) {
    memset(w, 0, sizeof *w);
    w->core = core_new();
    w->time = WORLD_TIME;
    w->more = "";
    for (size_t i = 0; i < WORLD_POLICIES; i++) {
        w->policies[i] = span_str(policy_texts[i]);
        sha256(w->policies[i], w->hashes[i]);
    }
    for (unsigned i = 0; i < WORLD_FOUNDERS; i++) {
        char name[32];
        snprintf(name, sizeof name, "coordinator-%u", i);
        w->founders[i] = world_member(w, i, name, 0);
    }
    sort_founders(w);
}

void world_deinit(struct world *w) {
    core_free(w->core);
    buf_deinit(&w->log);
    arena_deinit(&w->arena);
    memset(w, 0, sizeof *w);
}

struct entry_request world_request(struct world *w) {
    return (struct entry_request){w->founders[0].id, ++w->sequence};
}

struct entry_found world_found(struct world *w) {
    struct entry_found f = {
        .founders = {w->founders, WORLD_FOUNDERS},
        .time = w->time,
        .simulated_roots = {arena_alloc(&w->arena, 2 * sizeof(struct entry_digest)), 2},
    };
    struct entry_digest *roots = f.simulated_roots.items;
    roots[0].digest[0] = 1;
    roots[1].digest[0] = 2;
    entry_cluster_id(w->founders, WORLD_FOUNDERS, f.cluster);
    return f;
}

struct entry_blob world_blob(struct world *w, unsigned policy) {
    struct entry_blob b = {.request = world_request(w), .policy = w->policies[policy]};
    memcpy(b.hash, w->hashes[policy], sizeof b.hash);
    return b;
}

static void append_policies(const struct world *w, unsigned mask, struct buf *out) {
    const char *separator = "";
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        if ((mask >> i & 1) != 0) {
            char hex[65];
            hex_encode(SPAN(w->hashes[i]), hex);
            buf_appendf(out, "%s\"%s\":{%s}", separator, hex,
                        i < 2 ? "\"Role\":\"coordinator\"" : "\"SANs\":[\"web\"]");
            separator = ",";
        }
    }
}

struct span world_manifest(struct world *w, unsigned mask, unsigned number, const char *owner,
                           const char *more) {
    AUTO(buf_deinit)
    struct buf json = {0};
    const char *quote = owner != NULL ? "\"" : "";
    buf_appendf(&json, "{\"Policies\":{");
    append_policies(w, mask, &json);
    buf_appendf(&json,
                "},\"ReferenceValues\":{\"snp\":[{\"ProductName\":\"Milan\","
                "\"TrustedMeasurement\":\"%096u\",\"MinimumTCB\":{\"BootloaderVersion\":0,"
                "\"TEEVersion\":0,\"SNPVersion\":0,\"MicrocodeVersion\":0},\"GuestPolicy\":{}}]},"
                "\"WorkloadOwnerKeyDigests\":[%s%s%s]%s}",
                number + 1, quote, owner != NULL ? owner : "", quote, more);
    return copy_text(w, buf_cstr(&json));
}

struct entry_set_manifest world_set(struct world *w, unsigned mask, unsigned number) {
    uint8_t digest[32];
    char owner[65];
    sha256(world_owner(), digest);
    hex_encode(SPAN(digest), owner);
    uint64_t generation = core_generation(w->core) + 1;
    struct entry_set_manifest s = {
        .request = world_request(w),
        .manifest = world_manifest(w, mask, number, owner, w->more),
        .generation = generation,
        .signer = world_owner(),
        .signature = span_str("a signature"),
        .mesh_key = key_bytes(w, WORLD_MESH_KEY, generation, 138),
        .mesh_cert = span_str("mesh certificate"),
        .intermediate = span_str("intermediate certificate"),
        .time = ++w->time,
    };
    if (generation == 1) {
        s.root_key = key_bytes(w, WORLD_ROOT_KEY, 1, 185);
        s.root_cert = span_str("root certificate");
        s.workload_secret = key_bytes(w, WORLD_SECRET, 1, ENTRY_SECRET);
    }
    memcpy(s.previous, core_head(w->core), sizeof s.previous);
    return s;
}

struct entry_admit world_admit(struct world *w, unsigned number, const char *name,
                               uint64_t replaces) {
    return (struct entry_admit){.request = world_request(w),
                                .member = world_member(w, number, name, 0),
                                .replaces = replaces,
                                .time = ++w->time};
}

struct entry_retire world_retire(struct world *w, uint64_t id, enum entry_retire_reason reason) {
    struct entry_retire t = {.request = world_request(w), .id = id, .reason = (uint8_t)reason};
    if (reason == RETIRE_OWNER) {
        t.signer = world_owner();
        t.signature = span_str("a signature");
    }
    t.time = ++w->time;
    return t;
}

struct entry_level world_level(struct world *w, uint64_t level) {
    return (struct entry_level){.request = world_request(w), .level = level, .time = ++w->time};
}

struct span world_share_owner(struct world *w, unsigned number) {
    uint8_t *der = arena_alloc(&w->arena, SHARE_OWNER_SIZE);
    CHECK(is_ok(hex_decode(span_str(SHARE_OWNER), der, SHARE_OWNER_SIZE, NULL)));
    der[SHARE_OWNER_SIZE - 7] = (uint8_t)number;
    return span_of(der, SHARE_OWNER_SIZE);
}

void world_share(struct world *w, unsigned count, unsigned threshold, bool automatic) {
    AUTO(buf_deinit)
    struct buf json = {0};
    buf_appendf(&json, ",\"SeedshareOwnerPubKeys\":[");
    for (unsigned i = 0; i < count; i++) {
        char hex[2 * SHARE_OWNER_SIZE + 1];
        hex_encode(world_share_owner(w, i), hex);
        buf_append_str(&json, i > 0 ? ",\"" : "\"");
        buf_append_str(&json, hex);
        buf_append_str(&json, "\"");
    }
    buf_append_str(&json, "]");
    if (threshold > 0) {
        buf_appendf(&json, ",\"SeedShareOwnerThreshold\":%u", threshold);
    }
    if (automatic) {
        buf_append_str(&json, ",\"AutoRecovery\":true");
    }
    w->more = arena_strndup(&w->arena, buf_cstr(&json), json.size);
}

void world_checkpoint(struct world *w) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct core *c = NULL;
    core_save_checkpoint(w->core, &bytes);
    CHECK(is_ok(core_load_checkpoint(buf_span(&bytes), &c, NULL)));
    core_free(w->core);
    w->core = c;
}

static struct wire_list recovery_signatures(struct world *w, unsigned count) {
    struct recovery_signature *list = arena_alloc(&w->arena, (count + 1) * sizeof *list);
    for (unsigned i = 0; i < count; i++) {
        list[i] = (struct recovery_signature){world_share_owner(w, i), span_str("a signature")};
    }
    return (struct wire_list){list, count};
}

struct entry_recover world_recover(struct world *w, enum recovery_mode mode, unsigned signers) {
    uint64_t epoch = core_epoch(w->core);
    struct entry_recover e = {
        .epoch = epoch + 1,
        .previous_epoch = epoch,
        .mode = (uint8_t)mode,
        .generation = core_generation(w->core),
        .index = core_applied_index(w->core),
        .ledger_size = merkle_log_size(core_ledger(w->core)),
        .recipient = mode == RECOVERY_SURVIVOR
                         ? w->founders[0]
                         : world_member(w, 100 + (unsigned)epoch, "coordinator-0", 0),
        .signatures = recovery_signatures(w, signers),
        .mesh_key = key_bytes(w, WORLD_MESH_KEY, 1000 + epoch, 138),
        .mesh_cert = span_str("recovered mesh certificate"),
        .intermediate = span_str("recovered intermediate"),
        .time = ++w->time,
    };
    memcpy(e.head, core_head(w->core), sizeof e.head);
    merkle_log_root(core_ledger(w->core), e.ledger_root);
    return e;
}

struct entry_issue world_issue(struct world *w, size_t count, unsigned policy) {
    struct entry_issue_request *requests = arena_alloc(&w->arena, count * sizeof *requests);
    for (size_t i = 0; i < count; i++) {
        requests[i].spki = span_str("workload key");
        memcpy(requests[i].policy_hash, w->hashes[policy], sizeof requests[i].policy_hash);
    }
    return (struct entry_issue){.request = world_request(w),
                                .generation = core_generation(w->core),
                                .requests = {requests, count},
                                .time = ++w->time};
}

static struct entry_endorsement chip_key(unsigned chip) {
    struct entry_endorsement key = {.product = SNP_MILAN};
    if (chip > 0) {
        store_u32be(key.chip_id, chip);
        key.tcb[0] = 4;
        key.tcb[7] = 0xdb;
    }
    return key;
}

struct entry_collateral world_vek(struct world *w, unsigned chip, const char *edition) {
    char text[64];
    snprintf(text, sizeof text, "VCEK of chip %u, %s", chip, edition);
    return (struct entry_collateral){.request = world_request(w),
                                     .kind = COLLATERAL_VEK,
                                     .key = chip_key(chip),
                                     .der = copy_text(w, text),
                                     .time = ++w->time};
}

struct entry_collateral world_crl(struct world *w, uint64_t number, const char *edition) {
    struct entry_collateral e = {.request = world_request(w),
                                 .kind = COLLATERAL_CRL,
                                 .key = chip_key(0),
                                 .der = copy_text(w, edition),
                                 .number = number,
                                 .time = ++w->time};
    e.anchor[0] = 1;
    e.this_update = w->time - 3600;
    e.next_update = w->time + 86400;
    return e;
}

struct entry_collateral world_fetch(struct world *w, unsigned chip) {
    return (struct entry_collateral){.request = world_request(w),
                                     .kind = COLLATERAL_FETCH,
                                     .key = chip_key(chip),
                                     .time = ++w->time};
}

enum err_code world_apply_bytes(struct world *w, struct span entry) {
    buf_append_u32be(&w->log, (uint32_t)entry.size);
    buf_append_span(&w->log, entry);
    core_apply(w->core, ++w->index, 1, entry, &w->result);
    return w->result.code;
}

enum err_code world_apply(struct world *w, enum entry_type type, const void *body) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(type, body, &entry);
    return world_apply_bytes(w, buf_span(&entry));
}

void world_start(struct world *w) {
    struct entry_found f = world_found(w);
    CHECK(world_apply(w, ENTRY_FOUND, &f) == ERR_OK);
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        struct entry_blob b = world_blob(w, i);
        CHECK(world_apply(w, ENTRY_BLOB, &b) == ERR_OK);
    }
    struct entry_set_manifest s = world_set(w, 0xf, 0);
    CHECK(world_apply(w, ENTRY_SET_MANIFEST, &s) == ERR_OK);
}
