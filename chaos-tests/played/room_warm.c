/* Room warm-up: see machine_room_warm_up. Every way on which a seed meets OpenSSL is gone once:
 * evidence of each machine, lists, certificates and keys of each kind, written and read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl.h"
#include "attest/snp_roots.h"
#include "attest/snp_verify.h"
#include "chaos-tests/played/fixed_rand.h"
#include "chaos-tests/played/machine_room.h"
#include "lib/crypto/cert.h"

#define REPORTS 16 /* of a pod: all nonces come by */

/* Good and bad ones alike: what is false is looked at as long as what is true. */
static void judge(const struct issuer_evidence *made, const uint8_t root[1][32]) {
    struct snp_report report;
    struct verdict verdict = {0};
    struct snp_evidence evidence = {.report = buf_span(&made->report),
                                    .vek = buf_span(&made->vek),
                                    .chain = {buf_span(&made->chain[0]), buf_span(&made->chain[1])},
                                    .chain_count = 2};
    struct snp_options options = {.extra_roots = (const uint8_t(*)[32])root,
                                  .extra_root_count = 1,
                                  .extra_roots_suffice = true,
                                  .at = MACHINE_ROOM_EPOCH_S};
    err_ignore(snp_verify(&evidence, &options, &report, &verdict, NULL), "any verdict will do");
}

static void warm_machine(struct machine_room *room, unsigned host, enum room_machine kind) {
    char spec[MACHINE_ROOM_SPEC_SIZE];
    struct pod_identity pod = {.machine = kind};
    uint8_t root[1][32];
    machine_room_pod(room, host, &pod, spec);
    machine_room_root(root[0]);
    for (uint8_t i = 0; i < REPORTS; i++) {
        uint8_t data[ISSUER_DATA_SIZE] = {i};
        struct issuer_evidence made = {0};
        CHECK(is_ok(machine_room_report(room, spec, data, &made, NULL)));
        judge(&made, (const uint8_t(*)[32])root);
        issuer_evidence_deinit(&made);
    }
}

static void warm_lists(unsigned host) {
    struct snp_cert root = {0};
    struct snp_crl_facts facts;
    const struct machine *m = room_stock_machine(host, ROOM_GENUINE);
    CHECK(is_ok(snp_cert_parse(buf_span(&m->ark_der), "ARK", &root, NULL, NULL)));
    for (unsigned i = 0; i < 4 * ROOM_STOCK_LISTS; i++) {
        struct span list =
            room_stock_list(m->product, i / 4 + 1, (i & 1) != 0, (i & 1) == 0 && (i & 2) != 0);
        err_ignore(snp_crl_check(list, &root, &facts, NULL), "the rogue root's are refused");
    }
    snp_cert_deinit(&root);
}

/* Written and read in all forms; certified by itself where that is done. */
static void warm_key(enum key_kind kind) {
    struct key key = {0};
    struct key again = {0};
    AUTO(buf_deinit)
    struct buf form = {0};
    CHECK(is_ok(key_generate(kind, &key, NULL)));
    key_spki(&key, &form);
    CHECK(is_ok(key_from_spki(buf_span(&form), &again, NULL)));
    key_deinit(&again);
    buf_clear(&form);
    key_private_der(&key, &form);
    CHECK(is_ok(key_from_private_der(buf_span(&form), &again, NULL)));
    key_deinit(&again);
    buf_clear(&form);
    key_to_pem(&key, true, &form);
    CHECK(is_ok(key_from_pem(buf_span(&form), &again, NULL)));
    key_deinit(&again);
    buf_clear(&form);
    CHECK(is_ok(key_sign(&key, span_str("warm"), &form, NULL)) &&
          is_ok(key_verify(&key, span_str("warm"), buf_span(&form), NULL)));
    key_deinit(&key);
}

static void warm_certificates(void) {
    struct key root = {0};
    struct key leaf = {0};
    AUTO(buf_deinit)
    struct buf root_der = {0};
    AUTO(buf_deinit)
    struct buf leaf_der = {0};
    const uint8_t serial[] = {1, 2};
    struct cert_spec spec = {.subject = "warm",
                             .serial = SPAN(serial),
                             .not_before = MACHINE_ROOM_EPOCH_S,
                             .not_after = MACHINE_ROOM_EPOCH_S + 1000,
                             .is_ca = true,
                             .path_length = CERT_PATH_LENGTH_NONE,
                             .key_usage = CERT_USE_KEY_CERT_SIGN};
    CHECK(is_ok(key_generate(KEY_P384, &root, NULL)) &&
          is_ok(key_generate(KEY_P256, &leaf, NULL)) &&
          is_ok(cert_build(&spec, &root, &root, &root_der, NULL)));
    spec.is_ca = false;
    spec.issuer_certificate = buf_span(&root_der);
    spec.key_usage = CERT_USE_DIGITAL_SIGNATURE;
    CHECK(is_ok(cert_build(&spec, &leaf, &root, &leaf_der, NULL)) &&
          is_ok(cert_verify_leaf(buf_span(&leaf_der), NULL, 0, buf_span(&root_der),
                                 MACHINE_ROOM_EPOCH_S + 1, NULL)));
    key_deinit(&root);
    key_deinit(&leaf);
}

static void warm_share_owner(unsigned index) {
    struct key key = {0};
    struct key again = {0};
    struct secret *opened = NULL;
    AUTO(buf_deinit)
    struct buf form = {0};
    machine_room_share_owner(index, &key);
    key_pkcs1(&key, &form);
    CHECK(is_ok(key_from_pkcs1(buf_span(&form), KEY_RSA_BITS_MIN, &again, NULL)));
    buf_clear(&form);
    CHECK(is_ok(key_seal(&again, span_str("warm"), span_str("secret"), &form, NULL)) &&
          is_ok(key_open(&key, span_str("warm"), buf_span(&form), &opened, NULL)));
    secret_free(opened);
    key_deinit(&again);
    key_deinit(&key);
}

void machine_room_warm_up(unsigned host_count) {
    struct machine_room *room = machine_room_new(host_count);
    for (unsigned host = 0; host < host_count; host++) {
        for (unsigned kind = 0; kind < ROOM_MACHINES; kind++) {
            warm_machine(room, host, (enum room_machine)kind);
        }
    }
    warm_lists(0);
    warm_lists(1);
    fixed_rand_begin("warm up");
    warm_key(KEY_P256);
    warm_key(KEY_P384);
    warm_certificates();
    for (unsigned i = 0; i < MACHINE_ROOM_SHARE_OWNERS; i++) {
        warm_share_owner(i);
    }
    fixed_rand_end();
    machine_room_free(room);
}
