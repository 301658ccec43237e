/* Events: the queue of what is due, rings, random streams; see played_stage.h.
 *
 * A binary heap by time, then by sequence; an event knows its slot, so that it can be moved and
 * taken out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "chaos-tests/played/played_stage.h"

#define HEAP_START 256

struct stage_slot {
    uint64_t at_us;
    uint64_t sequence;
    struct stage_event *event; /* borrowed */
};

/* --- The heap */

static bool is_before(const struct stage_slot *a, const struct stage_slot *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->sequence < b->sequence;
}

static void put(struct played *w, size_t i, const struct stage_slot *slot) {
    w->heap[i] = *slot;
    slot->event->slot = i + 1;
}

static void sift_up(struct played *w, size_t i, struct stage_slot slot) {
    while (i > 0 && is_before(&slot, &w->heap[(i - 1) / 2])) {
        put(w, i, &w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(w, i, &slot);
}

static void sift_down(struct played *w, size_t i, struct stage_slot slot) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < w->heap_count && is_before(&w->heap[child + 1], &w->heap[child])) {
            child++;
        }
        if (child >= w->heap_count || !is_before(&w->heap[child], &slot)) {
            break;
        }
        put(w, i, &w->heap[child]);
        i = child;
    }
    put(w, i, &slot);
}

static void settle(struct played *w, size_t i, struct stage_slot slot) {
    if (i > 0 && is_before(&slot, &w->heap[(i - 1) / 2])) {
        sift_up(w, i, slot);
    } else {
        sift_down(w, i, slot);
    }
}

static void ensure_room(struct played *w) {
    if (w->heap_count < w->heap_capacity) {
        return;
    }
    size_t capacity = w->heap_capacity == 0 ? HEAP_START : 2 * w->heap_capacity;
    struct stage_slot *more = stage_alloc(capacity * sizeof *more);
    if (w->heap_count > 0) {
        memcpy(more, w->heap, w->heap_count * sizeof *more);
    }
    stage_free(w->heap);
    w->heap = more;
    w->heap_capacity = capacity;
}

void stage_set(struct stage_event *event, uint64_t at_us) {
    struct played *w = stage();
    struct stage_slot slot = {at_us > w->now_us ? at_us : w->now_us, w->next_sequence++, event};
    if (event->slot > 0) {
        settle(w, event->slot - 1, slot);
        return;
    }
    ensure_room(w);
    sift_up(w, w->heap_count++, slot);
}

void stage_set_earlier(struct stage_event *event, uint64_t at_us) {
    if (event->slot == 0 || stage()->heap[event->slot - 1].at_us > at_us) {
        stage_set(event, at_us);
    }
}

void stage_cancel(struct stage_event *event) {
    struct played *w = stage();
    if (event->slot == 0) {
        return;
    }
    size_t i = event->slot - 1;
    event->slot = 0;
    w->heap_count--;
    if (i < w->heap_count) {
        settle(w, i, w->heap[w->heap_count]);
    }
}

bool stage_is_set(const struct stage_event *event) {
    return event->slot > 0;
}

bool played_step(struct played *w, uint64_t until_ms) {
    CHECK(w->running == NULL && w->acting == NULL);
    uint64_t until_us = until_ms > UINT64_MAX / 1000 ? UINT64_MAX : until_ms * 1000;
    if (w->heap_count == 0 || w->heap[0].at_us >= until_us) {
        w->now_us = until_us > w->now_us && until_us != UINT64_MAX ? until_us : w->now_us;
        return false;
    }
    struct stage_event *event = w->heap[0].event;
    w->now_us = w->heap[0].at_us;
    w->steps++;
    stage_cancel(event);
    event->call(event);
    return true;
}

/* --- Rings */

void stage_ring_init(void **ring) {
    ring[0] = ring;
    ring[1] = ring;
}

bool stage_ring_is_empty(void *const *ring) {
    return ring[0] == ring;
}

void stage_ring_append(void **ring, void **item) {
    void **last = ring[1];
    item[0] = ring;
    item[1] = last;
    last[0] = item;
    ring[1] = item;
}

void stage_ring_remove(void **item) {
    void **next = item[0];
    void **previous = item[1];
    next[1] = previous;
    previous[0] = next;
    stage_ring_init(item);
}

void stage_ring_move(void **from, void **to) {
    stage_ring_init(to);
    if (!stage_ring_is_empty(from)) {
        stage_ring_append(from, to);
        stage_ring_remove(from);
    }
}

/* --- Random streams: xoshiro256** by Blackman and Vigna, seeded through splitmix64 */

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void stage_stream_seed(struct stage_stream *stream, uint64_t seed, uint64_t number) {
    uint64_t state = number;
    state = splitmix(&state) ^ seed;
    for (size_t i = 0; i < 4; i++) {
        stream->chance.x[i] = splitmix(&state);
    }
}

uint64_t stage_stream_next(struct stage_stream *stream) {
    return sim_chance_next(&stream->chance);
}

uint64_t stage_stream_below(struct stage_stream *stream, uint64_t bound) {
    CHECK(bound > 0);
    uint64_t v = stage_stream_next(stream);
    while (v >= UINT64_MAX - UINT64_MAX % bound) {
        v = stage_stream_next(stream);
    }
    return v % bound;
}

void stage_stream_fill(struct stage_stream *stream, void *out, size_t size) {
    uint8_t *at = out;
    while (size > 0) {
        uint64_t word = stage_stream_next(stream);
        size_t piece = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, piece);
        at += piece;
        size -= piece;
    }
}
