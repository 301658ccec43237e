/* Sim, fewer faults: see sim_shrink.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_shrink.h"

#include <ctype.h>
#include <string.h>

#define WORDS_SIZE 33

void sim_shrink_words(const char *why, char *out, size_t size) {
    const char *p = strncmp(why, "at ", 3) == 0 ? strstr(why, ": ") : NULL;
    size_t n = 0;
    p = p == NULL ? why : p + 2;
    while (*p != 0 && n + 1 < size) {
        if (isdigit((unsigned char)*p)) {
            out[n++] = '#';
            while (isdigit((unsigned char)*p)) {
                p++;
            }
        } else {
            out[n++] = *p++;
        }
    }
    out[n] = 0;
}

struct search {
    struct sim_options options;
    char words[WORDS_SIZE];
    struct sim_result *last;
};

static bool fails(const struct search *x, const unsigned *list, size_t count) {
    struct sim_result result;
    char words[WORDS_SIZE];
    struct sim_options options = x->options;
    options.faults = list;
    options.fault_count = count;
    sim_batch_one(&options, &result);
    sim_shrink_words(result.why, words, sizeof words);
    if (result.is_good || strcmp(words, x->words) != 0) {
        return false;
    }
    *x->last = result;
    return true;
}

/* Everything but the `size` numbers from `at` on. */
static size_t leave_out(const unsigned *list, size_t count, size_t at, size_t size, unsigned *out) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (i < at || i >= at + size) {
            out[n++] = list[i];
        }
    }
    return n;
}

/* True: some piece of this size could go. */
static bool pass(const struct search *x, unsigned *list, size_t *count, size_t size) {
    unsigned fewer[SIM_FAULTS_MAX];
    bool any = false;
    size_t at = 0;
    while (at < *count) {
        size_t n = leave_out(list, *count, at, size, fewer);
        if (fails(x, fewer, n)) {
            memcpy(list, fewer, n * sizeof *list);
            *count = n;
            any = true;
        } else {
            at += size;
        }
    }
    return any;
}

void sim_shrink(const struct sim_options *options, const char *why, unsigned *list, size_t *count,
                struct sim_result *last) {
    struct search x = {.options = *options, .last = last};
    sim_shrink_words(why, x.words, sizeof x.words);
    x.options.is_verbose = false;
    size_t size = *count > 1 ? *count / 2 : 1;
    for (;;) {
        bool any = pass(&x, list, count, size);
        if (size == 1 && !any) {
            return;
        }
        size = size > 1 ? (size + 1) / 2 : 1;
    }
}
