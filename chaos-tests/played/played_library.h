/* Played library: the function of a shared library that one of ours stands before.
 *
 *   LIBRARY(X509_verify)  ->  static library_X509_verify(), which gives the library's own
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_LIBRARY_H
#define CONTRAST_PLAYED_LIBRARY_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

#include "lib/base/err.h"

/* The next of this name behind ours; looked for once. */
static inline void *played_library_find(const char *name, _Atomic(void *) *found) {
    void *at = atomic_load_explicit(found, memory_order_acquire);
    if (at == NULL) {
        at = dlsym(RTLD_NEXT, name);
        CHECK(at != NULL);
        atomic_store_explicit(found, at, memory_order_release);
    }
    return at;
}

#define LIBRARY(name)                                                                              \
    static __typeof__(&(name)) library_##name(void) {                                              \
        static _Atomic(void *) found;                                                              \
        union {                                                                                    \
            void *found;                                                                           \
            __typeof__(&(name)) function;                                                          \
        } at = {played_library_find(#name, &found)};                                               \
        return at.function;                                                                        \
    }

#endif
