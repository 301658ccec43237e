/* Room bench: what evidence, certificates and signatures of a simulated world cost, one thread's
 * processor time each. Linked twice: contrast-room-bench with the cheap signatures of
 * played_keys.c, contrast-room-bench-plain with OpenSSL's own.
 *
 *   contrast-room-bench [ROUNDS]        one line each: microseconds, what
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/snp_cache.h"
#include "attest/snp_verify.h"
#include "chaos-tests/played/machine_room.h"
#include "lib/base/host.h"
#include "lib/crypto/cert.h"
#include "lib/manifest/manifest.h"
#include "lib/manifest/owner.h"
#include "meshca/ca.h"

#define ROUNDS 200
#define HOSTS 5

struct bench {
    struct machine_room *room;
    struct manifest manifest;
    struct buf json;
    uint8_t roots[1][32];
    struct snp_cache *cache;
    char specs[HOSTS][MACHINE_ROOM_SPEC_SIZE];
    struct issuer_evidence evidence; /* the newest */
    struct key owner;
    struct key requester;
    struct ca_root root;
    struct ca_mesh mesh;
    uint8_t data[ISSUER_DATA_SIZE];
};

static uint64_t now_ns(void) {
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void must(struct result r, const struct err *err) {
    if (!is_ok(r)) {
        fprintf(stderr, "room-bench: %s\n", err->text);
        exit(1);
    }
}

static void make_report(struct bench *b) {
    struct err err;
    issuer_evidence_deinit(&b->evidence);
    b->data[0]++;
    must(machine_room_report(b->room, b->specs[b->data[0] % HOSTS], b->data, &b->evidence, &err),
         &err);
}

static void judge(struct bench *b, struct snp_cache *cache) {
    struct snp_report report;
    struct verdict verdict = {0};
    struct err err;
    struct snp_evidence evidence = {
        .report = buf_span(&b->evidence.report),
        .vek = buf_span(&b->evidence.vek),
        .chain = {buf_span(&b->evidence.chain[0]), buf_span(&b->evidence.chain[1])},
        .chain_count = 2};
    struct snp_options options = {.references = b->manifest.references,
                                  .reference_count = b->manifest.reference_count,
                                  .report_data = b->data,
                                  .extra_roots = (const uint8_t(*)[32])b->roots,
                                  .extra_root_count = 1,
                                  .only_extra_roots = true,
                                  .at = MACHINE_ROOM_EPOCH_S,
                                  .cache = cache};
    must(snp_verify(&evidence, &options, &report, &verdict, &err), &err);
}

static void both_ways(struct bench *b) {
    make_report(b);
    judge(b, b->cache);
    make_report(b);
    judge(b, b->cache);
}

static void judge_alone(struct bench *b) {
    judge(b, NULL);
}

static void judge_cached(struct bench *b) {
    judge(b, b->cache);
}

static void make_identity(struct bench *b) {
    struct err err;
    AUTO(buf_deinit)
    struct buf der = {0};
    key_deinit(&b->requester);
    must(key_generate(KEY_P256, &b->requester, &err), &err);
    must(cert_self_signed(&b->requester, &der, &err), &err);
}

static void issue(struct bench *b) {
    struct err err;
    AUTO(buf_deinit)
    struct buf chain = {0};
    AUTO(buf_deinit)
    struct buf spki = {0};
    static char name[] = "web.default.svc";
    char *sans[] = {name};
    struct ca_claims claims = {.chip_id = {1}};
    struct ca_leaf_spec spec = {.sans = sans,
                                .san_count = 1,
                                .serial = {1, 2, 3},
                                .not_before = MACHINE_ROOM_EPOCH_S,
                                .not_after = MACHINE_ROOM_EPOCH_S + 86400,
                                .claims = &claims};
    key_spki(&b->requester, &spki);
    spec.spki = buf_span(&spki);
    must(ca_issue_leaf(&b->mesh, &spec, &chain, &err), &err);
}

static void make_root(struct bench *b) {
    struct err err;
    ca_root_deinit(&b->root);
    must(ca_generate_root(&host_system, MACHINE_ROOM_EPOCH_S, &b->root, &err), &err);
}

static void make_mesh(struct bench *b) {
    struct err err;
    ca_mesh_deinit(&b->mesh);
    must(ca_generate_mesh(&host_system, &b->root, MACHINE_ROOM_EPOCH_S, &b->mesh, &err), &err);
}

static void load_mesh(struct bench *b) {
    struct err err;
    struct ca_mesh mesh = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    key_private_der(&b->mesh.key, &der);
    must(ca_mesh_load(buf_span(&der), buf_span(&b->mesh.mesh_cert), buf_span(&b->mesh.intermediate),
                      &mesh, &err),
         &err);
    ca_mesh_deinit(&mesh);
}

static void sign_set(struct bench *b) {
    struct err err;
    AUTO(buf_deinit)
    struct buf spki = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    key_spki(&b->owner, &spki);
    must(owner_sign(&b->owner, SPAN(b->data), &signature, &err), &err);
    must(owner_verify(SPAN(b->data), buf_span(&spki), buf_span(&signature), &b->manifest, &err),
         &err);
}

static void parse_manifest(struct bench *b) {
    struct manifest m = {0};
    struct err err;
    must(manifest_parse(buf_span(&b->json), &m, &err), &err);
    manifest_deinit(&m);
}

static void open_bench(struct bench *b) {
    struct err err;
    uint8_t owners[1][32];
    struct room_policy policy = {.hash = {1}, .is_coordinator = true, .san = "coordinator"};
    struct room_manifest manifest = {.policies = &policy,
                                     .policy_count = 1,
                                     .owner_digests = (const uint8_t(*)[32])owners,
                                     .owner_count = 1};
    struct pod_identity pod = {.host_data = {1}};
    b->room = machine_room_new(HOSTS);
    b->cache = snp_cache_new();
    machine_room_root(b->roots[0]);
    must(key_generate(KEY_P384, &b->owner, &err), &err);
    key_digest(&b->owner, owners[0]);
    machine_room_manifest(b->room, &manifest, &b->json);
    must(manifest_parse(buf_span(&b->json), &b->manifest, &err), &err);
    for (unsigned i = 0; i < HOSTS; i++) {
        machine_room_pod(b->room, i, &pod, b->specs[i]);
    }
    make_root(b);
    make_mesh(b);
    make_identity(b);
}

static void close_bench(struct bench *b) {
    snp_cache_free(b->cache);
    issuer_evidence_deinit(&b->evidence);
    manifest_deinit(&b->manifest);
    buf_deinit(&b->json);
    key_deinit(&b->owner);
    key_deinit(&b->requester);
    ca_root_deinit(&b->root);
    ca_mesh_deinit(&b->mesh);
    machine_room_free(b->room);
}

int main(int argc, char **argv) {
    static const struct {
        const char *what;
        void (*run)(struct bench *b);
    } all[] = {{"a report", make_report},
               {"evidence judged, chain not known", judge_alone},
               {"evidence judged, chain known", judge_cached},
               {"evidence made and judged both ways, chains known", both_ways},
               {"identity key and its certificate", make_identity},
               {"a leaf issued", issue},
               {"root CA", make_root},
               {"mesh CA and intermediate", make_mesh},
               {"mesh CA loaded", load_mesh},
               {"a set signed and verified, P-384 owner", sign_set},
               {"manifest parsed", parse_manifest}};
    static struct bench b;
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    uint64_t start = now_ns();
    if (rounds == 0 || rounds > 1000000) {
        fprintf(stderr, "usage: contrast-room-bench [ROUNDS], 1 to 1000000\n");
        return 2;
    }
    open_bench(&b);
    printf("%10.1f us  the room itself, once a program\n", (double)(now_ns() - start) / 1e3);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        all[i].run(&b);
        start = now_ns();
        for (unsigned long k = 0; k < rounds; k++) {
            all[i].run(&b);
        }
        printf("%10.1f us  %s\n", (double)(now_ns() - start) / 1e3 / (double)rounds, all[i].what);
    }
    close_bench(&b);
    return 0;
}
