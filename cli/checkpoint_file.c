/* Checkpoint file: see checkpoint_file.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/checkpoint_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "lib/base/file.h"
#include "lib/crypto/digest.h"

void checkpoint_file_deinit(struct checkpoint_file *f) {
    buf_deinit(&f->bytes);
    arena_deinit(&f->arena);
    *f = (struct checkpoint_file){0};
}

static RESULT parse(struct checkpoint_file *f, struct err *err) {
    struct span ciphertext;
    return checkpoint_parse(buf_span(&f->bytes), &f->arena, &f->header, &ciphertext, err);
}

/* ---- fetching ---- */

static RESULT fetch_piece(struct dial *d, struct api_checkpoint *ask, uint64_t *size,
                          struct buf *bytes, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_checkpoint_reply reply;
    struct dial_call call = {API_CHECKPOINT,       &api_checkpoint_type,       ask,
                             API_CHECKPOINT_REPLY, &api_checkpoint_reply_type, &reply};
    TRY(dial_ask(d, &call, &arena, err));
    bool is_first = ask->offset == 0;
    ENSURE(reply.size <= LIMIT_CHECKPOINT, err, TOO_LARGE, "%" PRIu64 " bytes, limit %d",
           reply.size, LIMIT_CHECKPOINT);
    ENSURE(is_first || (reply.size == *size &&
                        memcmp(reply.file_id, ask->file_id, sizeof ask->file_id) == 0),
           err, PROTOCOL, "a piece of another file");
    ENSURE(reply.offset == ask->offset && reply.data.size > 0 &&
               reply.data.size <= reply.size - reply.offset,
           err, PROTOCOL, "a piece of %zu bytes at %" PRIu64 " of %" PRIu64, reply.data.size,
           reply.offset, reply.size);
    buf_append_span(bytes, reply.data);
    memcpy(ask->file_id, reply.file_id, sizeof ask->file_id);
    ask->offset += reply.data.size;
    *size = reply.size;
    return OK;
}

static RESULT check_state(const struct checkpoint_header *h, const struct position *p,
                          struct err *err) {
    ENSURE(memcmp(h->cluster, p->cluster, 32) == 0 && h->epoch == p->epoch, err, DIFFERS,
           "it is of another cluster or epoch");
    bool is_head = h->generation != p->generation || memcmp(h->head, p->head, 32) == 0;
    ENSURE(h->generation >= p->generation && is_head, err, DIFFERS,
           "it is not of the history that was verified (generation %" PRIu64 ", verified %" PRIu64
           ")",
           h->generation, p->generation);
    /* Not the index: a position counts the log's own entries, a state ends with a command. */
    ENSURE(h->ledger_size >= p->ledger_size, err, DIFFERS,
           "it lies before the position that was verified");
    return OK;
}

/* The owners in the file must be those of the manifest, when it is of that very manifest. */
static RESULT check_owners(const struct checkpoint_header *h, const struct manifest *m,
                           struct err *err) {
    const struct checkpoint_share *shares = h->shares.items;
    ENSURE(h->threshold == m->share_threshold && h->shares.count == m->share_owner_count, err,
           DIFFERS, "it is sealed for %zu share owners, %" PRIu64 " needed, not as in the manifest",
           h->shares.count, h->threshold);
    for (size_t i = 0; i < h->shares.count; i++) {
        uint8_t digest[32];
        sha256(m->share_owners[i], digest);
        ENSURE(memcmp(digest, shares[i].owner, 32) == 0, err, DIFFERS,
               "share %zu is not of the manifest's share owner", i + 1);
    }
    return OK;
}

static RESULT fetch(struct dial *d, const struct remote *remote, struct checkpoint_file *f,
                    struct err *err) {
    struct api_checkpoint ask = {.offset = 0};
    uint64_t size = 0;
    do {
        TRY(fetch_piece(d, &ask, &size, &f->bytes, err));
    } while (ask.offset < size);
    TRY(parse(f, err));
    TRY(check_state(&f->header, &remote->position, err));
    return f->header.generation == remote->position.generation
               ? check_owners(&f->header, &remote->verdict.latest, err)
               : OK;
}

struct result checkpoint_file_fetch(struct dial *d, const struct remote *remote,
                                    struct checkpoint_file *out, struct err *err) {
    AUTO(checkpoint_file_deinit)
    struct checkpoint_file f = {0};
    ENSURE(!remote->verdict.has_latest || remote->verdict.latest.share_owner_count > 0, err,
           NOT_FOUND,
           "the manifest names no share owners: nobody could open a checkpoint (see `contrast "
           "generate --add-seedshare-owner-key`)");
    TRY(err_wrap(fetch(d, remote, &f, err), err, "%s: checkpoint", dial_text(d)));
    *out = f;
    f = (struct checkpoint_file){0};
    return OK;
}

/* ---- files ---- */

struct result checkpoint_file_read(const char *path, struct checkpoint_file *out, struct err *err) {
    AUTO(checkpoint_file_deinit)
    struct checkpoint_file f = {0};
    struct result r = file_read(path, LIMIT_CHECKPOINT, &f.bytes, err);
    ENSURE(r.code != ERR_NOT_FOUND, err, CONFIG, "%s: no such file", path);
    TRY(r);
    r = parse(&f, err);
    if (!is_ok(r)) {
        struct err cause = *err;
        return err_set(err, ERR_INVALID, "%s: is no whole checkpoint file: %.600s", path,
                       cause.text);
    }
    *out = f;
    f = (struct checkpoint_file){0};
    return OK;
}

struct result checkpoint_file_write(const struct checkpoint_file *f, const char *path,
                                    struct err *err) {
    return file_write(path, buf_span(&f->bytes), 0600, err);
}

struct result checkpoint_file_keep(const struct checkpoint_file *f, const char *workspace,
                                   struct err *err) {
    struct workspace_path path = {0};
    struct workspace_path before = {0};
    bool found = false;
    uint8_t unused[32];
    /* makes verify/ where needed, and refuses a workspace that is none */
    TRY(workspace_read_digest(workspace, WORKSPACE_TRANSITION, unused, &found, err));
    TRY(workspace_locate(workspace, CHECKPOINT_FILE, &path, err));
    TRY(workspace_locate(workspace, CHECKPOINT_FILE_BEFORE, &before, err));
    ENSURE(rename(path.text, before.text) == 0 || errno == ENOENT, err, IO, "%s: %s", path.text,
           strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
    return checkpoint_file_write(f, path.text, err);
}

/* ---- describing ---- */

static void time_text(int64_t time, char out[32]) {
    time_t seconds = (time_t)time;
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        (void)snprintf(out, 32, "%" PRId64, time);
    }
}

void checkpoint_file_describe(const struct checkpoint_file *f, struct buf *out) {
    const struct checkpoint_header *h = &f->header;
    const struct checkpoint_share *shares = h->shares.items;
    char cluster[65];
    char head[65];
    char time[32];
    hex_encode(SPAN(h->cluster), cluster);
    hex_encode(SPAN(h->head), head);
    time_text(h->time, time);
    buf_appendf(out, "cluster     %s, epoch %" PRIu64 "\n", cluster, h->epoch);
    buf_appendf(out, "manifest    generation %" PRIu64 ", transition %s\n", h->generation, head);
    buf_appendf(out, "state       of %s, log index %" PRIu64 ", ledger %" PRIu64 ", %zu bytes\n",
                time, h->index, h->ledger_size, f->bytes.size);
    buf_appendf(out, "opened by   %" PRIu64 " of %zu share owners\n", h->threshold,
                h->shares.count);
    for (size_t i = 0; i < h->shares.count; i++) {
        char owner[65];
        hex_encode(SPAN(shares[i].owner), owner);
        buf_appendf(out, "            %s\n", owner);
    }
}

json_t *checkpoint_file_to_json(const struct checkpoint_file *f) {
    const struct checkpoint_header *h = &f->header;
    const struct checkpoint_share *shares = h->shares.items;
    char cluster[65];
    char head[65];
    char root[97];
    hex_encode(SPAN(h->cluster), cluster);
    hex_encode(SPAN(h->head), head);
    hex_encode(SPAN(h->ledger_root), root);
    json_t *owners = json_array();
    for (size_t i = 0; i < h->shares.count; i++) {
        char owner[65];
        hex_encode(SPAN(shares[i].owner), owner);
        json_array_append_new(owners, json_string(owner));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:s, s:I, s:o, s:I}", "cluster", cluster,
                     "epoch", (json_int_t)h->epoch, "index", (json_int_t)h->index, "time",
                     (json_int_t)h->time, "generation", (json_int_t)h->generation, "transition",
                     head, "ledger_size", (json_int_t)h->ledger_size, "ledger_root", root,
                     "threshold", (json_int_t)h->threshold, "share_owners", owners, "size",
                     (json_int_t)f->bytes.size);
}
