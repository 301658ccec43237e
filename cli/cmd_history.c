/* contrast history.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_history.h"

#include <inttypes.h>

#include "cli/trust.h"
#include "lib/crypto/digest.h"

/* One generation in hexadecimal. */
struct line {
    char transition[65];
    char manifest[65];
    char signer[65];
};

static void fill(const struct remote *r, size_t index, struct line *out) {
    const struct transition_record *record = &r->history->records[index];
    uint8_t digest[32];
    hex_encode(span_of(r->heads[index], 32), out->transition);
    sha256(record->manifest, digest);
    hex_encode(SPAN(digest), out->manifest);
    sha256(record->spki, digest);
    hex_encode(SPAN(digest), out->signer);
}

/* Who permitted a recovery: SHA-256 of each share owner's key. */
static json_t *owners_to_json(const struct transition_recovery *t) {
    json_t *list = json_array();
    for (size_t i = 0; i < t->signature_count; i++) {
        uint8_t digest[32];
        char hex[65];
        sha256(t->signatures[i].key, digest);
        hex_encode(SPAN(digest), hex);
        json_array_append_new(list, json_string(hex));
    }
    return list;
}

static void print_json(struct cli *cli, const struct remote *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->history->count; i++) {
        struct line line;
        fill(r, i, &line);
        json_array_append_new(list, json_pack("{s:I, s:s, s:s, s:s}", "generation",
                                              (json_int_t)i + 1, "transition", line.transition,
                                              "manifest", line.manifest, "signer", line.signer));
    }
    json_t *recoveries = json_array();
    for (size_t i = 0; i < r->history->recovery_count; i++) {
        const struct transition_recovery *t = &r->history->recoveries[i];
        json_t *row = recoveries_to_json(&t->recovery);
        json_object_set_new(row, "share_owners", owners_to_json(t));
        json_array_append_new(recoveries, row);
    }
    cli_print_json(cli,
                   json_pack("{s:b, s:I, s:o, s:o}", "simulated", r->verdict.peer.verdict.simulated,
                             "epoch", (json_int_t)r->history->epoch, "history", list, "recoveries",
                             recoveries));
}

/* The recoveries that stand behind this generation. */
static void append_recoveries(struct buf *out, const struct remote *r, uint64_t generation) {
    for (size_t i = 0; i < r->history->recovery_count; i++) {
        const struct transition_recovery *t = &r->history->recoveries[i];
        uint8_t digest[32];
        char hash[65];
        if (t->recovery.generation != generation) {
            continue;
        }
        recovery_hash(&t->recovery, digest);
        hex_encode(SPAN(digest), hash);
        buf_appendf(out,
                    "     epoch %" PRIu64 " began here: recovered (%s) at log index %" PRIu64
                    ", by %zu share owners, recovery %s\n",
                    t->recovery.epoch, recovery_mode_name(t->recovery.mode), t->recovery.index,
                    t->signature_count, hash);
    }
}

static void print_text(const struct remote *r) {
    AUTO(buf_deinit)
    struct buf out = {0};
    if (r->verdict.peer.verdict.simulated) {
        buf_append_str(&out, "SIMULATED: the root is not AMD's\n");
    }
    buf_appendf(&out, "%3s  %-64s  %-64s  %-64s\n", "GEN", "TRANSITION", "MANIFEST", "SIGNER");
    for (size_t i = 0; i < r->history->count; i++) {
        struct line line;
        fill(r, i, &line);
        buf_appendf(&out, "%3zu  %s  %s  %s\n", i + 1, line.transition, line.manifest, line.signer);
        append_recoveries(&out, r, i + 1);
    }
    cli_print_text(buf_span(&out));
}

static RESULT show(struct cli *cli, const struct trust *trust, struct dial *dial,
                   struct remote *remote, struct err *err) {
    ENSURE(dial_history(dial)->generation > 0, err, NOT_FOUNDED, "%s: no manifest is set yet",
           dial_text(dial));
    TRY(trust_judge(trust, dial, TRUST_BY_NEWEST, remote, err));
    if (cli->json) {
        print_json(cli, remote);
    } else {
        print_text(remote);
    }
    return OK;
}

struct result cmd_history(struct cli *cli, int argc, char **argv, struct err *err) {
    const char *coordinators = NULL;
    const char *manifest = NULL;
    const struct cli_option options[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&manifest},
    };
    AUTO(trust_deinit)
    struct trust trust = {0};
    struct dial_list addresses;
    struct dial *dial = NULL;
    struct remote remote = {0};
    TRY(cli_parse(cli, options, sizeof options / sizeof options[0], argc, argv, NULL, err));
    TRY(dial_parse(coordinators, &addresses, err));
    ENSURE(addresses.count == 1, err, USAGE, "--coordinator: one address, please");
    TRY(trust_load(cli->workspace, manifest, true, &trust, err));
    TRY(dial_open(&addresses.items[0], &dial, err));
    struct result r = show(cli, &trust, dial, &remote, err);
    remote_deinit(&remote);
    dial_close(dial);
    return r;
}
