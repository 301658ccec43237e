/* What AddressSanitizer has to know of fibres; nothing in a build without it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_ASAN_H
#define CONTRAST_PLAYED_ASAN_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAYED_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PLAYED_ASAN 1
#endif

#if defined(PLAYED_ASAN)

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>

static inline bool asan_is_on(void) {
    return true;
}
static inline void asan_start_switch(void **fake, const void *bottom, size_t size) {
    __sanitizer_start_switch_fiber(fake, bottom, size);
}
static inline void asan_finish_switch(void *fake, const void **bottom, size_t *size) {
    __sanitizer_finish_switch_fiber(fake, bottom, size);
}
static inline void asan_poison(void *at, size_t size) {
    __asan_poison_memory_region(at, size);
}
static inline void asan_unpoison(void *at, size_t size) {
    __asan_unpoison_memory_region(at, size);
}
static inline void asan_register_root(void *at, size_t size) {
    __lsan_register_root_region(at, size);
}

#else

static inline bool asan_is_on(void) {
    return false;
}
static inline void asan_start_switch(void **fake, const void *bottom, size_t size) {
    (void)fake;
    (void)bottom;
    (void)size;
}
static inline void asan_finish_switch(void *fake, const void **bottom, size_t *size) {
    (void)fake;
    (void)bottom;
    (void)size;
}
static inline void asan_poison(void *at, size_t size) {
    (void)at;
    (void)size;
}
static inline void asan_unpoison(void *at, size_t size) {
    (void)at;
    (void)size;
}
static inline void asan_register_root(void *at, size_t size) {
    (void)at;
    (void)size;
}

#endif
#endif
