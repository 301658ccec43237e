/* Bench of the core with a large state: how long applying, hashing, sharing and snapshots take.
 *
 *     bench-core [manifests [leaves [policies]]]      1000 100000 4096
 *
 * Each manifest has about 20 KiB and names 30 policies of 8 KiB. Prints a line per measure: wall
 * time of one thread, least of the rounds. It judges nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/core/core.h"
#include "coordinator/core/core_history.h"
#include "lib/crypto/digest.h"

#define NAMED 30
#define POLICY_SIZE (8 * 1024)
#define MANIFEST_FILL (16 * 1024) /* of SANs, so that a manifest has 20 KiB */
#define ROUNDS 5

struct bench {
    struct core *core;
    struct arena arena;
    uint64_t index;
    uint64_t sequence;
    uint64_t proposer;
    int64_t time;
    uint8_t (*hashes)[32];
    size_t policies;
    uint8_t document[POLICY_SIZE];
    char owner[65];
    struct span signer;
};

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void apply(struct bench *b, enum entry_type type, const void *body) {
    static struct core_result result;
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(type, body, &entry);
    core_apply(b->core, ++b->index, 1, buf_span(&entry), &result);
    if (result.code != ERR_OK) {
        fprintf(stderr, "%s: %s\n", entry_type_name(type), result.text);
        exit(1);
    }
}

static struct entry_request request(struct bench *b) {
    return (struct entry_request){b->proposer, ++b->sequence};
}

static struct span text_of(struct bench *b, const char *text) {
    return span_of(arena_strndup(&b->arena, text, strlen(text)), strlen(text));
}

static struct entry_member member(struct bench *b, unsigned number) {
    char text[64];
    snprintf(text, sizeof text, "public key of replica %u", number);
    struct entry_member m = {.spki = text_of(b, text), .version = entry_version};
    m.id = entry_replica_id(m.spki);
    snprintf(text, sizeof text, "coordinator-%u", number);
    m.name = arena_strndup(&b->arena, text, strlen(text));
    snprintf(text, sizeof text, "coordinator-%u:7443", number);
    m.address = arena_strndup(&b->arena, text, strlen(text));
    m.user_address = arena_strndup(&b->arena, "", 0);
    memcpy(m.host_data, b->hashes[0], 32);
    m.evidence = span_of(arena_alloc(&b->arena, 8192), 8192);
    return m;
}

static void found(struct bench *b) {
    struct entry_member *founder = arena_alloc(&b->arena, sizeof *founder);
    *founder = member(b, 0);
    b->proposer = founder->id;
    struct entry_found f = {.founders = {founder, 1}, .time = b->time};
    entry_cluster_id(founder, 1, f.cluster);
    apply(b, ENTRY_FOUND, &f);
}

static void make_policy(struct bench *b, size_t at) {
    memset(b->document, 0, sizeof b->document);
    snprintf((char *)b->document, sizeof b->document, "package policy_%zu", at);
}

/* Number 0 is the coordinator's, in every manifest; the others take turns. */
static size_t policy_at(const struct bench *b, size_t generation, size_t i) {
    return i == 0 ? 0 : 1 + (generation * (NAMED - 1) + i) % (b->policies - 1);
}

static void upload(struct bench *b, size_t generation) {
    for (size_t i = 0; i < NAMED; i++) {
        size_t at = policy_at(b, generation, i);
        if (core_blob(b->core, b->hashes[at]).data == NULL) {
            make_policy(b, at);
            struct entry_blob e = {.request = request(b), .policy = SPAN(b->document)};
            memcpy(e.hash, b->hashes[at], 32);
            apply(b, ENTRY_BLOB, &e);
        }
    }
}

static void manifest_text(struct bench *b, size_t generation, struct buf *out) {
    char hex[65];
    buf_append_str(out, "{\"Policies\":{");
    for (size_t i = 0; i < NAMED; i++) {
        hex_encode(span_of(b->hashes[policy_at(b, generation, i)], 32), hex);
        buf_appendf(out, "%s\"%s\":{\"SANs\":[", i > 0 ? "," : "", hex);
        for (size_t k = 0; k < MANIFEST_FILL / NAMED / 34; k++) {
            buf_appendf(out, "%s\"host-%03zu-%03zu.namespace-a.svc\"", k > 0 ? "," : "", i, k);
        }
        buf_appendf(out, "]%s}", i == 0 ? ",\"Role\":\"coordinator\"" : "");
    }
    buf_appendf(out,
                "},\"ReferenceValues\":{\"snp\":[{\"ProductName\":\"Milan\","
                "\"TrustedMeasurement\":\"%096zu\",\"MinimumTCB\":{\"BootloaderVersion\":0,"
                "\"TEEVersion\":0,\"SNPVersion\":0,\"MicrocodeVersion\":0},\"GuestPolicy\":{}}]},"
                "\"WorkloadOwnerKeyDigests\":[\"%s\"]}",
                generation + 1, b->owner);
}

static void set(struct bench *b, size_t generation) {
    AUTO(buf_deinit)
    struct buf json = {0};
    manifest_text(b, generation, &json);
    uint8_t key[185] = {(uint8_t)generation, 1};
    uint8_t pem[900];
    memset(pem, 'A', sizeof pem);
    struct entry_set_manifest s = {.request = request(b),
                                   .manifest = buf_span(&json),
                                   .generation = generation + 1,
                                   .signer = b->signer,
                                   .signature = span_str("a signature"),
                                   .mesh_key = SPAN(key),
                                   .mesh_cert = SPAN(pem),
                                   .intermediate = SPAN(pem),
                                   .time = ++b->time};
    if (generation == 0) {
        s.root_key = SPAN(key);
        s.root_cert = SPAN(pem);
        s.workload_secret = span_of(key, ENTRY_SECRET);
    }
    memcpy(s.previous, core_head(b->core), 32);
    apply(b, ENTRY_SET_MANIFEST, &s);
}

static void issue(struct bench *b, size_t count) {
    struct entry_issue_request row = {.spki = span_str("a workload's key")};
    memcpy(row.policy_hash, b->hashes[0], 32);
    for (size_t i = 0; i < count; i++) {
        struct entry_issue s = {.request = request(b),
                                .generation = core_generation(b->core),
                                .requests = {&row, 1},
                                .time = ++b->time};
        apply(b, ENTRY_ISSUE, &s);
    }
}

static void build(struct bench *b, size_t manifests, size_t leaves) {
    uint8_t digest[32];
    sha256(b->signer, digest);
    hex_encode(SPAN(digest), b->owner);
    for (size_t i = 0; i < b->policies; i++) {
        make_policy(b, i);
        sha256(SPAN(b->document), b->hashes[i]);
    }
    found(b);
    double spent = 0;
    for (size_t i = 0; i < manifests; i++) {
        upload(b, i);
        double start = now_ms();
        set(b, i);
        spent += now_ms() - start;
    }
    printf("%-44s %10.3f us\n", "apply SET_MANIFEST", spent * 1e3 / (double)manifests);
    double start = now_ms();
    issue(b, leaves);
    printf("%-44s %10.3f us\n", "apply ISSUE of one certificate",
           (now_ms() - start) * 1e3 / (double)leaves);
}

static void measure(const char *what, double (*round)(const struct bench *b),
                    const struct bench *b) {
    double least = round(b);
    for (unsigned i = 1; i < ROUNDS; i++) {
        double ms = round(b);
        least = ms < least ? ms : least;
    }
    printf("%-44s %10.3f ms\n", what, least);
}

static double round_save(const struct bench *b) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    double start = now_ms();
    core_save(b->core, &bytes);
    return now_ms() - start;
}

static double round_load(const struct bench *b) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct core *c = NULL;
    core_save(b->core, &bytes);
    double start = now_ms();
    CHECK(is_ok(core_load(buf_span(&bytes), &c, NULL)));
    double ms = now_ms() - start;
    core_free(c);
    return ms;
}

static double round_copy(const struct bench *b) {
    double start = now_ms();
    struct core *c = core_copy(b->core);
    double ms = now_ms() - start;
    core_free(c);
    return ms;
}

static double round_hash(const struct bench *b) {
    uint8_t hash[32];
    double start = now_ms();
    core_state_hash(b->core, hash);
    return now_ms() - start;
}

static double round_share(const struct bench *b) {
    double start = now_ms();
    core_history_unref(core_share_history(b->core));
    return now_ms() - start;
}

static size_t number(int count, char **args, int at, size_t otherwise) {
    return at < count ? strtoul(args[at], NULL, 10) : otherwise;
}

int main(int count, char **args) {
    struct bench b = {.core = core_new(),
                      .time = 1795000000,
                      .policies = number(count, args, 3, 4096),
                      .signer = span_str("the owner's SubjectPublicKeyInfo")};
    b.hashes = calloc(b.policies + 1, sizeof *b.hashes);
    CHECK(b.hashes != NULL && b.policies > NAMED);
    build(&b, number(count, args, 1, LIMIT_HISTORY), number(count, args, 2, 100000));
    AUTO(buf_deinit)
    struct buf bytes = {0};
    core_save(b.core, &bytes);
    printf("%-44s %10.3f MB\n", "snapshot", (double)bytes.size / 1e6);
    measure("core_save", round_save, &b);
    measure("core_load", round_load, &b);
    measure("core_copy", round_copy, &b);
    measure("core_state_hash", round_hash, &b);
    measure("core_share_history", round_share, &b);
    core_free(b.core);
    arena_deinit(&b.arena);
    free(b.hashes);
    return 0;
}
