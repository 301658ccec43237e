/* Memory: allocation that does not fail halfway, wiping, and an arena.
 *
 * mem_alloc aborts when there is no memory: nothing of a replica survives its process anyway, it
 * rejoins as a new member, and code after an allocation needs no second path. Everything that a
 * peer can make us allocate is bounded by limits.h before it gets here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MEM_H
#define CONTRAST_MEM_H

#include <stddef.h>

#include "lib/base/err.h"

void *mem_alloc(size_t size);                /* never NULL; aborts */
void *mem_zalloc(size_t size);               /* zeroed */
void *mem_calloc(size_t count, size_t size); /* zeroed; checks count * size */
void *mem_realloc(void *old, size_t size);   /* not for secrets: may leave a copy behind */
void mem_free(void *p);
void mem_wipe(void *p, size_t size); /* not optimized away; p may be NULL when size is 0 */
void mem_free_wiped(void *p, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t size); /* copies size bytes and adds a NUL */

/* An arena: many small allocations that die together. Zeroed is valid; deinit wipes. */
struct arena_block;
struct arena {
    struct arena_block *blocks; /* owned */
};
void arena_deinit(struct arena *a);
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for any type */
char *arena_strndup(struct arena *a, const char *text, size_t size);

#endif
