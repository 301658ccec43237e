/* Room stock: see room_stock.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/room_stock.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "chaos-tests/played/fixed_rand.h"
#include "chaos-tests/simulator/machine_cert.h"
#include "lib/crypto/digest.h"

#define PRODUCTS 2 /* Milan, Genoa */
#define PSS_SALT 48
#define WEEK_S (7 * 86400)
#define YEAR_S (365 * 86400)
#define LABEL_SIZE 64

enum { KEY_ARK, KEY_ASK, KEY_ROGUE_ARK, KEY_ROGUE_ASK, KEY_COUNT };

struct authority {
    struct buf ark; /* empty: not made yet */
    struct buf ask;
};

/* The one shelf of the program; everything is made on demand and stays. */
static struct {
    struct key keys[KEY_COUNT];
    struct authority authorities[PRODUCTS][2];                /* genuine, rogue */
    struct machine machines[ROOM_STOCK_HOSTS][ROOM_MACHINES]; /* no VCEK: not made yet */
    struct buf lists[PRODUCTS][ROOM_STOCK_LISTS][2][2];       /* rogue, revoking */
} shelf;

enum snp_product room_stock_product(unsigned host) {
    return host % 2 == 0 ? SNP_MILAN : SNP_GENOA;
}

static size_t row_of(enum snp_product product) {
    CHECK(product == SNP_MILAN || product == SNP_GENOA);
    return product == SNP_MILAN ? 0 : 1;
}

static const struct key *key_of(unsigned index) {
    if (shelf.keys[index].pkey == NULL) {
        fixed_rand_rsa(index, &shelf.keys[index]);
    }
    return &shelf.keys[index];
}

void room_stock_root(bool is_rogue, uint8_t out[32]) {
    key_digest(key_of(is_rogue ? KEY_ROGUE_ARK : KEY_ARK), out);
}

/* --- Certificates */

static const struct authority *authority_of(enum snp_product product, bool is_rogue) {
    struct authority *a = &shelf.authorities[row_of(product)][is_rogue ? 1 : 0];
    const struct key *ark = key_of(is_rogue ? KEY_ROGUE_ARK : KEY_ARK);
    const struct key *ask = key_of(is_rogue ? KEY_ROGUE_ASK : KEY_ASK);
    if (a->ark.size > 0) {
        return a;
    }
    struct err err;
    fixed_rand_begin(is_rogue ? "rogue authorities" : "authorities");
    bool is_made = is_ok(machine_cert_ark(product, ark, ROOM_STOCK_BORN_S, &a->ark, &err)) &&
                   is_ok(machine_cert_ask(product, ask, ark, buf_span(&a->ark), ROOM_STOCK_BORN_S,
                                          &a->ask, &err));
    fixed_rand_end();
    CHECK(is_made);
    return a;
}

/* Below are what real machines report; MinimumTCB of the room is the genuine machine's. */
static struct snp_tcb tcb_of(enum snp_product product, enum room_machine kind) {
    struct snp_tcb tcb = product == SNP_GENOA
                             ? (struct snp_tcb){.bootloader = 10, .snp = 23, .microcode = 84}
                             : (struct snp_tcb){.bootloader = 4, .snp = 24, .microcode = 219};
    tcb.snp = (uint8_t)(tcb.snp - (kind == ROOM_OLD_TCB ? 1 : 0));
    return tcb;
}

/* Bytes that follow from a label, SHA-512 at a time. */
static void fill(const char *label, const char *what, uint8_t *out, size_t size) {
    uint8_t digest[SHA512_SIZE];
    const struct span parts[] = {span_str(label), span_str(what)};
    CHECK(size <= sizeof digest);
    sha512_parts(parts, 2, digest);
    memcpy(out, digest, size);
}

static void fill_machine(struct machine *m, unsigned host, enum room_machine kind) {
    char chip[LABEL_SIZE];
    snprintf(chip, sizeof chip, "chip %u%s", host, kind == ROOM_UNLISTED ? " unlisted" : "");
    m->product = room_stock_product(host);
    m->tcb = tcb_of(m->product, kind);
    m->chip_secret = secret_new(MACHINE_CHIP_SECRET_SIZE);
    fill(chip, "id", m->chip_id, sizeof m->chip_id);
    fill(chip, "secret", secret_data(m->chip_secret), MACHINE_CHIP_SECRET_SIZE);
    fill("guest image", "", m->measurement, sizeof m->measurement);
}

static void make_machine(struct machine *m, unsigned host, enum room_machine kind) {
    struct err err;
    char label[LABEL_SIZE];
    const struct authority *a = authority_of(room_stock_product(host), kind == ROOM_ROGUE);
    const struct key *ask = key_of(kind == ROOM_ROGUE ? KEY_ROGUE_ASK : KEY_ASK);
    snprintf(label, sizeof label, "machine %u %u", host, (unsigned)kind);
    fill_machine(m, host, kind);
    fixed_rand_begin(label);
    bool is_made = is_ok(key_generate(KEY_P384, &m->vcek, &err)) &&
                   is_ok(machine_cert_vcek(m, ask, ROOM_STOCK_BORN_S, &m->vek_der, &err));
    fixed_rand_end();
    CHECK(is_made);
    buf_append_span(&m->ask_der, buf_span(&a->ask));
    buf_append_span(&m->ark_der, buf_span(&a->ark));
}

const struct machine *room_stock_machine(unsigned host, enum room_machine kind) {
    CHECK(host < ROOM_STOCK_HOSTS && kind < ROOM_MACHINES);
    struct machine *m = &shelf.machines[host][kind];
    if (m->vcek.pkey == NULL) {
        make_machine(m, host, kind);
    }
    return m;
}

/* --- Lists */

static X509 *parse(const struct buf *der) {
    const unsigned char *at = der->data;
    X509 *cert = d2i_X509(NULL, &at, (long)der->size);
    CHECK(cert != NULL);
    return cert;
}

static void set_dates(X509_CRL *crl, unsigned number) {
    int64_t since = ROOM_STOCK_BORN_S + (int64_t)number * WEEK_S;
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)since);
    ASN1_TIME *to = ASN1_TIME_set(NULL, (time_t)(since + YEAR_S));
    CHECK(from != NULL && to != NULL && X509_CRL_set1_lastUpdate(crl, from) == 1 &&
          X509_CRL_set1_nextUpdate(crl, to) == 1);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}

static void set_number(X509_CRL *crl, unsigned number) {
    ASN1_INTEGER *value = ASN1_INTEGER_new();
    CHECK(value != NULL && ASN1_INTEGER_set(value, (long)number) == 1 &&
          X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, 0) == 1);
    ASN1_INTEGER_free(value);
}

static void revoke(X509_CRL *crl, const struct buf *ask_der) {
    X509 *ask = parse(ask_der);
    X509_REVOKED *entry = X509_REVOKED_new();
    union {
        const ASN1_INTEGER *in;
        ASN1_INTEGER *out;
    } serial = {X509_get0_serialNumber(ask)};
    union {
        const ASN1_TIME *in;
        ASN1_TIME *out;
    } date = {X509_CRL_get0_lastUpdate(crl)};
    CHECK(entry != NULL && X509_REVOKED_set_serialNumber(entry, serial.out) == 1 &&
          X509_REVOKED_set_revocationDate(entry, date.out) == 1 &&
          X509_CRL_add0_revoked(crl, entry) == 1);
    X509_free(ask);
}

static void sign_list(X509_CRL *crl, const struct key *ark, struct buf *out) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    unsigned char *der = NULL;
    CHECK(ctx != NULL && EVP_DigestSignInit(ctx, &options, EVP_sha384(), NULL, ark->pkey) == 1 &&
          EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
          EVP_PKEY_CTX_set_rsa_mgf1_md(options, EVP_sha384()) == 1 &&
          EVP_PKEY_CTX_set_rsa_pss_saltlen(options, PSS_SALT) == 1 &&
          X509_CRL_sign_ctx(crl, ctx) > 0);
    int size = i2d_X509_CRL(crl, &der);
    CHECK(size > 0);
    buf_append(out, der, (size_t)size);
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
}

static void make_list(enum snp_product product, unsigned number, bool is_rogue, bool revokes,
                      struct buf *out) {
    const struct authority *a = authority_of(product, is_rogue);
    X509 *ark = parse(&a->ark);
    X509_CRL *crl = X509_CRL_new();
    CHECK(crl != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
          X509_CRL_set_issuer_name(crl, X509_get_subject_name(ark)) == 1);
    set_dates(crl, number);
    set_number(crl, number);
    if (revokes) {
        revoke(crl, &a->ask);
    }
    fixed_rand_begin("list");
    sign_list(crl, key_of(is_rogue ? KEY_ROGUE_ARK : KEY_ARK), out);
    fixed_rand_end();
    X509_CRL_free(crl);
    X509_free(ark);
}

struct span room_stock_list(enum snp_product product, unsigned number, bool is_rogue,
                            bool revokes) {
    CHECK(number >= 1 && number <= ROOM_STOCK_LISTS);
    struct buf *list = &shelf.lists[row_of(product)][number - 1][is_rogue ? 1 : 0][revokes ? 1 : 0];
    if (list->size == 0) {
        make_list(product, number, is_rogue, revokes, list);
    }
    return buf_span(list);
}
