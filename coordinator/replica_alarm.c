/* Alarms: what a person must know and nobody can settle alone, told to all members and shown by the
 * status of each. See replica.h.
 *
 * The newest LIMIT_ALARMS are kept; the same one again (about whom, by whom, code) is renewed and
 * not logged again. Alarms change no replicated state.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "coordinator/replica_frames.h"
#include "coordinator/replica_internal.h"
#include "lib/base/log.h"

static void copy_text(char *out, size_t size, const char *text) {
    size_t n = strlen(text);
    n = n < size ? n : size - 1;
    while (n > 0 && n < strlen(text) && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--; /* not in the middle of a character */
    }
    memcpy(out, text, n);
    out[n] = 0;
}

static const char *name_of(const struct replica *r, uint64_t id) {
    const struct entry_member *m = replica_find_member(r, id);
    return id == r->options.id ? r->options.name : m == NULL ? "" : m->name;
}

static struct alarm *find(struct replica *r, uint64_t id, uint64_t by, const char *code) {
    for (size_t i = 0; i < r->alarm_count; i++) {
        struct alarm *a = &r->alarms[i];
        if (a->id == id && a->by == by && strcmp(a->code, code) == 0) {
            return a;
        }
    }
    return NULL;
}

static struct alarm *append(struct replica *r) {
    if (r->alarm_count == LIMIT_ALARMS) {
        memmove(r->alarms, r->alarms + 1, (LIMIT_ALARMS - 1) * sizeof r->alarms[0]);
        r->alarm_count--;
    }
    return &r->alarms[r->alarm_count++];
}

static void note(struct replica *r, uint64_t id, uint64_t by, const char *code, const char *text) {
    struct alarm *a = find(r, id, by, code);
    bool is_new = a == NULL;
    if (is_new) {
        a = append(r);
        *a = (struct alarm){.id = id, .by = by};
        copy_text(a->code, sizeof a->code, code);
        copy_text(a->name, sizeof a->name, name_of(r, id));
        copy_text(a->by_name, sizeof a->by_name, name_of(r, by));
    }
    copy_text(a->text, sizeof a->text, text);
    a->time = host_unix_s(r->host);
    if (is_new) {
        log_error("ALARM: %s, about %s id=%llu, says %s: %s", a->code, a->name,
                  (unsigned long long)id, a->by_name, a->text);
    }
}

void replica__alarm(struct replica *r, uint64_t id, const char *code, const char *text) {
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(arena_deinit)
    struct arena arena = {0};
    char cut[LIMIT_ALARM_TEXT + 1];
    bool is_new = find(r, id, r->options.id, code) == NULL;
    note(r, id, r->options.id, code, text);
    if (!is_new) {
        return; /* the others know */
    }
    copy_text(cut, sizeof cut, text);
    struct replica_alarm_frame frame = {.id = id,
                                        .code = arena_strndup(&arena, code, strlen(code)),
                                        .text = arena_strndup(&arena, cut, strlen(cut))};
    replica_alarm_encode(&frame, &body);
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].is_up) {
            r->io.send(r->io.data, r->links[i].id, REPLICA_ALARM, buf_span(&body));
        }
    }
}

void replica_alarm(struct replica *r, uint64_t id, const char *code, const char *text) {
    replica__alarm(r, id, code, text);
}

void replica__alarm_received(struct replica *r, uint64_t peer, struct span body) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct replica_alarm_frame frame;
    struct err err;
    if (!is_ok(replica_alarm_decode(body, &arena, &frame, &err))) {
        replica__complain(r, peer, "alarm", &err);
        return;
    }
    if (core_find_member(r->core, peer) != NULL) {
        err_clean(frame.code);
        err_clean(frame.text);
        note(r, frame.id, peer, frame.code, frame.text);
    }
}

/* What is wrong about a member is shown beside the fact that the cluster has it. */
static char *shown_text(const struct replica *r, const struct alarm *a, struct arena *arena) {
    char text[sizeof a->text + sizeof a->by_name + 64];
    const char *fact = core_find_member(r->core, a->id) == NULL || strcmp(a->code, "CLOCK") == 0
                           ? ""
                           : "admitted by the leader; ";
    if (fact[0] == 0) {
        return arena_strndup(arena, a->text, strlen(a->text));
    }
    snprintf(text, sizeof text, "%srefused by %s: %s", fact, a->by_name, a->text);
    return arena_strndup(arena, text, strlen(text));
}

void replica__alarms_fill(const struct replica *r, struct arena *arena, struct wire_list *out) {
    struct api_alarm *items = arena_alloc(arena, (r->alarm_count + 1) * sizeof *items);
    for (size_t i = 0; i < r->alarm_count; i++) {
        const struct alarm *a = &r->alarms[i];
        items[i] = (struct api_alarm){.id = a->id,
                                      .name = arena_strndup(arena, a->name, strlen(a->name)),
                                      .by = arena_strndup(arena, a->by_name, strlen(a->by_name)),
                                      .code = arena_strndup(arena, a->code, strlen(a->code)),
                                      .text = shown_text(r, a, arena),
                                      .time = a->time};
    }
    *out = (struct wire_list){r->alarm_count == 0 ? NULL : items, r->alarm_count};
}
