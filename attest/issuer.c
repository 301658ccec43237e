/* Issuer: picks the driver, serializes the calls, and holds the host's answer against the rules
 * that are common to all sources; see issuer.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/issuer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "attest/snp_certtable.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/setting.h"

/* AMD 56860 table 23 */
#define REPORT_KEY_INFO 0x48
#define REPORT_DATA 0x50
#define SIGNING_KEY_SHIFT 2
#define SIGNING_KEY_MASK 7
#define SIGNING_KEY_VLEK 1

struct issuer {
    const struct issuer_driver *driver;
    void *state;          /* of the driver, owned by it */
    void *key_state;      /* of driver->keys, owned by it; NULL: not opened */
    pthread_mutex_t lock; /* held through one request */
};

static const struct issuer_driver *const drivers[] = {&issuer_tsm, &issuer_guest, &issuer_socket};
#define DRIVER_COUNT (sizeof drivers / sizeof drivers[0])

static const struct issuer_driver *find(const char *spec) {
    for (size_t i = 0; i < DRIVER_COUNT; i++) {
        if (strncmp(spec, drivers[i]->prefix, strlen(drivers[i]->prefix)) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

static RESULT fail_unknown(const char *spec, struct err *err) {
    AUTO(buf_deinit)
    struct buf known = {0};
    buf_append_str(&known, ISSUER_AUTO);
    for (size_t i = 0; i < DRIVER_COUNT; i++) {
        buf_appendf(&known, ", %s", drivers[i]->usage);
    }
    return err_set(err, ERR_CONFIG, "issuer '%.200s' is not known; known are: %s", spec,
                   buf_cstr(&known));
}

struct result issuer_spec_read(const char *(*get)(const char *name), char *out, size_t size,
                               struct err *err) {
    const char *spec = get("CONTRAST_ISSUER");
    const char *socket = get("CONTRAST_SNP_SOCKET");
    if (spec != NULL) {
        return setting_text("CONTRAST_ISSUER", spec, out, size, err);
    }
    if (socket == NULL) {
        return setting_text("CONTRAST_ISSUER", ISSUER_AUTO, out, size, err);
    }
    size_t room = size - strlen(issuer_socket.prefix);
    ENSURE(socket[0] == '/' && strlen(socket) < room, err, CONFIG,
           "CONTRAST_SNP_SOCKET: want the absolute path of the socket that hands out attestation "
           "reports, at most %zu bytes; got '%.80s'",
           room - 1, socket);
    snprintf(out, size, "%s%s", issuer_socket.prefix, socket);
    return OK;
}

struct issuer *issuer_new(const struct issuer_driver *driver, void *state) {
    struct issuer *issuer = mem_zalloc(sizeof *issuer);
    issuer->driver = driver;
    issuer->state = state;
    CHECK(pthread_mutex_init(&issuer->lock, NULL) == 0);
    return issuer;
}

static RESULT open_one(const char *spec, struct issuer **out, struct err *err) {
    const struct issuer_driver *driver = find(spec);
    if (driver == NULL) {
        return fail_unknown(spec, err);
    }
    void *state = NULL;
    TRY(driver->open(spec + strlen(driver->prefix), &state, err));
    *out = issuer_new(driver, state);
    return OK;
}

struct result issuer_open_first(const char *const *specs, size_t count, struct issuer **out,
                                struct err *err) {
    AUTO(buf_deinit)
    struct buf tried = {0};
    for (size_t i = 0; i < count; i++) {
        struct err why;
        if (is_ok(open_one(specs[i], out, &why))) {
            log_info("attestation reports come from %s", specs[i]);
            return OK;
        }
        buf_appendf(&tried, "; %s %s", specs[i], why.text);
    }
    return err_set(err, ERR_UNAVAILABLE,
                   "this pod has no source of attestation reports%s. An AMD SEV-SNP guest needs "
                   "one of them in the container (docs/issuers.md); in a simulated pod set "
                   "CONTRAST_ISSUER=unix:/PATH",
                   buf_cstr(&tried));
}

struct result issuer_open(const char *spec, struct issuer **out, struct err *err) {
    static const char *const kernel[] = {"configfs:", "sev-guest:"};
    if (strcmp(spec, ISSUER_AUTO) == 0) {
        return issuer_open_first(kernel, sizeof kernel / sizeof kernel[0], out, err);
    }
    struct result r = open_one(spec, out, err);
    return is_ok(r) ? r : err_wrap(r, err, "issuer '%.200s'", spec);
}

void issuer_close(struct issuer *issuer) {
    if (issuer == NULL) {
        return;
    }
    issuer->driver->close(issuer->state);
    if (issuer->key_state != NULL) {
        issuer->driver->keys->close(issuer->key_state);
    }
    CHECK(pthread_mutex_destroy(&issuer->lock) == 0);
    mem_free(issuer);
}

void issuer_evidence_deinit(struct issuer_evidence *e) {
    buf_deinit(&e->report);
    buf_deinit(&e->vek);
    for (size_t i = 0; i < ISSUER_CHAIN_MAX; i++) {
        buf_deinit(&e->chain[i]);
    }
    e->chain_count = 0;
}

static RESULT check_report(const struct buf *report, const uint8_t *report_data, struct err *err) {
    ENSURE(report->size == LIMIT_SNP_REPORT, err, MALFORMED,
           "the host's report has %zu bytes, want %d", report->size, LIMIT_SNP_REPORT);
    ENSURE(memcmp(report->data + REPORT_DATA, report_data, ISSUER_DATA_SIZE) == 0, err, MALFORMED,
           "the host's report is not over the REPORT_DATA that was asked for");
    return OK;
}

static void add_chain(struct issuer_evidence *e, struct span der) {
    if (der.size > 0) {
        buf_append_span(&e->chain[e->chain_count++], der);
    }
}

/* A host may load both kinds; the report says which one signed (AMD 56860, KEY_INFO). */
static struct span choose_vek(const struct buf *report, const struct snp_certtable *table) {
    uint32_t key_info = load_u32le(report->data + REPORT_KEY_INFO);
    bool is_vlek = ((key_info >> SIGNING_KEY_SHIFT) & SIGNING_KEY_MASK) == SIGNING_KEY_VLEK;
    return is_vlek ? table->vlek : table->vcek;
}

static RESULT fetch(struct issuer *issuer, const uint8_t *report_data, struct buf *report,
                    struct buf *table, struct err *err) {
    CHECK(pthread_mutex_lock(&issuer->lock) == 0);
    struct result r = issuer->driver->fetch(issuer->state, report_data, report, table, err);
    CHECK(pthread_mutex_unlock(&issuer->lock) == 0);
    return r;
}

struct result issuer_report(struct issuer *issuer, const uint8_t report_data[ISSUER_DATA_SIZE],
                            struct issuer_evidence *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf report = {0};
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct snp_certtable table = {0};
    TRY(fetch(issuer, report_data, &report, &bytes, err));
    TRY(check_report(&report, report_data, err));
    TRY(snp_certtable_parse(buf_span(&bytes), &table, err));
    buf_append_span(&out->report, buf_span(&report));
    buf_append_span(&out->vek, choose_vek(&report, &table));
    add_chain(out, table.ask);
    add_chain(out, table.ark);
    return OK;
}

/* --- Derived keys */

static RESULT open_keys(struct issuer *issuer, struct err *err) {
    const struct issuer_driver *keys = issuer->driver->keys;
    CHECK(keys != NULL);
    if (issuer->key_state != NULL) {
        return OK;
    }
    struct result r = keys->open("", &issuer->key_state, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s derives no keys; the device that does is needed beside it",
                        issuer->driver->prefix);
    }
    log_info("derived keys come from %s", keys->prefix);
    return OK;
}

/* Under the lock. */
static RESULT derive(struct issuer *issuer, const uint8_t *request, uint8_t *response,
                     struct err *err) {
    if (issuer->driver->derive != NULL) {
        return issuer->driver->derive(issuer->state, request, response, err);
    }
    TRY(open_keys(issuer, err));
    return issuer->driver->keys->derive(issuer->key_state, request, response, err);
}

static void free_secret(struct secret **s) {
    secret_free(*s);
}

struct result issuer_derive_key(struct issuer *issuer, const struct issuer_key_spec *spec,
                                struct secret *out, struct err *err) {
    uint8_t request[ISSUER_KEY_REQUEST_SIZE];
    TRY(issuer_key_encode(spec, request, err));
    AUTO(free_secret)
    struct secret *response = secret_new(ISSUER_KEY_RESPONSE_SIZE);
    CHECK(pthread_mutex_lock(&issuer->lock) == 0);
    struct result r = derive(issuer, request, secret_data(response), err);
    CHECK(pthread_mutex_unlock(&issuer->lock) == 0);
    return is_ok(r) ? issuer_key_parse(secret_data(response), out, err) : r;
}
