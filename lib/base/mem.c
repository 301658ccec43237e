/* Memory: see mem.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_SIZE 4096

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of payload */
    size_t used;
    alignas(max_align_t) unsigned char payload[];
};

static void *or_abort(void *p, size_t size) {
    if (p == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size) {
    return or_abort(malloc(size == 0 ? 1 : size), size);
}

void *mem_zalloc(size_t size) {
    return or_abort(calloc(1, size == 0 ? 1 : size), size);
}

void *mem_calloc(size_t count, size_t size) {
    return or_abort(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size), count);
}

void *mem_realloc(void *old, size_t size) {
    return or_abort(realloc(old, size == 0 ? 1 : size), size);
}

void mem_free(void *p) {
    free(p);
}

void mem_wipe(void *p, size_t size) {
    if (size > 0) {
        explicit_bzero(p, size);
    }
}

void mem_free_wiped(void *p, size_t size) {
    if (p != NULL) {
        mem_wipe(p, size);
        free(p);
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

void arena_deinit(struct arena *a) {
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        mem_free_wiped(a->blocks, sizeof *a->blocks + a->blocks->size);
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
