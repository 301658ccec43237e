/* Leaf: see leaf.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/leaf.h"

#include "lib/base/limits.h"
#include "lib/tls/tls.h"

static const char leaf_label[] = "contrast-attest-leaf-v1"; /* with its NUL */
static const char root_label[] = "contrast-attest-root-v1";

const char *attest_kind_name(enum attest_kind kind) {
    return kind == ATTEST_REPLICA ? "replica" : "workload";
}

static void exporter_of_tls(void *data, uint8_t out[32]) {
    tls_exporter(data, out);
}

static void local_of_tls(void *data, uint8_t out[48]) {
    tls_local_spki_sha384(data, out);
}

static void peer_of_tls(void *data, uint8_t out[48]) {
    tls_peer_spki_sha384(data, out);
}

static bool side_of_tls(void *data) {
    return tls_is_server(data);
}

struct attest_channel attest_channel_of_tls(struct tls *tls) {
    return (struct attest_channel){tls, exporter_of_tls, local_of_tls, peer_of_tls, side_of_tls};
}

/* Everything that a leaf is made of; fixed width but for the statement. */
struct leaf_input {
    enum attest_purpose purpose;
    enum attest_side side;
    enum attest_kind kind;
    const uint8_t *nonce;
    uint8_t exporter[32];
    uint8_t spki_digest[SHA384_SIZE];
    struct span statement;
};

static void hash(const struct leaf_input *in, uint8_t out[ATTEST_LEAF_SIZE]) {
    const uint8_t prefix = 0x00;
    const uint8_t roles[] = {(uint8_t)in->purpose, (uint8_t)in->side, (uint8_t)in->kind};
    uint8_t statement_digest[SHA384_SIZE];
    sha384(in->statement, statement_digest);
    struct span parts[] = {
        {&prefix, 1},
        SPAN(leaf_label),
        SPAN(roles),
        {in->nonce, ATTEST_NONCE_SIZE},
        SPAN(in->exporter),
        SPAN(in->spki_digest),
        SPAN(statement_digest),
    };
    sha384_parts(parts, sizeof parts / sizeof parts[0], out);
}

void attest_session_leaf(const struct attest_channel *channel, enum attest_end end,
                         enum attest_kind kind, const uint8_t nonce[ATTEST_NONCE_SIZE],
                         struct span statement, uint8_t out[ATTEST_LEAF_SIZE]) {
    bool is_server = channel->is_server(channel->data) == (end == ATTEST_BY_US);
    struct leaf_input in = {.purpose = ATTEST_SESSION,
                            .side = is_server ? ATTEST_SERVER : ATTEST_CLIENT,
                            .kind = kind,
                            .nonce = nonce,
                            .statement = statement};
    channel->exporter(channel->data, in.exporter);
    if (end == ATTEST_BY_US) {
        channel->local_spki_sha384(channel->data, in.spki_digest);
    } else {
        channel->peer_spki_sha384(channel->data, in.spki_digest);
    }
    hash(&in, out);
}

void attest_document_leaf(enum attest_kind kind, const uint8_t nonce[ATTEST_NONCE_SIZE],
                          struct span spki, struct span statement, uint8_t out[ATTEST_LEAF_SIZE]) {
    struct leaf_input in = {.purpose = ATTEST_DOCUMENT,
                            .side = ATTEST_SERVER,
                            .kind = kind,
                            .nonce = nonce,
                            .statement = statement};
    sha384(spki, in.spki_digest);
    hash(&in, out);
}

void attest_report_data(uint32_t leaf_count, const uint8_t root[SHA384_SIZE],
                        uint8_t out[ATTEST_REPORT_DATA_SIZE]) {
    CHECK(leaf_count >= 1 && leaf_count <= LIMIT_EVIDENCE_LEAVES);
    uint8_t count[4];
    store_u32be(count, leaf_count);
    struct span parts[] = {SPAN(root_label), SPAN(count), {root, SHA384_SIZE}};
    sha512_parts(parts, 3, out);
}
