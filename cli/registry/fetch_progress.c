/* Progress of fetching: see fetch_progress.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/fetch_progress.h"

#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#define TERMINAL_MS 100 /* between two looks of a line */
#define JSON_MS 1000
#define MEGA 1000000.0
#define DIGEST_SHOWN 19 /* "sha256:" and twelve digits */

void fetch_progress_init(struct fetch_progress *p, int fd) {
    *p = (struct fetch_progress){.mode = isatty(fd) ? FETCH_PROGRESS_TERMINAL : FETCH_PROGRESS_JSON,
                                 .host = &host_system,
                                 .fd = fd};
}

static void put(const struct fetch_progress *p, struct span text) {
    if (write(p->fd, text.data, text.size) < 0) {
        return; /* nobody watches any more */
    }
}

/* Bytes a second; 0 when no time has passed. */
static uint64_t rate_of(const struct fetch_progress *p, uint64_t now_ms) {
    return now_ms > p->begun_ms ? p->done * 1000 / (now_ms - p->begun_ms) : 0;
}

static void show_line(const struct fetch_progress *p, uint64_t now_ms, const char *outcome) {
    AUTO(buf_deinit)
    struct buf line = {0};
    buf_appendf(&line, "\r\033[K%s layer %zu/%zu %.*s %.1f of %.1f MB, %.1f MB/s", p->image,
                p->layer, p->layers, DIGEST_SHOWN, p->digest, (double)p->done / MEGA,
                (double)p->total / MEGA, (double)rate_of(p, now_ms) / MEGA);
    if (outcome != NULL) {
        buf_appendf(&line, " %s\n", outcome);
    }
    put(p, buf_span(&line));
}

static void show_json(const struct fetch_progress *p, uint64_t now_ms, const char *outcome) {
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:s}", "event", "layer", "image", p->image,
        "layer", (json_int_t)p->layer, "layers", (json_int_t)p->layers, "digest", p->digest,
        "bytes", (json_int_t)p->done, "total", (json_int_t)p->total, "bytes_per_second",
        (json_int_t)rate_of(p, now_ms), "state", outcome != NULL ? outcome : "loading");
    CHECK(o != NULL);
    AUTO(buf_deinit)
    struct buf line = {0};
    char *text = json_dumps(o, JSON_COMPACT);
    CHECK(text != NULL);
    buf_append_str(&line, text);
    buf_append_str(&line, "\n");
    free(text); /* jansson's */
    json_decref(o);
    put(p, buf_span(&line));
}

static void show(struct fetch_progress *p, const char *outcome) {
    uint64_t now_ms = host_monotonic_ms(p->host);
    p->shown_ms = now_ms;
    if (p->mode == FETCH_PROGRESS_TERMINAL) {
        show_line(p, now_ms, outcome);
    } else if (p->mode == FETCH_PROGRESS_JSON) {
        show_json(p, now_ms, outcome);
    }
}

void fetch_progress_begin(struct fetch_progress *p, const char *image, size_t layer, size_t layers,
                          const char *digest, uint64_t total) {
    if (p == NULL) {
        return;
    }
    p->image = image;
    p->layer = layer;
    p->layers = layers;
    p->digest = digest;
    p->total = total;
    p->done = 0;
    p->begun_ms = host_monotonic_ms(p->host);
    show(p, NULL);
}

void fetch_progress_add(struct fetch_progress *p, uint64_t bytes) {
    if (p == NULL || p->mode == FETCH_PROGRESS_QUIET) {
        return;
    }
    p->done += bytes;
    uint64_t gap = p->mode == FETCH_PROGRESS_TERMINAL ? TERMINAL_MS : JSON_MS;
    if (host_monotonic_ms(p->host) - p->shown_ms >= gap) {
        show(p, NULL);
    }
}

void fetch_progress_end(struct fetch_progress *p, const char *outcome) {
    if (p != NULL) {
        show(p, outcome);
    }
}
