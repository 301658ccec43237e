/* contrast sign.
 *
 *   --prepare   verified replica -> cluster, epoch, generation, head -> bytes to be signed -> file
 *   --out       such a file and a key -> raw signature -> file
 *
 * What is signed is "contrast-set-v1\0" and the transition (docs/wire.md, section 5): 48 bytes that
 * only fit the manifest of the workspace on top of the head that was verified. Exit 2: files; 1:
 * nobody answers; 3: the Coordinator is refused, or the head is not the one that was seen last.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_sign.h"

#include <inttypes.h>
#include <string.h>

#include "cli/owner_key.h"
#include "cli/trust.h"
#include "lib/base/file.h"

#define PREPARED_SIZE (16 + 32) /* the domain with its NUL, and a transition */

struct sign_run {
    struct cli *cli;
    const char *coordinators;
    const char *manifest;
    const char *key;
    const char *prepare;
    const char *out;
    struct cli_list files;
    struct trust trust;
    struct dial *dial;
    struct remote remote;
    struct transition next;
    uint8_t transition[32];
};

static void hang_up(struct sign_run *run) {
    remote_deinit(&run->remote);
    run->remote = (struct remote){0};
    dial_close(run->dial);
    run->dial = NULL;
}

/* ---- prepare ---- */

static RESULT contact(struct sign_run *run, const struct dial_address *address, struct err *err) {
    hang_up(run);
    TRY(dial_open(address, &run->dial, err));
    TRY(trust_judge(&run->trust, run->dial, TRUST_BY_NEWEST, &run->remote, err));
    ENSURE(run->remote.history->generation > 0, err, NOT_FOUNDED,
           "%s has no manifest: the first set founds the cluster, and is signed by `contrast set` "
           "itself",
           address->text);
    return OK;
}

static RESULT contact_any(struct sign_run *run, struct err *err) {
    struct dial_list addresses;
    TRY(dial_parse(run->coordinators, &addresses, err));
    struct result r = OK;
    for (size_t i = 0; i < addresses.count; i++) {
        r = contact(run, &addresses.items[i], err);
        if (err_exit_code(r.code) != 1) {
            return r;
        }
        if (i + 1 < addresses.count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

/* An owner signs on top of what the workspace has seen, not of what a server shows. */
static RESULT check_seen(const struct sign_run *run, struct err *err) {
    uint8_t seen[32];
    bool found = false;
    TRY(workspace_read_digest(run->cli->workspace, WORKSPACE_TRANSITION, seen, &found, err));
    ENSURE(found, err, CONFIG,
           "this workspace does not say which transition was seen last: run `contrast verify` "
           "first");
    ENSURE(memcmp(seen, run->remote.verdict.head, 32) == 0, err, CHANGED,
           "changed since you looked: generation %" PRIu64
           " is active; run `contrast verify`, look at what changed, then prepare again",
           run->remote.history->generation);
    return OK;
}

static void fill_next(struct sign_run *run) {
    const struct client_history *h = run->remote.history;
    struct transition *t = &run->next;
    *t = (struct transition){.epoch = h->epoch, .generation = h->generation + 1};
    memcpy(t->cluster, h->cluster, sizeof t->cluster);
    memcpy(t->previous, run->remote.verdict.head, sizeof t->previous);
    memcpy(t->manifest_hash, run->trust.own.hash, sizeof t->manifest_hash);
    manifest_policies_hash(&run->trust.own, t->policies_hash);
    transition_hash(t, run->transition);
}

static void print_prepared(struct sign_run *run) {
    const struct transition *t = &run->next;
    char cluster[65];
    char previous[65];
    char transition[65];
    char manifest[65];
    hex_encode(SPAN(t->cluster), cluster);
    hex_encode(SPAN(t->previous), previous);
    hex_encode(SPAN(run->transition), transition);
    hex_encode(SPAN(t->manifest_hash), manifest);
    if (run->cli->json) {
        cli_print_json(run->cli,
                       json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "file", run->prepare,
                                 "cluster", cluster, "epoch", (json_int_t)t->epoch, "generation",
                                 (json_int_t)t->generation, "previous", previous, "transition",
                                 transition, "manifest_sha256", manifest));
        return;
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    buf_appendf(&out,
                "✔ Wrote the %d bytes to be signed to %s\n  cluster     %s, epoch %" PRIu64
                "\n  generation  %" PRIu64 ", after %s\n  manifest    %s\n  transition  %s\n",
                PREPARED_SIZE, run->prepare, cluster, t->epoch, t->generation, previous, manifest,
                transition);
    cli_print_text(buf_span(&out));
}

static RESULT prepare(struct sign_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    ENSURE(run->files.count == 0 && run->key == NULL, err, USAGE,
           "--prepare takes no key and no PREPARED file; see --help");
    TRY(trust_load(run->cli->workspace, run->manifest, true, &run->trust, err));
    TRY(contact_any(run, err));
    TRY(check_seen(run, err));
    fill_next(run);
    transition_signed_bytes(run->transition, &bytes);
    CHECK(bytes.size == PREPARED_SIZE);
    TRY(file_write(run->prepare, buf_span(&bytes), 0644, err));
    print_prepared(run);
    return OK;
}

/* ---- sign ---- */

static RESULT read_prepared(const char *path, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf like = {0};
    static const uint8_t none[32];
    transition_signed_bytes(none, &like);
    struct result r = file_read(path, PREPARED_SIZE + 1, out, err);
    ENSURE(r.code != ERR_NOT_FOUND, err, CONFIG, "%s: no such file", path);
    ENSURE(is_ok(r) && out->size == PREPARED_SIZE &&
               memcmp(out->data, like.data, PREPARED_SIZE - sizeof none) == 0,
           err, INVALID, "%s: is not what `contrast sign --prepare` writes", path);
    return OK;
}

static RESULT make_signature(struct sign_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf prepared = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    AUTO(owner_key_deinit)
    struct owner_key key = {0};
    ENSURE(run->files.count == 1, err, USAGE, "--out needs the one file that --prepare wrote");
    TRY(read_prepared(run->files.items[0], &prepared, err));
    TRY(owner_key_load(run->cli->workspace, run->key, &key, err));
    TRY(owner_key_sign(&key, buf_span(&prepared), &signature, err));
    TRY(file_write(run->out, buf_span(&signature), 0644, err));
    char signer[65];
    hex_encode(SPAN(key.digest), signer);
    if (run->cli->json) {
        cli_print_json(run->cli, json_pack("{s:s, s:s}", "file", run->out, "signer", signer));
    } else {
        struct buf text = {0};
        buf_appendf(&text, "✔ Wrote the signature of %s to %s\n", signer, run->out);
        cli_print_text(buf_span(&text));
        buf_deinit(&text);
    }
    return OK;
}

static RESULT sign(struct sign_run *run, int argc, char **argv, struct err *err) {
    const struct cli_option options[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&run->coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&run->manifest},
        {"workload-owner-key", 0, CLI_STRING, (void *)&run->key},
        {"prepare", 0, CLI_STRING, (void *)&run->prepare},
        {"out", 0, CLI_STRING, (void *)&run->out},
    };
    TRY(cli_parse(run->cli, options, sizeof options / sizeof options[0], argc, argv, &run->files,
                  err));
    ENSURE((run->prepare == NULL) != (run->out == NULL), err, USAGE,
           "want either --prepare or --out; see --help");
    return run->prepare != NULL ? prepare(run, err) : make_signature(run, err);
}

struct result cmd_sign(struct cli *cli, int argc, char **argv, struct err *err) {
    struct sign_run *run = mem_zalloc(sizeof *run);
    run->cli = cli;
    struct result r = sign(run, argc, argv, err);
    hang_up(run);
    trust_deinit(&run->trust);
    mem_free(run);
    return r;
}
