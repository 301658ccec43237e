/* Admissions: see admissions.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admissions.h"

#include <string.h>

#include "lib/crypto/digest.h"

struct rate {
    const char *what;
    uint64_t burst, period_ms;
};

static const struct rate by_name = {"this name", LIMIT_ADMISSION_NAME_BURST,
                                    LIMIT_ADMISSION_NAME_PERIOD_MS};
static const struct rate by_chip = {"this chip", LIMIT_ADMISSION_CHIP_BURST,
                                    LIMIT_ADMISSION_CHIP_PERIOD_MS};

static uint64_t key_of(const struct rate *rate, struct span value) {
    uint8_t digest[SHA256_SIZE];
    sha256(value, digest);
    uint64_t key = load_u64be(digest) << 1 | (rate == &by_chip ? 1 : 0);
    return key < 2 ? 2 : key;
}

/* Its row, or the one to give it: free, or unused for longest. */
static struct admissions_row *row_of(struct admissions *a, uint64_t key) {
    struct admissions_row *best = &a->rows[0];
    for (size_t i = 0; i < LIMIT_ADMISSION_KEYS; i++) {
        struct admissions_row *row = &a->rows[i];
        if (row->key == key) {
            return row;
        }
        if (row->key == 0 ? best->key != 0 : best->key != 0 && row->used_ms < best->used_ms) {
            best = row;
        }
    }
    return best;
}

/* Each admission puts off by one period the moment at which the bucket is full again. */
static uint64_t wait_ms(const struct admissions_row *row, uint64_t key, const struct rate *rate,
                        uint64_t now_ms) {
    uint64_t allowed = (rate->burst - 1) * rate->period_ms;
    uint64_t full = row->key == key ? row->full_ms : 0;
    return full > now_ms + allowed ? full - now_ms - allowed : 0;
}

static RESULT check(struct admissions *a, uint64_t key, const struct rate *rate, uint64_t now_ms,
                    struct err *err) {
    uint64_t wait = wait_ms(row_of(a, key), key, rate, now_ms);
    if (wait == 0) {
        return OK;
    }
    struct result r = err_set(
        err, ERR_UNAVAILABLE, "%s was admitted %llu times in a short while: again in %llu s",
        rate->what, (unsigned long long)rate->burst, (unsigned long long)(wait + 999) / 1000);
    err_advise(err, wait);
    return r;
}

static void take(struct admissions *a, uint64_t key, const struct rate *rate, uint64_t now_ms) {
    struct admissions_row *row = row_of(a, key);
    uint64_t full = row->key == key && row->full_ms > now_ms ? row->full_ms : now_ms;
    *row = (struct admissions_row){key, full + rate->period_ms, now_ms};
}

struct result admissions_take(struct admissions *a, const char *name, const uint8_t chip[64],
                              uint64_t now_ms, struct err *err) {
    static const uint8_t unknown[64];
    bool has_chip = memcmp(chip, unknown, sizeof unknown) != 0;
    uint64_t name_key = key_of(&by_name, span_str(name));
    uint64_t chip_key = key_of(&by_chip, span_of(chip, 64));
    TRY(check(a, name_key, &by_name, now_ms, err));
    if (has_chip) {
        TRY(check(a, chip_key, &by_chip, now_ms, err));
        take(a, chip_key, &by_chip, now_ms);
    }
    take(a, name_key, &by_name, now_ms);
    return OK;
}
