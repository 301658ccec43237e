/* Verify floor: see verify_floor.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bench/verify_floor.h"

#include <string.h>

#include "attest/batch.h"
#include "attest/issuer.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"

/* --- Hashing */

static void fill_exporter(void *data, uint8_t out[32]) {
    (void)data;
    memset(out, 1, 32);
}

static void fill_spki(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 2, 48);
}

static bool is_server(void *data) {
    (void)data;
    return true;
}

static void on_place(void *data, void *ticket, const struct batch_place *place,
                     const struct err *err) {
    size_t *path_bytes = data;
    (void)ticket;
    CHECK(err == NULL);
    *path_bytes += place->path.size;
}

static void hash_round(struct batch *batch) {
    static const uint8_t statement[400]; /* about a replica's */
    struct attest_channel channel = {NULL, fill_exporter, fill_spki, fill_spki, is_server};
    struct batch_round round = {0};
    size_t path_bytes = 0;
    for (size_t i = 0; i < VERIFY_FLOOR_LEAVES; i++) {
        uint8_t nonce[ATTEST_NONCE_SIZE] = {(uint8_t)i};
        uint8_t leaf[ATTEST_LEAF_SIZE];
        attest_session_leaf(&channel, ATTEST_BY_US, ATTEST_REPLICA, nonce, SPAN(statement), leaf);
        CHECK(is_ok(batch_add(batch, leaf, NULL, NULL)));
    }
    CHECK(batch_take(batch, &round));
    batch_round_finish(&round, on_place, &path_bytes);
    CHECK(path_bytes == (size_t)VERIFY_FLOOR_LEAVES * 6 * MERKLE_HASH_SIZE); /* 2^6 leaves */
}

uint64_t verify_floor_hash(size_t rounds) {
    struct samples samples = {0};
    struct batch batch = {0};
    for (size_t i = 0; i < rounds; i++) {
        uint64_t start = samples_thread_ns();
        hash_round(&batch);
        samples_add(&samples, samples_thread_ns() - start);
    }
    uint64_t ns = samples_quantile(&samples, 500) / VERIFY_FLOOR_LEAVES;
    samples_deinit(&samples);
    batch_deinit(&batch);
    return ns;
}

/* --- Reports */

static RESULT ask(struct issuer *issuer, struct samples *out, struct err *err) {
    struct issuer_evidence made = {0};
    uint8_t report_data[ISSUER_DATA_SIZE];
    host_random(&host_system, report_data, sizeof report_data);
    uint64_t start = samples_now_ns();
    TRY(issuer_report(issuer, report_data, &made, err));
    samples_add(out, samples_now_ns() - start);
    issuer_evidence_deinit(&made);
    return OK;
}

struct result verify_floor_report(const char *issuer_spec, size_t count, struct samples *out,
                                  struct err *err) {
    struct issuer *issuer = NULL;
    TRY(issuer_open(issuer_spec, &issuer, err));
    struct result r = OK;
    for (size_t i = 0; i < count && is_ok(r); i++) {
        r = ask(issuer, out, err);
    }
    issuer_close(issuer);
    return r;
}
