/* Machine: makes and reads the folder of a simulated machine; see machine.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/machine.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "chaos-tests/simulator/machine_cert.h"
#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"

#define JSON_LIMIT 65536
#define JSON_STYLE (JSON_INDENT(2) | JSON_PRESERVE_ORDER)
#define TURIN_CHIP_ID_SIZE 8
#define HEX_SIZE(size) ((size)*2 + 1)

struct authority {
    struct key ark;
    struct key ask;
};

static void deinit_authority(struct authority *a) {
    key_deinit(&a->ark);
    key_deinit(&a->ask);
}

static void free_json(json_t **value) {
    json_decref(*value);
}

void machine_deinit(struct machine *m) {
    key_deinit(&m->vcek);
    secret_free(m->chip_secret);
    m->chip_secret = NULL;
    buf_deinit(&m->vek_der);
    buf_deinit(&m->ask_der);
    buf_deinit(&m->ark_der);
}

struct result machine_product_parse(const char *name, enum snp_product *out, struct err *err) {
    static const enum snp_product products[] = {SNP_MILAN, SNP_GENOA, SNP_TURIN};
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        if (strcmp(name, snp_product_name(products[i])) == 0) {
            *out = products[i];
            return OK;
        }
    }
    return err_set(err, ERR_USAGE, "product '%.64s' is not Milan, Genoa or Turin", name);
}

/* Versions that real machines of each kind report. */
static struct snp_tcb tcb_of(enum snp_product product) {
    switch (product) {
    case SNP_GENOA:
        return (struct snp_tcb){.bootloader = 10, .snp = 23, .microcode = 84};
    case SNP_TURIN:
        return (struct snp_tcb){.fmc = 1, .bootloader = 1, .tee = 1, .snp = 4, .microcode = 81};
    case SNP_MILAN:
    case SNP_PRODUCT_UNKNOWN:
        break;
    }
    return (struct snp_tcb){.bootloader = 4, .snp = 24, .microcode = 219};
}

/* --- the folder */

static RESULT make_path(const char *dir, const char *name, char out[PATH_MAX], struct err *err) {
    int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    ENSURE(n > 0 && n < PATH_MAX, err, USAGE, "%.200s: the path is too long", dir);
    return OK;
}

static RESULT save(const char *dir, const char *name, struct span bytes, mode_t mode,
                   struct err *err) {
    char path[PATH_MAX];
    TRY(make_path(dir, name, path, err));
    return file_write(path, bytes, mode, err);
}

static RESULT load(const char *dir, const char *name, size_t limit, struct buf *out,
                   struct err *err) {
    char path[PATH_MAX];
    TRY(make_path(dir, name, path, err));
    return file_read(path, limit, out, err);
}

static RESULT prepare_folder(const char *dir, struct err *err) {
    TRY(file_mkdirs(dir, 0700, err));
    DIR *folder = opendir(dir);
    ENSURE(folder != NULL, err, IO, "%s: cannot be read", dir);
    size_t count = 0;
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 ? 1 : 0;
    }
    closedir(folder);
    ENSURE(count == 0, err, EXISTS, "%s: the folder is not empty; name a new one or clear it", dir);
    return OK;
}

static RESULT save_key(const char *dir, const char *name, const struct key *key, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    key_to_pem(key, true, &pem);
    return save(dir, name, buf_span(&pem), 0600, err);
}

static RESULT save_cert(const char *dir, const char *der_name, const char *pem_name,
                        const struct buf *der, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    machine_cert_pem(buf_span(der), &pem);
    TRY(save(dir, der_name, buf_span(der), 0644, err));
    return save(dir, pem_name, buf_span(&pem), 0644, err);
}

static RESULT save_json(const char *dir, const char *name, const json_t *document,
                        struct err *err) {
    char *text = json_dumps(document, JSON_STYLE);
    CHECK(text != NULL);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    buf_appendf(&bytes, "%s\n", text);
    free(text);
    return save(dir, name, buf_span(&bytes), 0644, err);
}

static json_t *hex_json(struct span bytes) {
    char hex[HEX_SIZE(MACHINE_CHIP_ID_SIZE)];
    CHECK(bytes.size <= MACHINE_CHIP_ID_SIZE);
    hex_encode(bytes, hex);
    return json_string(hex);
}

static json_t *tcb_json(const struct machine *m) {
    json_t *tcb = json_object();
    if (m->product == SNP_TURIN) {
        json_object_set_new(tcb, "FMCVersion", json_integer(m->tcb.fmc));
    }
    json_object_set_new(tcb, "BootloaderVersion", json_integer(m->tcb.bootloader));
    json_object_set_new(tcb, "TEEVersion", json_integer(m->tcb.tee));
    json_object_set_new(tcb, "SNPVersion", json_integer(m->tcb.snp));
    json_object_set_new(tcb, "MicrocodeVersion", json_integer(m->tcb.microcode));
    return tcb;
}

/* The guests of this machine run with SMT and nothing else allowed or required. */
static json_t *policy_json(void) {
    static const char *const off[] = {
        "MigrateMA",    "Debug",   "SingleSocket",         "CXLAllowed",
        "MemAES256XTS", "RAPLDis", "CipherTextHidingDRAM", "PageSwapDisable"};
    json_t *policy = json_object();
    json_object_set_new(policy, "ABIMinor", json_integer(0));
    json_object_set_new(policy, "ABIMajor", json_integer(0));
    json_object_set_new(policy, "SMT", json_true());
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        json_object_set_new(policy, off[i], json_false());
    }
    return policy;
}

static json_t *reference_json(const struct machine *m, const uint8_t root[32]) {
    json_t *entry = json_object();
    json_object_set_new(entry, "ProductName", json_string(snp_product_name(m->product)));
    json_object_set_new(entry, "TrustedMeasurement", hex_json(SPAN(m->measurement)));
    json_object_set_new(entry, "MinimumTCB", tcb_json(m));
    json_object_set_new(entry, "GuestPolicy", policy_json());
    json_object_set_new(entry, "AllowedChipIDs", json_pack("[o]", hex_json(SPAN(m->chip_id))));
    json_object_set_new(entry, "SimulatedRoots", json_pack("[o]", hex_json(span_of(root, 32))));
    return json_pack("[o]", entry);
}

static json_t *machine_json(const struct machine *m, const uint8_t root[32]) {
    json_t *document = json_object();
    json_object_set_new(document, "product", json_string(snp_product_name(m->product)));
    json_object_set_new(document, "chip_id", hex_json(SPAN(m->chip_id)));
    json_object_set_new(document, "measurement", hex_json(SPAN(m->measurement)));
    json_object_set_new(document, "tcb", tcb_json(m));
    json_object_set_new(document, "ark_spki_sha256", hex_json(span_of(root, 32)));
    return document;
}

/* --- a new machine */

static RESULT make_identity(struct machine *m, const struct machine_plan *plan, struct err *err) {
    m->product = plan->product;
    m->tcb = tcb_of(plan->product);
    m->tcb.microcode = plan->microcode != NULL ? *plan->microcode : m->tcb.microcode;
    host_random(&host_system, m->chip_id,
                plan->product == SNP_TURIN ? TURIN_CHIP_ID_SIZE : MACHINE_CHIP_ID_SIZE);
    if (plan->measurement != NULL) {
        memcpy(m->measurement, plan->measurement, sizeof m->measurement);
    } else {
        host_random(&host_system, m->measurement, sizeof m->measurement);
    }
    m->chip_secret = secret_new(MACHINE_CHIP_SECRET_SIZE);
    host_random(&host_system, secret_data(m->chip_secret), MACHINE_CHIP_SECRET_SIZE);
    return key_generate(KEY_P384, &m->vcek, err);
}

static RESULT save_chain(const char *dir, const struct machine *m, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    machine_cert_pem(buf_span(&m->ask_der), &pem);
    machine_cert_pem(buf_span(&m->ark_der), &pem);
    return save(dir, "cert_chain.pem", buf_span(&pem), 0644, err);
}

static RESULT save_all(const char *dir, const struct machine *m, const struct authority *a,
                       struct err *err) {
    uint8_t root[32];
    key_digest(&a->ark, root);
    AUTO(free_json)
    json_t *reference = reference_json(m, root);
    AUTO(free_json)
    json_t *document = machine_json(m, root);
    TRY(save_key(dir, "ark.key.pem", &a->ark, err));
    TRY(save_key(dir, "ask.key.pem", &a->ask, err));
    TRY(save_key(dir, "vcek.key.pem", &m->vcek, err));
    TRY(save(dir, "chip.secret", secret_span(m->chip_secret), 0600, err));
    TRY(save_cert(dir, "ark.der", "ark.pem", &m->ark_der, err));
    TRY(save_cert(dir, "ask.der", "ask.pem", &m->ask_der, err));
    TRY(save_cert(dir, "vcek.der", "vcek.pem", &m->vek_der, err));
    TRY(save_chain(dir, m, err));
    TRY(save_json(dir, "reference-values.json", reference, err));
    return save_json(dir, "machine.json", document, err);
}

/* --- load */

static RESULT read_hex(const json_t *document, const char *name, uint8_t *out, size_t size,
                       struct err *err) {
    const json_t *value = json_object_get(document, name);
    ENSURE(json_is_string(value), err, CONFIG, "%s: want a string of %zu hexadecimal digits", name,
           2 * size);
    struct result r = hex_decode(span_str(json_string_value(value)), out, size, err);
    if (!is_ok(r)) {
        return err_wrap(err_set(err, ERR_CONFIG, "want %zu hexadecimal digits", 2 * size), err,
                        "%s", name);
    }
    return OK;
}

static RESULT read_version(const json_t *tcb, const char *name, uint8_t *out, struct err *err) {
    const json_t *value = json_object_get(tcb, name);
    ENSURE(json_is_integer(value) && json_integer_value(value) >= 0 &&
               json_integer_value(value) <= UINT8_MAX,
           err, CONFIG, "tcb.%s: want a number from 0 to 255", name);
    *out = (uint8_t)json_integer_value(value);
    return OK;
}

static RESULT read_tcb(const json_t *tcb, struct machine *m, struct err *err) {
    if (m->product == SNP_TURIN) {
        TRY(read_version(tcb, "FMCVersion", &m->tcb.fmc, err));
    }
    TRY(read_version(tcb, "BootloaderVersion", &m->tcb.bootloader, err));
    TRY(read_version(tcb, "TEEVersion", &m->tcb.tee, err));
    TRY(read_version(tcb, "SNPVersion", &m->tcb.snp, err));
    return read_version(tcb, "MicrocodeVersion", &m->tcb.microcode, err);
}

static RESULT read_document(const json_t *document, struct machine *m, uint8_t root[32],
                            struct err *err) {
    const json_t *product = json_object_get(document, "product");
    ENSURE(json_is_string(product), err, CONFIG, "product: want Milan, Genoa or Turin");
    TRY(machine_product_parse(json_string_value(product), &m->product, err));
    TRY(read_hex(document, "chip_id", m->chip_id, sizeof m->chip_id, err));
    TRY(read_hex(document, "measurement", m->measurement, sizeof m->measurement, err));
    TRY(read_hex(document, "ark_spki_sha256", root, 32, err));
    return read_tcb(json_object_get(document, "tcb"), m, err);
}

static RESULT load_document(const char *dir, struct machine *m, uint8_t root[32], struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct result r = load(dir, "machine.json", JSON_LIMIT, &text, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "not the folder of a machine (see init)");
    }
    json_error_t at;
    AUTO(free_json)
    json_t *document = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &at);
    ENSURE(document != NULL, err, CONFIG, "%s/machine.json:%d:%d: %s", dir, at.line, at.column,
           at.text);
    r = read_document(document, m, root, err);
    return is_ok(r) ? OK : err_wrap(r, err, "%s/machine.json", dir);
}

static RESULT load_key(const char *dir, const char *name, enum key_kind kind, struct key *out,
                       struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    TRY(load(dir, name, (size_t)LIMIT_PEM, &pem, err));
    struct result r = key_from_pem(buf_span(&pem), out, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s/%s", dir, name);
    }
    ENSURE(key_kind_of(out) == kind && key_is_private(out), err, CONFIG,
           "%s/%s: want a private %s key", dir, name, kind == KEY_RSA ? "RSA" : "P-384");
    return OK;
}

static RESULT load_chip_secret(const char *dir, struct secret **out, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    TRY(load(dir, "chip.secret", MACHINE_CHIP_SECRET_SIZE, &bytes, err));
    ENSURE(bytes.size == MACHINE_CHIP_SECRET_SIZE, err, CONFIG,
           "%s/chip.secret: has %zu bytes, want %d", dir, bytes.size, MACHINE_CHIP_SECRET_SIZE);
    *out = secret_new(MACHINE_CHIP_SECRET_SIZE);
    memcpy(secret_data(*out), bytes.data, MACHINE_CHIP_SECRET_SIZE);
    return OK;
}

/* The certificate must hold the key with this digest. */
static RESULT load_cert(const char *dir, const char *name, const uint8_t *key, struct buf *out,
                        struct err *err) {
    uint8_t digest[32];
    TRY(load(dir, name, LIMIT_CERT, out, err));
    struct result r = machine_cert_key_digest(buf_span(out), digest, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s/%s", dir, name);
    }
    ENSURE(key == NULL || memcmp(digest, key, sizeof digest) == 0, err, CONFIG,
           "%s/%s: holds another key than this machine's", dir, name);
    return OK;
}

static RESULT load_all(const char *dir, struct machine *m, struct err *err) {
    uint8_t root[32];
    uint8_t vcek[32];
    TRY(load_document(dir, m, root, err));
    TRY(load_key(dir, "vcek.key.pem", KEY_P384, &m->vcek, err));
    TRY(load_chip_secret(dir, &m->chip_secret, err));
    key_digest(&m->vcek, vcek);
    TRY(load_cert(dir, "vcek.der", vcek, &m->vek_der, err));
    TRY(load_cert(dir, "ask.der", NULL, &m->ask_der, err));
    return load_cert(dir, "ark.der", root, &m->ark_der, err);
}

struct result machine_load(const char *dir, struct machine *out, struct err *err) {
    struct machine m = {0};
    struct result r = load_all(dir, &m, err);
    if (!is_ok(r)) {
        machine_deinit(&m);
        return r;
    }
    *out = m;
    return OK;
}

/* --- create */

static RESULT make_authority(struct machine *m, struct authority *a, int64_t now, struct err *err) {
    TRY(key_generate(KEY_RSA, &a->ark, err));
    TRY(key_generate(KEY_RSA, &a->ask, err));
    TRY(machine_cert_ark(m->product, &a->ark, now, &m->ark_der, err));
    return machine_cert_ask(m->product, &a->ask, &a->ark, buf_span(&m->ark_der), now, &m->ask_der,
                            err);
}

/* The ARK and ASK of another machine. */
static RESULT load_authority(const char *dir, struct machine *m, struct authority *a,
                             struct err *err) {
    AUTO(machine_deinit)
    struct machine other = {0};
    uint8_t digest[32];
    TRY(machine_load(dir, &other, err));
    ENSURE(other.product == m->product, err, CONFIG, "%s: a machine of another product", dir);
    TRY(load_key(dir, "ark.key.pem", KEY_RSA, &a->ark, err));
    TRY(load_key(dir, "ask.key.pem", KEY_RSA, &a->ask, err));
    key_digest(&a->ark, digest);
    TRY(load_cert(dir, "ark.der", digest, &m->ark_der, err));
    key_digest(&a->ask, digest);
    return load_cert(dir, "ask.der", digest, &m->ask_der, err);
}

struct result machine_create(const char *dir, const struct machine_plan *plan, struct err *err) {
    AUTO(machine_deinit)
    struct machine m = {0};
    AUTO(deinit_authority)
    struct authority a = {0};
    int64_t now = host_unix_s(&host_system);
    TRY(prepare_folder(dir, err));
    TRY(make_identity(&m, plan, err));
    if (plan->root != NULL) {
        struct result r = load_authority(plan->root, &m, &a, err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "root");
        }
    } else {
        TRY(make_authority(&m, &a, now, err));
    }
    TRY(machine_cert_vcek(&m, &a.ask, now, &m.vek_der, err));
    return save_all(dir, &m, &a, err);
}
