/* Played KDS: AMD's key service as the machine room plays it, in the place of the transport
 * attest/endorse/kds_http.c. What it says goes through kds.c and endorse_source.c, the product's.
 *
 *   GET MACHINE_ROOM_KDS_URL/vcek/v1/PRODUCT/{HWID?..SPL=..,crl,cert_chain}
 *
 * An answer takes the service's latency, or the client's limit when that is shorter: UNAVAILABLE
 * then. CANCELED within ROOM_WAIT_SLICE_MS of kds_http_cancel.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/kds_http.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "attest/endorse/kds.h"
#include "attest/snp_product.h"
#include "chaos-tests/played/machine_room.h"
#include "chaos-tests/played/room_wait.h"
#include "chaos-tests/simulator/machine_cert.h"
#include "lib/base/mem.h"

struct kds_http {
    uint64_t total_ms;
    atomic_bool is_canceled;
};

void kds_http_answer_deinit(struct kds_http_answer *a) {
    buf_deinit(&a->body);
    *a = (struct kds_http_answer){0};
}

struct result kds_http_open(const struct kds_http_config *config, struct kds_http **out,
                            struct err *err) {
    (void)err;
    struct kds_http *h = mem_zalloc(sizeof *h);
    h->total_ms = config->total_ms;
    atomic_init(&h->is_canceled, false);
    *out = h;
    return OK;
}

void kds_http_close(struct kds_http *h) {
    mem_free(h);
}

void kds_http_cancel(struct kds_http *h) {
    atomic_store(&h->is_canceled, true);
}

/* --- What is asked for */

static const enum room_machine served[] = {ROOM_GENUINE, ROOM_OLD_TCB, ROOM_UNLISTED};

/* The machine whose VCEK has this address; *host is whose. NULL: AMD knows none. */
static const struct machine *find_machine(const struct machine_room *room, const char *url,
                                          unsigned *host) {
    char known[LIMIT_KDS_URL];
    for (unsigned i = 0; i < machine_room__host_count(room); i++) {
        for (size_t k = 0; k < sizeof served / sizeof served[0]; k++) {
            const struct machine *m = room_stock_machine(i, served[k]);
            struct snp_endorsement_key key = {.product = m->product};
            memcpy(key.chip_id, m->chip_id, sizeof key.chip_id);
            snp_tcb_encode(m->product, &m->tcb, key.tcb);
            kds_vek_url(MACHINE_ROOM_KDS_URL, &key, known);
            if (strcmp(known, url) == 0) {
                *host = i;
                return m;
            }
        }
    }
    return NULL;
}

/* Even hosts stand for Milan, odd ones for Genoa; false: another product. */
static bool find_product(const char *url, const char *what, unsigned *host) {
    for (unsigned i = 0; i < 2; i++) {
        char known[LIMIT_KDS_URL];
        snprintf(known, sizeof known, "%s/vcek/v1/%s/%s", MACHINE_ROOM_KDS_URL,
                 snp_product_line(room_stock_product(i)), what);
        if (strcmp(known, url) == 0) {
            *host = i;
            return true;
        }
    }
    return false;
}

/* --- What is answered */

/* Of the next host of the same product, so that only the chip is another. */
static const struct machine *other_chip(const struct machine_room *room, unsigned host) {
    unsigned other = (host + 2) % ROOM_STOCK_HOSTS;
    bool is_here = other < machine_room__host_count(room);
    return room_stock_machine(is_here ? other : host, is_here ? ROOM_GENUINE : ROOM_UNLISTED);
}

static void answer_vek(struct machine_room *room, const struct machine *m, unsigned host,
                       struct buf *body) {
    struct room_kds *kds = machine_room_kds(room);
    if (m == room_stock_machine(host, ROOM_GENUINE)) {
        kds->chip_requests[host]++;
    }
    m = kds->mode == ROOM_KDS_OTHER_CHIP ? other_chip(room, host) : m;
    m = kds->mode == ROOM_KDS_ROGUE ? room_stock_machine(host, ROOM_ROGUE) : m;
    buf_append_span(body, buf_span(&m->vek_der));
}

static void answer_chain(const struct room_kds *kds, unsigned host, struct buf *body) {
    const struct machine *m =
        room_stock_machine(host, kds->mode == ROOM_KDS_ROGUE ? ROOM_ROGUE : ROOM_GENUINE);
    machine_cert_pem(buf_span(&m->ask_der), body);
    machine_cert_pem(buf_span(&m->ark_der), body);
}

static void answer_list(const struct room_kds *kds, unsigned host, struct buf *body) {
    bool is_rogue = kds->mode == ROOM_KDS_ROGUE;
    buf_append_span(body, room_stock_list(room_stock_product(host), kds->list_number, is_rogue,
                                          !is_rogue && kds->revokes));
}

static void look_up(struct machine_room *room, const char *url, struct kds_http_answer *out) {
    struct room_kds *kds = machine_room_kds(room);
    unsigned host = 0;
    const struct machine *m = find_machine(room, url, &host);
    out->status = 200;
    if (m != NULL) {
        answer_vek(room, m, host, &out->body);
    } else if (find_product(url, "cert_chain", &host)) {
        answer_chain(kds, host, &out->body);
    } else if (find_product(url, "crl", &host)) {
        answer_list(kds, host, &out->body);
    } else {
        out->status = 404;
    }
}

static void answer(struct machine_room *room, const char *url, size_t limit,
                   struct kds_http_answer *out) {
    const struct room_kds *kds = machine_room_kds(room);
    enum room_kds_mode mode = kds->mode;
    switch (mode) {
    case ROOM_KDS_THROTTLES:
        out->status = 429;
        out->has_retry_after = true;
        snprintf(out->retry_after, sizeof out->retry_after, "%llu",
                 (unsigned long long)kds->retry_after_s);
        return;
    case ROOM_KDS_FAILS:
        out->status = 500;
        return;
    case ROOM_KDS_UNKNOWN:
        out->status = 404;
        return;
    case ROOM_KDS_GARBAGE:
        out->status = 200;
        buf_append_str(&out->body, "<html>Sign in to the guests' network</html>");
        return;
    case ROOM_KDS_TOO_MUCH:
        out->status = 200;
        out->is_too_large = true;
        memset(buf_extend(&out->body, limit), 'A', limit);
        return;
    case ROOM_KDS_UP:
    case ROOM_KDS_OTHER_CHIP:
    case ROOM_KDS_ROGUE:
    case ROOM_KDS_DOWN:
    case ROOM_KDS_SILENT:
        look_up(room, url, out);
    }
}

static bool is_canceled(void *data) {
    struct kds_http *h = data;
    return atomic_load(&h->is_canceled);
}

struct result kds_http_get(struct kds_http *h, const char *url, size_t limit,
                           struct kds_http_answer *out, struct err *err) {
    struct machine_room *room = machine_room__current();
    ENSURE(room != NULL, err, UNAVAILABLE, "no key service in this world");
    struct room_kds *kds = machine_room_kds(room);
    bool is_mute = kds->mode == ROOM_KDS_SILENT || kds->latency_ms > h->total_ms;
    kds->requests++;
    ENSURE(!room_wait(is_mute ? h->total_ms : kds->latency_ms, is_canceled, h), err, CANCELED,
           "the request was cut");
    ENSURE(kds->mode != ROOM_KDS_DOWN, err, UNAVAILABLE, "no connection");
    ENSURE(!is_mute && kds->mode != ROOM_KDS_SILENT, err, UNAVAILABLE, "no answer in time");
    answer(room, url, limit, out);
    return OK;
}
