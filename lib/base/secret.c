/* Secrets: see secret.h. One or more whole pages each, so that mlock and MADV_DONTDUMP touch
 * nothing else. A refused mlock (RLIMIT_MEMLOCK) is tolerated: a confidential VM has no swap of the
 * host's, and the programs lock everything at start (process_harden).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/secret.h"

#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"

struct secret {
    uint8_t *pages;
    size_t mapped; /* bytes */
    size_t size;
};

struct secret *secret_new(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK(size > 0 && size < SIZE_MAX / 2);
    struct secret *s = mem_zalloc(sizeof *s);
    s->size = size;
    s->mapped = (size + page - 1) / page * page;
    void *pages = mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    s->pages = pages;
    int refused = mlock(pages, s->mapped);
    refused |= madvise(pages, s->mapped, MADV_DONTDUMP);
    (void)refused;
    return s;
}

void secret_free(struct secret *s) {
    if (s == NULL) {
        return;
    }
    mem_wipe(s->pages, s->mapped);
    CHECK(munmap(s->pages, s->mapped) == 0);
    mem_free(s);
}

uint8_t *secret_data(struct secret *s) {
    return s->pages;
}

struct span secret_span(const struct secret *s) {
    return span_of(s->pages, s->size);
}

bool secret_equal(const struct secret *a, const struct secret *b) {
    return span_equal_ct(secret_span(a), secret_span(b));
}
