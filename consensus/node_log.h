/* Node log: the entries in memory, with counted, wiped payloads.
 *
 *   first ............ last        libraft knows only index -> term; the bytes are here
 *
 * Payloads are shared with messages under way and freed, wiped (entries carry keys), with the last
 * reference. Indexes from 1; an empty log has last = first - 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_LOG_H
#define CONTRAST_NODE_LOG_H

#include "lib/base/bytes.h"

struct node_payload {
    size_t references;
    size_t size;    /* bytes */
    uint8_t data[]; /* libraft sees the address of this as the entry's buffer */
};

struct node_entry {
    uint64_t term;
    int type;                     /* enum raft_entry_type */
    struct node_payload *payload; /* one reference */
    uint64_t end;                 /* bytes of all payloads up to this one, since the first ever */
};

struct node_log {
    struct node_entry *entries; /* owned */
    size_t count, capacity;
    uint64_t first;     /* index of entries[0] */
    uint64_t prev_term; /* of the entry before the first; 0 when first is 1 */
    uint64_t prev_end;  /* `end` of the entry before the first */
};

struct node_payload *node_payload_new(struct span bytes); /* one reference */
struct node_payload *node_payload_ref(struct node_payload *p);
void node_payload_unref(struct node_payload *p);
/* The payload whose data stands at `data`. */
struct node_payload *node_payload_of(void *data);

void node_log_init(struct node_log *log);
void node_log_deinit(struct node_log *log);
/* Takes over one reference of `payload`. */
void node_log_append(struct node_log *log, uint64_t term, int type, struct node_payload *payload);
void node_log_truncate(struct node_log *log, uint64_t index); /* drops index and all after it */
void node_log_compact(struct node_log *log, uint64_t index);  /* drops index and all before it */
/* Empty, continuing after `index`, which has `term`. */
void node_log_reset(struct node_log *log, uint64_t index, uint64_t term);
/* NULL when not held. */
const struct node_entry *node_log_get(const struct node_log *log, uint64_t index);
uint64_t node_log_last(const struct node_log *log);
/* Term of an entry held, or of the one before the first; 0 when unknown. */
uint64_t node_log_term(const struct node_log *log, uint64_t index);
/* Bytes of the payloads after `index`. */
uint64_t node_log_bytes_after(const struct node_log *log, uint64_t index);

#endif
