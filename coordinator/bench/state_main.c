/* bench-state: a checkpoint of a large deployment, to be recovered into a fresh replica.
 *
 *   manifest and owner key of an application -> FOUND, policies, a signed manifest per generation,
 *   ISSUE entries -> core -> core_save_checkpoint -> sealed for the manifest's share owners
 *
 * Every entry goes through the core as it would in a cluster; keys, certificates and the chain of
 * signatures are real, so replicas and clients accept the state as they do any other. The newest
 * manifest replaces the application's. The founders are made up: a recovery drops them.
 *
 * Exit codes: 0 written; 1 something failed, named on stderr; 2 usage.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "coordinator/core/core.h"
#include "lib/base/file.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"
#include "meshca/ca.h"
#include "meshca/checkpoint.h"

#define PROGRAM "bench-state"
#define FOUNDERS 3
#define FILL_SANS 48  /* of each workload: with FILL_SAN, a manifest as of a large application */
#define FILL_SAN 60   /* bytes */
#define GRANTED_S 900 /* seconds of a certificate */

static const char usage[] =
    "Usage: " PROGRAM " OUT MANIFESTS CERTIFICATES APPLICATION POLICY...\n"
    "Writes a checkpoint with so many generations (1 to 1000) and certificates (0 to 1000000).\n"
    "\n"
    "  APPLICATION  folder with manifest.json and workload-owner.pem; manifest.json becomes the\n"
    "               newest generation\n"
    "  POLICY       files: the policy documents that the manifest names\n";

struct state {
    struct core *core;
    const char *folder;
    struct key owner;
    struct buf owner_spki;
    struct ca_root root;
    json_t *manifest;
    struct arena arena;
    uint64_t index;
    uint64_t sequence;
    uint64_t proposer;
    int64_t time;
    struct buf newest; /* manifest */
};

static RESULT apply(struct state *s, enum entry_type type, const void *body, struct err *err) {
    static struct core_result result;
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(type, body, &entry);
    core_apply(s->core, ++s->index, 1, buf_span(&entry), &result);
    return result.code == ERR_OK
               ? OK
               : err_set(err, result.code, "%s: %s", entry_type_name(type), result.text);
}

static struct entry_request request(struct state *s) {
    return (struct entry_request){s->proposer, ++s->sequence};
}

static struct span keep(struct state *s, struct span bytes) {
    return span_of(arena_strndup(&s->arena, (const char *)bytes.data, bytes.size), bytes.size);
}

static char *text_of(struct state *s, const char *before, unsigned number, const char *after) {
    char text[64];
    int size = snprintf(text, sizeof text, "%s%u%s", before, number, after);
    return arena_strndup(&s->arena, text, (size_t)size);
}

/* ---- the cluster ---- */

static RESULT make_founder(struct state *s, unsigned number, const uint8_t host_data[32],
                           struct entry_member *out, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf spki = {0};
    TRY(key_generate(KEY_P256, &key, err));
    key_spki(&key, &spki);
    *out = (struct entry_member){
        .name = text_of(s, "coordinator-", number, ""),
        .address = text_of(s, "127.0.8.", number, ":7443"),
        .user_address = text_of(s, "127.0.8.", number, ":1313"),
        .spki = keep(s, buf_span(&spki)),
        .evidence = span_str("of a founder that is gone"),
        .version = entry_version,
    };
    out->id = entry_replica_id(out->spki);
    memcpy(out->host_data, host_data, sizeof out->host_data);
    return OK;
}

static int compare_founders(const void *a, const void *b) {
    const struct entry_member *x = a;
    const struct entry_member *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The policy of the Coordinator and the simulated roots are what the manifest says. */
static RESULT found(struct state *s, const struct manifest *m, struct err *err) {
    struct entry_member founders[FOUNDERS];
    struct entry_digest roots[LIMIT_REFERENCE_VALUES] = {0};
    const uint8_t *host_data = NULL;
    for (size_t i = 0; i < m->policy_count; i++) {
        host_data = m->policies[i].role == ROLE_COORDINATOR ? m->policies[i].hash : host_data;
    }
    ENSURE(host_data != NULL, err, MANIFEST, "no policy has the role coordinator");
    for (unsigned i = 0; i < FOUNDERS; i++) {
        TRY(make_founder(s, i + 1, host_data, &founders[i], err));
    }
    qsort(founders, FOUNDERS, sizeof founders[0], compare_founders);
    struct entry_found f = {.founders = {founders, FOUNDERS}, .time = s->time};
    if (m->references[0].simulated_root_count > 0) {
        memcpy(roots[0].digest, m->references[0].simulated_roots[0], sizeof roots[0].digest);
        f.simulated_roots = (struct wire_list){roots, 1};
    }
    entry_cluster_id(founders, FOUNDERS, f.cluster);
    s->proposer = founders[0].id;
    return apply(s, ENTRY_FOUND, &f, err);
}

static RESULT add_policies(struct state *s, char **files, size_t count, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_deinit)
        struct buf document = {0};
        TRY(file_read(files[i], LIMIT_POLICY, &document, err));
        struct entry_blob e = {.request = request(s), .policy = buf_span(&document)};
        sha256(e.policy, e.hash);
        TRY(apply(s, ENTRY_BLOB, &e, err));
    }
    return OK;
}

/* ---- manifests ---- */

/* Each workload gets other names in each generation. */
static RESULT next_manifest(struct state *s, uint64_t generation, struct buf *out,
                            struct err *err) {
    const char *hash = NULL;
    json_t *policy = NULL;
    json_object_foreach(json_object_get(s->manifest, "Policies"), hash, policy) {
        const char *role = json_string_value(json_object_get(policy, "Role"));
        json_t *sans = json_array();
        for (unsigned i = 0; i < FILL_SANS; i++) {
            char san[LIMIT_SAN + 1];
            snprintf(san, sizeof san, "generation-%04u.host-%02u.%0*u.namespace.svc",
                     (unsigned)generation, i, FILL_SAN - 38, i);
            json_array_append_new(sans, json_string(san));
        }
        if (role == NULL || strcmp(role, "coordinator") != 0) {
            json_object_set(policy, "SANs", sans);
        }
        json_decref(sans);
    }
    char *text = json_dumps(s->manifest, JSON_INDENT(2));
    ENSURE(text != NULL, err, MANIFEST, "generation %u: no JSON", (unsigned)generation);
    buf_append_str(out, text);
    free(text);
    return OK;
}

static RESULT sign(struct state *s, const struct manifest *m, uint64_t generation,
                   struct buf *signature, struct err *err) {
    uint8_t hash[32];
    struct transition t = {.epoch = core_epoch(s->core), .generation = generation};
    memcpy(t.cluster, core_cluster(s->core), sizeof t.cluster);
    memcpy(t.previous, core_head(s->core), sizeof t.previous);
    memcpy(t.manifest_hash, m->hash, sizeof t.manifest_hash);
    manifest_policies_hash(m, t.policies_hash);
    transition_hash(&t, hash);
    return transition_sign(hash, &s->owner, signature, err);
}

static RESULT propose(struct state *s, struct span json, uint64_t generation, struct span signature,
                      struct err *err) {
    AUTO(ca_mesh_deinit)
    struct ca_mesh mesh = {0};
    AUTO(buf_deinit)
    struct buf root_key = {0};
    AUTO(buf_deinit)
    struct buf mesh_key = {0};
    uint8_t secret[ENTRY_SECRET];
    TRY(ca_generate_mesh(&host_system, &s->root, s->time, &mesh, err));
    key_private_der(&mesh.key, &mesh_key);
    struct entry_set_manifest e = {.request = request(s),
                                   .manifest = json,
                                   .generation = generation,
                                   .signer = buf_span(&s->owner_spki),
                                   .signature = signature,
                                   .mesh_key = buf_span(&mesh_key),
                                   .mesh_cert = buf_span(&mesh.mesh_cert),
                                   .intermediate = buf_span(&mesh.intermediate),
                                   .time = s->time};
    memcpy(e.previous, core_head(s->core), sizeof e.previous);
    if (generation == 1) {
        key_private_der(&s->root.key, &root_key);
        host_random(&host_system, secret, sizeof secret);
        e.root_key = buf_span(&root_key);
        e.root_cert = buf_span(&s->root.cert);
        e.workload_secret = SPAN(secret);
    }
    return apply(s, ENTRY_SET_MANIFEST, &e, err);
}

static RESULT set(struct state *s, uint64_t generation, struct err *err) {
    AUTO(buf_deinit)
    struct buf signature = {0};
    AUTO(manifest_deinit)
    struct manifest m = {0};
    buf_clear(&s->newest);
    TRY(next_manifest(s, generation, &s->newest, err));
    TRY(manifest_parse(buf_span(&s->newest), &m, err));
    TRY(sign(s, &m, generation, &signature, err));
    return propose(s, buf_span(&s->newest), generation, buf_span(&signature), err);
}

/* ---- certificates ---- */

static RESULT issue(struct state *s, unsigned count, struct err *err) {
    const struct manifest *m = core_manifest(s->core);
    struct entry_issue_request row = {.spki = buf_span(&s->owner_spki), .validity_s = GRANTED_S};
    memcpy(row.policy_hash, m->policies[0].hash, sizeof row.policy_hash);
    for (unsigned i = 0; i < count; i++) {
        row.evidence_digest[0] = (uint8_t)i;
        struct entry_issue e = {.request = request(s),
                                .generation = core_generation(s->core),
                                .requests = {&row, 1},
                                .time = s->time};
        TRY(apply(s, ENTRY_ISSUE, &e, err));
    }
    return OK;
}

/* ---- the file ---- */

static RESULT seal(const struct state *s, const char *path, struct err *err) {
    AUTO(buf_deinit)
    struct buf plaintext = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    const struct manifest *m = core_manifest(s->core);
    struct checkpoint_header h = {
        .epoch = core_epoch(s->core),
        .index = core_applied_index(s->core),
        .term = core_applied_term(s->core),
        .time = core_time(s->core),
        .generation = core_generation(s->core),
        .ledger_size = merkle_log_size(core_ledger(s->core)),
        .threshold = m->share_threshold,
    };
    memcpy(h.cluster, core_cluster(s->core), sizeof h.cluster);
    memcpy(h.head, core_head(s->core), sizeof h.head);
    merkle_log_root(core_ledger(s->core), h.ledger_root);
    sha384(core_ca(s->core).root_cert, h.root_ca);
    core_save_checkpoint(s->core, &plaintext);
    TRY(checkpoint_seal(&host_system, &h, m->share_owners, m->share_owner_count,
                        buf_span(&plaintext), &file, err));
    TRY(file_write(path, buf_span(&file), 0600, err));
    printf("{\"generations\": %llu, \"leaves\": %llu, \"state_bytes\": %zu, "
           "\"manifest_bytes\": %zu}\n",
           (unsigned long long)h.generation, (unsigned long long)h.ledger_size, plaintext.size,
           s->newest.size);
    return OK;
}

static RESULT load(struct state *s, struct err *err) {
    char path[LIMIT_PATH + 1];
    AUTO(buf_deinit)
    struct buf json = {0};
    AUTO(buf_deinit)
    struct buf pem = {0};
    snprintf(path, sizeof path, "%s/manifest.json", s->folder);
    TRY(file_read(path, LIMIT_MANIFEST, &json, err));
    s->manifest = json_loadb((const char *)json.data, json.size, 0, NULL);
    ENSURE(s->manifest != NULL, err, CONFIG, "%s: no JSON", path);
    snprintf(path, sizeof path, "%s/workload-owner.pem", s->folder);
    TRY(file_read(path, LIMIT_PEM, &pem, err));
    TRY(key_from_pem(buf_span(&pem), &s->owner, err));
    key_spki(&s->owner, &s->owner_spki);
    return ca_generate_root(&host_system, s->time, &s->root, err);
}

static RESULT write_manifest(const struct state *s, struct err *err) {
    char path[LIMIT_PATH + 1];
    snprintf(path, sizeof path, "%s/manifest.json", s->folder);
    return file_write(path, buf_span(&s->newest), 0600, err);
}

static RESULT run(struct state *s, const char *out, unsigned manifests, unsigned certificates,
                  char **policies, size_t policy_count, struct err *err) {
    AUTO(manifest_deinit)
    struct manifest first = {0};
    AUTO(buf_deinit)
    struct buf json = {0};
    TRY(load(s, err));
    TRY(next_manifest(s, 1, &json, err));
    TRY(manifest_parse(buf_span(&json), &first, err));
    TRY(found(s, &first, err));
    TRY(add_policies(s, policies, policy_count, err));
    for (unsigned i = 1; i <= manifests; i++) {
        TRY(set(s, i, err));
    }
    TRY(issue(s, certificates, err));
    TRY(seal(s, out, err));
    return write_manifest(s, err);
}

static bool parse_number(const char *text, unsigned least, unsigned most, unsigned *out) {
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    *out = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value >= least && value <= most;
}

int main(int argc, char **argv) {
    unsigned manifests = 0;
    unsigned certificates = 0;
    if (argc < 6 || !parse_number(argv[2], 1, LIMIT_HISTORY, &manifests) ||
        !parse_number(argv[3], 0, LIMIT_LEDGER, &certificates)) {
        fputs(usage, stderr);
        return 2;
    }
    struct err err = {0};
    struct state s = {.core = core_new(), .folder = argv[4], .time = (int64_t)time(NULL)};
    struct result done =
        run(&s, argv[1], manifests, certificates, argv + 5, (size_t)argc - 5, &err);
    if (!is_ok(done)) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
    }
    core_free(s.core);
    key_deinit(&s.owner);
    buf_deinit(&s.owner_spki);
    ca_root_deinit(&s.root);
    json_decref(s.manifest);
    buf_deinit(&s.newest);
    arena_deinit(&s.arena);
    return is_ok(done) ? 0 : 1;
}
