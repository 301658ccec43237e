/* Progress of fetching: see fetch_progress.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/fetch_progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/base/log.h"

#define TERMINAL_MS 100 /* between two looks of the lines */
#define JSON_MS 1000
#define MEGA 1000000.0
#define DIGEST_PREFIX 7 /* "sha256:" */
#define DIGEST_SHOWN 12 /* digits */
#define COLUMNS 80      /* of a terminal that does not say */
#define ROWS 24
#define ROWS_LEAST 4

static void put(const struct fetch_progress *p, struct span text) {
    if (text.size > 0 && write(p->fd, text.data, text.size) < 0) {
        return; /* nobody watches any more */
    }
}

/* Bytes a second; 0 when no time has passed. */
static uint64_t rate_of(const struct fetch_progress_line *l, uint64_t now_ms) {
    return now_ms > l->begun_ms ? l->done * 1000 / (now_ms - l->begun_ms) : 0;
}

/* ---- a terminal ---- */

static struct winsize size_of(const struct fetch_progress *p) {
    struct winsize w = {0};
    if (ioctl(p->fd, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0) {
        w = (struct winsize){.ws_col = COLUMNS, .ws_row = ROWS};
    }
    return w;
}

/* Without a line feed; `columns` 0 = not cut. */
static void append_line(const struct fetch_progress_line *l, uint64_t now_ms, const char *outcome,
                        size_t columns, struct buf *out) {
    AUTO(buf_deinit)
    struct buf line = {0};
    buf_appendf(&line, "%7.1f of %7.1f MB %7.1f MB/s  layer %zu/%zu of %s (%.*s)%s%s",
                (double)l->done / MEGA, (double)l->total / MEGA, (double)rate_of(l, now_ms) / MEGA,
                l->layer, l->layers, l->image, DIGEST_SHOWN, l->digest + DIGEST_PREFIX,
                outcome != NULL ? " " : "", outcome != NULL ? outcome : "");
    size_t size = columns > 0 && line.size > columns ? columns : line.size;
    buf_append(out, line.data, size);
}

/* Takes the lines off the terminal. */
static void append_erase(struct fetch_progress *p, struct buf *out) {
    if (p->drawn > 0) {
        buf_appendf(out, "\033[%zuA\r\033[J", p->drawn);
        p->drawn = 0;
    }
}

static void append_lines(struct fetch_progress *p, uint64_t now_ms, struct buf *out) {
    struct winsize w = size_of(p);
    size_t rows = w.ws_row > ROWS_LEAST ? w.ws_row - 2U : ROWS_LEAST - 2U;
    size_t columns = w.ws_col - 1U;
    size_t hidden = 0;
    for (const struct fetch_progress_line *l = p->lines; l != NULL; l = l->next) {
        if (p->drawn == rows) {
            hidden++;
            continue;
        }
        append_line(l, now_ms, NULL, columns > 0 ? columns : 1, out);
        buf_append_str(out, "\n");
        p->drawn++;
    }
    if (hidden > 0) {
        buf_appendf(out, "... and %zu more\n", hidden);
        p->drawn++;
    }
    p->drawn_ms = now_ms;
}

/* One write(2): the lines again, above them `above`, which may be NULL. */
static void draw(struct fetch_progress *p, const char *above) {
    AUTO(buf_deinit)
    struct buf out = {0};
    append_erase(p, &out);
    if (above != NULL) {
        buf_append_str(&out, above);
        buf_append_str(&out, "\n");
    }
    append_lines(p, host_monotonic_ms(p->host), &out);
    put(p, buf_span(&out));
}

static void on_log(void *data, enum log_level level, const char *line) {
    struct fetch_progress *p = data;
    (void)level;
    pthread_mutex_lock(&p->mutex);
    draw(p, line);
    pthread_mutex_unlock(&p->mutex);
}

/* ---- elsewhere ---- */

static void show_json(const struct fetch_progress_line *l, uint64_t now_ms, const char *outcome) {
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:s}", "event", "layer", "image", l->image,
        "layer", (json_int_t)l->layer, "layers", (json_int_t)l->layers, "digest", l->digest,
        "bytes", (json_int_t)l->done, "total", (json_int_t)l->total, "bytes_per_second",
        (json_int_t)rate_of(l, now_ms), "state", outcome != NULL ? outcome : "loading");
    CHECK(o != NULL);
    AUTO(buf_deinit)
    struct buf line = {0};
    char *text = json_dumps(o, JSON_COMPACT);
    CHECK(text != NULL);
    buf_append_str(&line, text);
    buf_append_str(&line, "\n");
    free(text); /* jansson's */
    json_decref(o);
    put(l->progress, buf_span(&line));
}

/* ---- the interface ---- */

void fetch_progress_init(struct fetch_progress *p, enum fetch_progress_mode mode, int fd) {
    enum fetch_progress_mode found = isatty(fd) ? FETCH_PROGRESS_TERMINAL : FETCH_PROGRESS_JSON;
    *p = (struct fetch_progress){
        .mode = mode == FETCH_PROGRESS_AUTO ? found : mode, .host = &host_system, .fd = fd};
    CHECK(pthread_mutex_init(&p->mutex, NULL) == 0);
    p->has_log = p->mode == FETCH_PROGRESS_TERMINAL;
    if (p->has_log) {
        log_set_sink(on_log, p);
    }
}

void fetch_progress_deinit(struct fetch_progress *p) {
    if (p->has_log) {
        log_set_sink(NULL, NULL);
        p->has_log = false;
    }
    pthread_mutex_destroy(&p->mutex);
}

/* The mutex is held. `outcome` NULL: it goes on. */
static void show(struct fetch_progress_line *l, const char *outcome) {
    struct fetch_progress *p = l->progress;
    l->shown_ms = host_monotonic_ms(p->host);
    if (p->mode == FETCH_PROGRESS_JSON) {
        show_json(l, l->shown_ms, outcome);
    } else if (p->mode == FETCH_PROGRESS_TERMINAL) {
        bool is_new = outcome != NULL && strcmp(outcome, "cached") != 0;
        AUTO(buf_deinit)
        struct buf last = {0};
        if (is_new) {
            append_line(l, l->shown_ms, outcome, 0, &last);
        }
        draw(p, is_new ? buf_cstr(&last) : NULL);
    }
}

void fetch_progress_begin(struct fetch_progress *p, struct fetch_progress_line *line) {
    line->progress = p;
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->mutex);
    line->done = 0;
    line->begun_ms = host_monotonic_ms(p->host);
    line->next = NULL;
    struct fetch_progress_line **end = &p->lines;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = line;
    show(line, NULL);
    pthread_mutex_unlock(&p->mutex);
}

void fetch_progress_add(struct fetch_progress_line *line, uint64_t bytes) {
    struct fetch_progress *p = line->progress;
    if (p == NULL || p->mode == FETCH_PROGRESS_QUIET) {
        return;
    }
    pthread_mutex_lock(&p->mutex);
    line->done += bytes;
    bool is_terminal = p->mode == FETCH_PROGRESS_TERMINAL;
    uint64_t last_ms = is_terminal ? p->drawn_ms : line->shown_ms;
    if (host_monotonic_ms(p->host) - last_ms >= (is_terminal ? TERMINAL_MS : JSON_MS)) {
        show(line, NULL);
    }
    pthread_mutex_unlock(&p->mutex);
}

void fetch_progress_restart(struct fetch_progress_line *line) {
    struct fetch_progress *p = line->progress;
    if (p != NULL) {
        pthread_mutex_lock(&p->mutex);
        line->done = 0;
        line->begun_ms = host_monotonic_ms(p->host);
        pthread_mutex_unlock(&p->mutex);
    }
}

void fetch_progress_end(struct fetch_progress_line *line, const char *outcome) {
    struct fetch_progress *p = line->progress;
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->mutex);
    struct fetch_progress_line **at = &p->lines;
    while (*at != NULL && *at != line) {
        at = &(*at)->next;
    }
    CHECK(*at == line);
    *at = line->next;
    show(line, outcome);
    pthread_mutex_unlock(&p->mutex);
}
