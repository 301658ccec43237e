/* Machine room: see machine_room.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/machine_room.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>

#include "attest/snp_certtable.h"
#include "chaos-tests/played/fixed_rand.h"
#include "chaos-tests/simulator/machine_key.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define SPEC_PREFIX "/room/"
#define LATENCY_MS 5
#define KDS_LATENCY_MS 50
#define KDS_RETRY_S 10
#define KDS_LIST 2
#define SHARE_OWNER_FIRST 4 /* pairs below are the room's authorities */
#define CHAIN_COUNT 2       /* ASK, ARK */

struct room_pod {
    struct machine_room *room;
    unsigned host;
    struct pod_identity identity;
    struct machine_guest guest;
    const struct machine *machine;
    bool has_first;
    uint8_t first[SNP_REPORT_SIZE];
};

struct machine_room {
    pthread_mutex_t lock; /* of what requests change; never held while anything waits */
    unsigned host_count;
    struct room_port ports[ROOM_STOCK_HOSTS];
    struct room_kds kds;
    struct room_pod *pods; /* MACHINE_ROOM_PODS, owned */
    size_t pod_count;
};

/* The driver of an issuer gets a path and nothing else. */
static struct machine_room *current;

/* --- Life */

struct machine_room *machine_room_new(unsigned host_count) {
    CHECK(host_count > 0 && host_count <= ROOM_STOCK_HOSTS && current == NULL);
    struct machine_room *room = mem_zalloc(sizeof *room);
    CHECK(pthread_mutex_init(&room->lock, NULL) == 0);
    room->host_count = host_count;
    room->pods = mem_calloc(MACHINE_ROOM_PODS, sizeof room->pods[0]);
    room->kds = (struct room_kds){
        .latency_ms = KDS_LATENCY_MS, .retry_after_s = KDS_RETRY_S, .list_number = KDS_LIST};
    for (unsigned i = 0; i < host_count; i++) {
        room->ports[i].latency_ms = LATENCY_MS;
        for (unsigned kind = 0; kind < ROOM_MACHINES; kind++) {
            room_stock_machine(i, (enum room_machine)kind);
        }
    }
    for (unsigned i = 0; i < 2 * ROOM_STOCK_LISTS; i++) {
        enum snp_product product = room_stock_product(i % 2);
        room_stock_list(product, i / 2 + 1, false, false);
        room_stock_list(product, i / 2 + 1, false, true);
        room_stock_list(product, i / 2 + 1, true, false);
    }
    current = room;
    return room;
}

void machine_room_free(struct machine_room *room) {
    if (room == NULL) {
        return;
    }
    CHECK(current == room && pthread_mutex_destroy(&room->lock) == 0);
    current = NULL;
    mem_free(room->pods);
    mem_free(room);
}

struct machine_room *machine_room__current(void) {
    return current;
}

unsigned machine_room__host_count(const struct machine_room *room) {
    return room->host_count;
}

struct room_port *machine_room_port(struct machine_room *room, unsigned host) {
    CHECK(host < room->host_count);
    return &room->ports[host];
}

struct room_kds *machine_room_kds(struct machine_room *room) {
    return &room->kds;
}

struct room_port *machine_room__port_of(struct room_pod *pod) {
    return &pod->room->ports[pod->host];
}

/* --- Guests */

static void launch(struct room_pod *pod, size_t number) {
    uint8_t name[8];
    struct machine_guest *g = &pod->guest;
    bool has_image = !span_is_zero(SPAN(pod->identity.measurement));
    store_u64be(name, number);
    sha256(SPAN(name), g->report_id);
    memcpy(g->host_data, pod->identity.host_data, sizeof g->host_data);
    memcpy(g->measurement, has_image ? pod->identity.measurement : pod->machine->measurement,
           sizeof g->measurement);
    g->policy =
        pod->identity.policy == 0 ? SNP_POLICY_RESERVED_ONE | SNP_POLICY_SMT : pod->identity.policy;
}

void machine_room_pod(struct machine_room *room, unsigned host, const struct pod_identity *pod,
                      char spec[MACHINE_ROOM_SPEC_SIZE]) {
    CHECK(host < room->host_count && room->pod_count < MACHINE_ROOM_PODS);
    size_t number = room->pod_count++;
    struct room_pod *p = &room->pods[number];
    *p = (struct room_pod){.room = room,
                           .host = host,
                           .identity = *pod,
                           .machine = room_stock_machine(host, pod->machine)};
    launch(p, number);
    snprintf(spec, MACHINE_ROOM_SPEC_SIZE, "%s" SPEC_PREFIX "%zu", issuer_socket.prefix, number);
}

struct room_pod *machine_room__pod(struct machine_room *room, const char *path) {
    char *end = NULL;
    if (strncmp(path, SPEC_PREFIX, strlen(SPEC_PREFIX)) != 0) {
        return NULL;
    }
    unsigned long number = strtoul(path + strlen(SPEC_PREFIX), &end, 10);
    return *end == '\0' && number < room->pod_count ? &room->pods[number] : NULL;
}

/* --- Reports */

static void split(const struct buf *der, struct snp_report *report) {
    const unsigned char *at = der->data;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)der->size);
    int size = (int)sizeof report->r;
    CHECK(signature != NULL &&
          BN_bn2lebinpad(ECDSA_SIG_get0_r(signature), report->r, size) == size &&
          BN_bn2lebinpad(ECDSA_SIG_get0_s(signature), report->s, size) == size);
    ECDSA_SIG_free(signature);
}

/* The firmware of our machine knows guests at VMPL 0 alone. */
static RESULT change_vmpl(const struct room_pod *pod, uint8_t bytes[SNP_REPORT_SIZE],
                          struct err *err) {
    struct snp_report report;
    struct verdict verdict = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    TRY(snp_report_parse(span_of(bytes, SNP_REPORT_SIZE), &report, &verdict, err));
    report.vmpl = pod->identity.vmpl;
    snp_report_encode(&report, bytes);
    TRY(key_sign(&pod->machine->vcek, span_of(bytes, SNP_REPORT_SIGNED_SIZE), &signature, err));
    split(&signature, &report);
    snp_report_encode(&report, bytes);
    return OK;
}

/* Report and table as firmware and host give them. */
static RESULT make(const struct room_pod *pod, const uint8_t report_data[ISSUER_DATA_SIZE],
                   struct buf *report, struct err *err) {
    size_t start = report->size;
    TRY(machine_report(pod->machine, &pod->guest, report_data, report, err));
    uint8_t *bytes = report->data + start;
    if (pod->identity.vmpl != 0) {
        TRY(change_vmpl(pod, bytes, err));
    }
    if (pod->identity.has_false_signature) {
        bytes[SNP_REPORT_SIGNED_SIZE] ^= 1; /* the lowest bit of R */
    }
    return OK;
}

/* As the port's mode wants it. */
static void bend(struct room_pod *pod, struct buf *report, struct buf *table) {
    enum room_port_mode mode = machine_room__port_of(pod)->mode;
    switch (mode) {
    case ROOM_PORT_STALE:
        pthread_mutex_lock(&pod->room->lock);
        if (!pod->has_first) {
            memcpy(pod->first, report->data, sizeof pod->first);
            pod->has_first = true;
        }
        memcpy(report->data, pod->first, sizeof pod->first);
        pthread_mutex_unlock(&pod->room->lock);
        break;
    case ROOM_PORT_GARBAGE:
        sha256(buf_span(report), report->data);
        report->size = SHA256_SIZE;
        break;
    case ROOM_PORT_BAD_TABLE:
        table->size = table->size / 2 + 1;
        break;
    case ROOM_PORT_ANSWERS:
    case ROOM_PORT_BUSY:
    case ROOM_PORT_REFUSES:
    case ROOM_PORT_SILENT:
    case ROOM_PORT_LOST:
        break;
    }
}

RESULT machine_room__make(struct room_pod *pod, const uint8_t report_data[ISSUER_DATA_SIZE],
                          struct buf *report, struct buf *table, struct err *err) {
    const struct room_port *port = machine_room__port_of(pod);
    TRY(make(pod, report_data, report, err));
    CHECK(report->size == SNP_REPORT_SIZE);
    if (!port->has_no_certificates) {
        machine_certtable(pod->machine, table);
    }
    bend(pod, report, table);
    return OK;
}

void machine_room__derive(struct room_pod *pod, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
                          uint8_t response[ISSUER_KEY_RESPONSE_SIZE]) {
    machine_key_derive(pod->machine, &pod->guest, request, response);
}

struct result machine_room_report(struct machine_room *room, const char *spec,
                                  const uint8_t report_data[ISSUER_DATA_SIZE],
                                  struct issuer_evidence *out, struct err *err) {
    const struct room_pod *pod = machine_room__pod(room, spec + strlen(issuer_socket.prefix));
    ENSURE(pod != NULL, err, INVALID, "%s: no such pod", spec);
    TRY(make(pod, report_data, &out->report, err));
    buf_append_span(&out->vek, buf_span(&pod->machine->vek_der));
    buf_append_span(&out->chain[0], buf_span(&pod->machine->ask_der));
    buf_append_span(&out->chain[1], buf_span(&pod->machine->ark_der));
    out->chain_count = CHAIN_COUNT;
    return OK;
}

/* --- Manifests */

void machine_room_root(uint8_t out[32]) {
    room_stock_root(false, out);
}

void machine_room_share_owner(unsigned index, struct key *out) {
    CHECK(index < MACHINE_ROOM_SHARE_OWNERS);
    fixed_rand_rsa(SHARE_OWNER_FIRST + index, out);
}

static void append_hex(struct buf *json, struct span bytes) {
    static const char digits[] = "0123456789abcdef";
    buf_append_u8(json, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        buf_append_u8(json, (uint8_t)digits[bytes.data[i] >> 4]);
        buf_append_u8(json, (uint8_t)digits[bytes.data[i] & 15]);
    }
    buf_append_u8(json, '"');
}

static void append_chips(const struct machine_room *room, enum snp_product product,
                         struct buf *json) {
    const char *comma = "";
    buf_append_str(json, "\"AllowedChipIDs\":[");
    for (unsigned i = 0; i < room->host_count; i++) {
        if (room_stock_product(i) == product) {
            buf_append_str(json, comma);
            append_hex(json, SPAN(room_stock_machine(i, ROOM_GENUINE)->chip_id));
            comma = ",";
        }
    }
    buf_append_str(json, "]");
}

static void append_reference(const struct machine_room *room, unsigned host, const char *crl,
                             struct buf *json) {
    uint8_t root[32];
    const struct machine *m = room_stock_machine(host, ROOM_GENUINE);
    buf_appendf(json,
                "{\"ProductName\":\"%s\",\"TrustedMeasurement\":", snp_product_name(m->product));
    append_hex(json, SPAN(m->measurement));
    buf_appendf(json,
                ",\"MinimumTCB\":{\"BootloaderVersion\":%d,\"TEEVersion\":%d,\"SNPVersion\":%d,"
                "\"MicrocodeVersion\":%d}",
                m->tcb.bootloader, m->tcb.tee, m->tcb.snp, m->tcb.microcode);
    buf_append_str(json, ",\"GuestPolicy\":{\"ABIMajor\":0,\"ABIMinor\":0,\"SMT\":true,"
                         "\"MigrateMA\":false,\"Debug\":false,\"SingleSocket\":false,"
                         "\"CXLAllowed\":false,\"MemAES256XTS\":false,\"RAPLDis\":false,"
                         "\"CipherTextHidingDRAM\":false,\"PageSwapDisable\":false},");
    append_chips(room, m->product, json);
    if (crl != NULL) {
        buf_appendf(json, ",\"CRL\":\"%s\"", crl);
    }
    buf_append_str(json, ",\"SimulatedRoots\":[");
    machine_room_root(root);
    append_hex(json, SPAN(root));
    buf_append_str(json, "]}");
}

static void append_policy(const struct room_policy *policy, struct buf *json) {
    append_hex(json, SPAN(policy->hash));
    buf_appendf(json, ":{\"SANs\":[\"%s\"],\"WorkloadSecretID\":\"%s\"%s}", policy->san,
                policy->secret_id == NULL ? "" : policy->secret_id,
                policy->is_coordinator ? ",\"Role\":\"coordinator\"" : "");
}

static void append_share_owners(const struct room_manifest *m, struct buf *json) {
    buf_append_str(json, ",\"SeedshareOwnerPubKeys\":[");
    for (size_t i = 0; i < m->share_owner_count; i++) {
        buf_append_str(json, i == 0 ? "" : ",");
        append_hex(json, m->share_owners[i]);
    }
    buf_append_str(json, "]");
    if (m->share_threshold > 0) {
        buf_appendf(json, ",\"SeedShareOwnerThreshold\":%zu", m->share_threshold);
    }
}

void machine_room_manifest(const struct machine_room *room, const struct room_manifest *manifest,
                           struct buf *json) {
    buf_append_str(json, "{\"Policies\":{");
    for (size_t i = 0; i < manifest->policy_count; i++) {
        buf_append_str(json, i == 0 ? "" : ",");
        append_policy(&manifest->policies[i], json);
    }
    buf_append_str(json, "},\"ReferenceValues\":{\"snp\":[");
    append_reference(room, 0, manifest->crl, json);
    if (room->host_count > 1) {
        buf_append_str(json, ",");
        append_reference(room, 1, manifest->crl, json);
    }
    buf_append_str(json, "]},\"WorkloadOwnerKeyDigests\":[");
    for (size_t i = 0; i < manifest->owner_count; i++) {
        buf_append_str(json, i == 0 ? "" : ",");
        append_hex(json, span_of(manifest->owner_digests[i], 32));
    }
    buf_append_str(json, "]");
    if (manifest->share_owner_count > 0) {
        append_share_owners(manifest, json);
    }
    buf_append_str(json, manifest->has_auto_recovery ? ",\"AutoRecovery\":true}" : "}");
}
