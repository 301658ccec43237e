/* Node log: an array that grows at the end, is cut there, and compacted at the front.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/node_log.h"

#include <string.h>

#include "lib/base/mem.h"

struct node_payload *node_payload_new(struct span bytes) {
    struct node_payload *p = mem_alloc(sizeof *p + bytes.size);
    p->references = 1;
    p->size = bytes.size;
    if (bytes.size > 0) {
        memcpy(p->data, bytes.data, bytes.size);
    }
    return p;
}

struct node_payload *node_payload_ref(struct node_payload *p) {
    p->references++;
    return p;
}

void node_payload_unref(struct node_payload *p) {
    CHECK(p->references > 0);
    if (--p->references == 0) {
        mem_free_wiped(p, sizeof *p + p->size);
    }
}

struct node_payload *node_payload_of(void *data) {
    return (struct node_payload *)(void *)((uint8_t *)data - offsetof(struct node_payload, data));
}

void node_log_init(struct node_log *log) {
    *log = (struct node_log){.first = 1};
}

void node_log_deinit(struct node_log *log) {
    node_log_truncate(log, log->first);
    mem_free(log->entries);
    *log = (struct node_log){0};
}

void node_log_append(struct node_log *log, uint64_t term, int type, struct node_payload *payload) {
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
        log->entries = mem_realloc(log->entries, log->capacity * sizeof log->entries[0]);
    }
    uint64_t before = log->count == 0 ? log->prev_end : log->entries[log->count - 1].end;
    log->entries[log->count++] = (struct node_entry){term, type, payload, before + payload->size};
}

void node_log_truncate(struct node_log *log, uint64_t index) {
    while (log->count > 0 && node_log_last(log) >= index) {
        node_payload_unref(log->entries[--log->count].payload);
    }
}

void node_log_compact(struct node_log *log, uint64_t index) {
    if (index < log->first) {
        return;
    }
    CHECK(index <= node_log_last(log));
    size_t drop = (size_t)(index - log->first + 1);
    log->prev_term = log->entries[drop - 1].term;
    log->prev_end = log->entries[drop - 1].end;
    for (size_t i = 0; i < drop; i++) {
        node_payload_unref(log->entries[i].payload);
    }
    log->count -= drop;
    memmove(log->entries, log->entries + drop, log->count * sizeof log->entries[0]);
    log->first = index + 1;
}

void node_log_reset(struct node_log *log, uint64_t index, uint64_t term) {
    node_log_truncate(log, log->first);
    log->first = index + 1;
    log->prev_term = term;
    log->prev_end = 0;
}

const struct node_entry *node_log_get(const struct node_log *log, uint64_t index) {
    if (index < log->first || index > node_log_last(log)) {
        return NULL;
    }
    return &log->entries[index - log->first];
}

uint64_t node_log_last(const struct node_log *log) {
    return log->first + log->count - 1;
}

uint64_t node_log_term(const struct node_log *log, uint64_t index) {
    if (index + 1 == log->first) {
        return log->prev_term;
    }
    const struct node_entry *e = node_log_get(log, index);
    return e == NULL ? 0 : e->term;
}

uint64_t node_log_bytes_after(const struct node_log *log, uint64_t index) {
    uint64_t end = log->count == 0 ? log->prev_end : log->entries[log->count - 1].end;
    const struct node_entry *e = node_log_get(log, index);
    return end - (e == NULL ? log->prev_end : e->end);
}
