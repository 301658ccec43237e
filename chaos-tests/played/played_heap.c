/* Memory of played processes: lib/base's mem.h and secret.h, with a list of blocks per process.
 *
 * A killed process leaves its blocks behind; the list gives them back (heap_drop). Under
 * AddressSanitizer they are kept instead, reachable, so that what OpenSSL holds for them is no leak
 * in the eyes of its checker, and poisoned: who still looks at them is found. Blocks asked for by
 * the director are of nobody. Secrets are plain blocks here: nothing is locked, all is wiped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "chaos-tests/played/played_asan.h"
#include "chaos-tests/played/played_stage.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"

#define ARENA_BLOCK_SIZE 4096

struct stage_block {
    alignas(max_align_t) struct stage_block *next;
    struct stage_block **link; /* what points here; NULL: of nobody */
    alignas(max_align_t) unsigned char payload[];
};

static struct stage_block *kept; /* of killed processes, under AddressSanitizer */

static void link_block(struct stage_block *b) {
    struct played_process *p = played_self();
    b->link = NULL;
    b->next = NULL;
    if (p != NULL) {
        b->next = p->blocks;
        b->link = &p->blocks;
        if (b->next != NULL) {
            b->next->link = &b->next;
        }
        p->blocks = b;
    }
}

static void unlink_block(struct stage_block *b) {
    if (b->link != NULL) {
        *b->link = b->next;
        if (b->next != NULL) {
            b->next->link = b->link;
        }
    }
}

static struct stage_block *block_of(void *p) {
    return STAGE_OF(struct stage_block, payload, p);
}

void heap_disown(struct played_process *p) {
    for (struct stage_block *b = p->blocks, *next; b != NULL; b = next) {
        next = b->next;
        b->next = NULL;
        b->link = NULL;
    }
    p->blocks = NULL;
}

void heap_drop(struct played_process *p) {
    for (struct stage_block *b = p->blocks, *next; b != NULL; b = next) {
        next = b->next;
        if (asan_is_on()) {
            asan_poison(b->payload, malloc_usable_size(b) - sizeof *b);
            b->link = NULL;
            b->next = kept;
            kept = b;
        } else {
            free(b);
        }
    }
    p->blocks = NULL;
}

/* --- mem.h */

void *mem_alloc(size_t size) {
    CHECK(size < SIZE_MAX / 2);
    struct stage_block *b = malloc(sizeof *b + (size == 0 ? 1 : size));
    CHECK(b != NULL);
    link_block(b);
    return b->payload;
}

void *mem_zalloc(size_t size) {
    return mem_calloc(1, size);
}

void *mem_calloc(size_t count, size_t size) {
    CHECK(size == 0 || count < SIZE_MAX / 2 / size);
    struct stage_block *b = calloc(1, sizeof *b + count * size + 1);
    CHECK(b != NULL);
    link_block(b);
    return b->payload;
}

void *mem_realloc(void *old, size_t size) {
    if (old == NULL) {
        return mem_alloc(size);
    }
    CHECK(size < SIZE_MAX / 2);
    unlink_block(block_of(old));
    struct stage_block *b = realloc(block_of(old), sizeof *b + (size == 0 ? 1 : size));
    CHECK(b != NULL);
    link_block(b);
    return b->payload;
}

void mem_free(void *p) {
    if (p != NULL) {
        struct stage_block *b = block_of(p);
        unlink_block(b);
        free(b);
    }
}

void mem_wipe(void *p, size_t size) {
    if (size > 0) {
        explicit_bzero(p, size);
    }
}

void mem_free_wiped(void *p, size_t size) {
    if (p != NULL) {
        mem_wipe(p, size);
        mem_free(p);
    }
}

char *mem_strndup(const char *text, size_t size) {
    char *copy = mem_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = 0;
    return copy;
}

char *mem_strdup(const char *text) {
    return mem_strndup(text, strlen(text));
}

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of payload */
    size_t used;
    alignas(max_align_t) unsigned char payload[];
};

void arena_deinit(struct arena *a) {
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        mem_free_wiped(a->blocks, sizeof *a->blocks + a->blocks->used);
        a->blocks = next;
    }
}

void *arena_alloc(struct arena *a, size_t size) {
    CHECK(size < SIZE_MAX / 2);
    size_t align = alignof(max_align_t);
    size_t want = (size + align - 1) / align * align;
    if (a->blocks == NULL || a->blocks->size - a->blocks->used < want) {
        size_t room = want > ARENA_BLOCK_SIZE ? want : ARENA_BLOCK_SIZE;
        struct arena_block *block = mem_zalloc(sizeof *block + room);
        block->next = a->blocks;
        block->size = room;
        a->blocks = block;
    }
    void *at = a->blocks->payload + a->blocks->used;
    a->blocks->used += want;
    return at;
}

char *arena_strndup(struct arena *a, const char *text, size_t size) {
    char *copy = arena_alloc(a, size + 1);
    if (size > 0) {
        memcpy(copy, text, size);
    }
    return copy;
}

/* --- secret.h */

struct secret {
    size_t size;
    uint8_t bytes[];
};

struct secret *secret_new(size_t size) {
    CHECK(size > 0 && size < SIZE_MAX / 2);
    struct secret *s = mem_zalloc(sizeof *s + size);
    s->size = size;
    return s;
}

void secret_free(struct secret *s) {
    if (s != NULL) {
        mem_free_wiped(s, sizeof *s + s->size);
    }
}

uint8_t *secret_data(struct secret *s) {
    return s->bytes;
}

struct span secret_span(const struct secret *s) {
    return span_of(s->bytes, s->size);
}

bool secret_equal(const struct secret *a, const struct secret *b) {
    return span_equal_ct(secret_span(a), secret_span(b));
}

/* --- The stage's own */

void *stage_alloc(size_t size) {
    void *p = calloc(1, size == 0 ? 1 : size);
    CHECK(p != NULL);
    return p;
}

void stage_free(void *p) {
    free(p);
}
