/* contrast evidence: see cmd_evidence.h.
 *
 * Files are PEM or DER by their first bytes; a PEM file may hold several certificates, as AMD's key
 * service serves them. Without --vek the certificate comes from the workspace or from AMD's key
 * service (endorsements.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_evidence.h"

#include <string.h>

#include "attest/snp_certtable.h"
#include "attest/snp_print.h"
#include "attest/snp_verify.h"
#include "cli/endorsements.h"
#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/crypto/pem.h"
#include "lib/manifest/manifest.h"

#define EVIDENCE_FILE_MAX (128 * 1024)
#define ROOTS_MAX 8

const char CMD_EVIDENCE_VERIFY_HELP[] =
    "Usage: contrast evidence verify --report FILE [OPTION]...\n\n"
    "Judges one SEV-SNP attestation report.\n\n"
    "  --report FILE      the report, 1184 bytes (- for standard input)\n"
    "  --vek FILE         certificate of the signing key: VCEK or VLEK (DER or PEM). Without it:\n"
    "                     from endorsements/ in the workspace, else from AMD's key service\n"
    "  --chain FILE       ASK or ASVK, and ARK (DER or PEM bundle); may be repeated\n"
    "  --crl FILE         AMD's revocation list of the product (DER or PEM)\n"
    "  --at UNIX          judge at this time, in seconds since 1970 (default now)\n"
    "  --manifest FILE    hold it against the reference values of this manifest; without it the\n"
    "                     verdict is cryptographic, and a debuggable guest is still denied\n"
    "  --trust-root FILE  an additional root (ARK); marks the verdict simulated. With --manifest\n"
    "                     it counts only for reference values that list it\n\n"
    "Examples:\n"
    "  contrast evidence verify --report report.bin --vek vcek.der --chain cert_chain.pem\n"
    "  contrast evidence verify --report report.bin --vek vcek.der --chain cert_chain.pem \\\n"
    "      --manifest manifest.json --output json\n"
    "  CONTRAST_KDS_URL=off contrast evidence verify --report report.bin\n\n"
    "Environment: CONTRAST_KDS_URL is the key service's address (default\n"
    "https://kdsintf.amd.com; off = never asked), CONTRAST_KDS_CA_FILE a PEM file of the\n"
    "authorities that alone vouch for it. https_proxy and no_proxy are heeded.\n";

const char CMD_EVIDENCE_SHOW_HELP[] =
    "Usage: contrast evidence show FILE\n\n"
    "Prints every field of a report (1184 bytes), a certificate or a PEM bundle of them, a\n"
    "certificate table as the host serves it, or a CRL. Judges nothing.\n\n"
    "Examples:\n"
    "  contrast evidence show report.bin\n"
    "  contrast evidence show --output json vcek.der\n";

/* DER of the certificates of all files, in order. */
struct bundle {
    struct buf items[SNP_CHAIN_MAX]; /* owned */
    size_t count;
};

static void bundle_deinit(struct bundle *b) {
    for (size_t i = 0; i < b->count; i++) {
        buf_deinit(&b->items[i]);
    }
    b->count = 0;
}

static struct result bundle_add(struct bundle *b, struct span der, const char *path,
                                struct err *err) {
    ENSURE(b->count < SNP_CHAIN_MAX, err, INVALID, "%s: more than %d certificates", path,
           SNP_CHAIN_MAX);
    buf_append_span(&b->items[b->count++], der);
    return OK;
}

/* The bundle that pem_each fills, and the file it comes from. */
struct filling {
    struct bundle *out;
    const char *path;
};

static struct result on_block(void *data, struct span der, struct err *err) {
    struct filling *f = data;
    return bundle_add(f->out, der, f->path, err);
}

/* Appends every block of this kind ("CERTIFICATE") of a PEM text. */
static struct result read_pem(const struct buf *file, const char *kind, const char *path,
                              struct bundle *out, struct err *err) {
    struct filling filling = {out, path};
    size_t count = 0;
    TRY(pem_each(buf_span(file), kind, on_block, &filling, &count, err));
    ENSURE(count > 0, err, INVALID, "%s: no %s block in this PEM file", path, kind);
    return OK;
}

static struct result read_bundle(const char *path, const char *kind, struct bundle *out,
                                 struct err *err) {
    AUTO(buf_deinit)
    struct buf file = {0};
    TRY(file_read(path, EVIDENCE_FILE_MAX, &file, err));
    ENSURE(file.size > 0, err, INVALID, "%s: empty file", path);
    if (pem_is_text(buf_span(&file))) {
        return read_pem(&file, kind, path, out, err);
    }
    return bundle_add(out, buf_span(&file), path, err);
}

/* ---- verify ---- */

/* The command line and what its files hold. */
struct request {
    const char *report_path;
    const char *vek_path;
    const char *crl_path;
    const char *manifest_path;
    struct cli_list chain_paths;
    struct cli_list root_paths;
    int64_t at;
    struct buf report; /* owned, like all below */
    struct bundle vek; /* the leaf first; what follows it joins the chain */
    struct bundle chain;
    struct bundle crl;
    uint8_t roots[ROOTS_MAX][32];
    size_t root_count;
    struct manifest manifest;
};

static void request_deinit(struct request *q) {
    buf_deinit(&q->report);
    bundle_deinit(&q->vek);
    bundle_deinit(&q->chain);
    bundle_deinit(&q->crl);
    manifest_deinit(&q->manifest);
}

static struct result read_roots(struct request *q, struct err *err) {
    for (size_t i = 0; i < q->root_paths.count; i++) {
        const char *path = q->root_paths.items[i];
        struct bundle found = {0};
        struct snp_cert cert = {0};
        struct result r = q->root_count < ROOTS_MAX
                              ? read_bundle(path, "CERTIFICATE", &found, err)
                              : err_set(err, ERR_USAGE, "--trust-root: more than %d", ROOTS_MAX);
        if (is_ok(r)) {
            r = snp_cert_parse(buf_span(&found.items[0]), "trust root", &cert, NULL, err);
            r = is_ok(r) ? r
                         : err_set(err, ERR_INVALID, "%s: not one certificate in DER or PEM", path);
        }
        if (is_ok(r)) {
            memcpy(q->roots[q->root_count++], cert.spki_digest, 32);
            r = bundle_add(&q->chain, buf_span(&found.items[0]), path, err);
        }
        snp_cert_deinit(&cert);
        bundle_deinit(&found);
        TRY(r);
    }
    return OK;
}

static struct result read_manifest(struct request *q, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(q->manifest_path, LIMIT_MANIFEST, &text, err));
    struct result r = manifest_parse(buf_span(&text), &q->manifest, err);
    return is_ok(r) ? r : err_wrap(r, err, "%s", q->manifest_path);
}

static struct result read_files(struct request *q, struct err *err) {
    TRY(file_read(q->report_path, EVIDENCE_FILE_MAX, &q->report, err));
    if (q->vek_path != NULL) {
        TRY(read_bundle(q->vek_path, "CERTIFICATE", &q->vek, err));
    }
    for (size_t i = 0; i < q->chain_paths.count; i++) {
        TRY(read_bundle(q->chain_paths.items[i], "CERTIFICATE", &q->chain, err));
    }
    for (size_t i = 1; i < q->vek.count; i++) {
        TRY(bundle_add(&q->chain, buf_span(&q->vek.items[i]), q->vek_path, err));
    }
    if (q->crl_path != NULL) {
        TRY(read_bundle(q->crl_path, "X509 CRL", &q->crl, err));
    }
    TRY(read_roots(q, err));
    return q->manifest_path != NULL ? read_manifest(q, err) : OK;
}

static struct snp_evidence evidence_of(const struct request *q) {
    struct snp_evidence evidence = {.report = buf_span(&q->report), .chain_count = q->chain.count};
    if (q->vek.count > 0) {
        evidence.vek = buf_span(&q->vek.items[0]);
    }
    if (q->crl.count > 0) {
        evidence.crl = buf_span(&q->crl.items[0]);
    }
    for (size_t i = 0; i < q->chain.count; i++) {
        evidence.chain[i] = buf_span(&q->chain.items[i]);
    }
    return evidence;
}

static void print_verdict(struct cli *cli, const struct verdict *verdict,
                          const struct snp_report *report) {
    bool has_report = report->version != 0;
    json_t *fields = has_report ? snp_report_to_json(report) : NULL;
    if (cli->json) {
        cli_print_json(cli, verdict_to_json(verdict, fields));
        return;
    }
    struct buf text = {0};
    verdict_to_text(verdict, &text);
    if (has_report) {
        buf_append_str(&text, "report\n");
        snp_print_text(fields, &text);
    }
    cli_print_text(buf_span(&text));
    buf_deinit(&text);
    json_decref(fields);
}

static struct result judge(struct cli *cli, struct request *q, struct err *err) {
    TRY(read_files(q, err));
    struct snp_evidence evidence = evidence_of(q);
    struct snp_options options = {.references = q->manifest.references,
                                  .reference_count = q->manifest.reference_count,
                                  .extra_roots = (const uint8_t(*)[32])q->roots,
                                  .extra_root_count = q->root_count,
                                  .crl = q->crl.count > 0 ? CRL_REQUIRE : CRL_OFF,
                                  .at = q->at};
    struct snp_report report;
    struct verdict verdict;
    struct endorsements own = {0};
    struct result r = endorsements_complete(cli, &options, &evidence, &own, &report, &verdict, err);
    if (is_ok(r)) {
        r = snp_verify(&evidence, &options, &report, &verdict, err);
    }
    if (r.code != ERR_CONFIG) {
        print_verdict(cli, &verdict, &report);
    }
    endorsements_deinit(&own);
    return r;
}

struct result cmd_evidence_verify(struct cli *cli, int argc, char **argv, struct err *err) {
    struct request q = {.at = host_unix_s(&host_system)};
    const struct cli_option options[] = {{"report", 0, CLI_STRING, &q.report_path},
                                         {"vek", 0, CLI_STRING, &q.vek_path},
                                         {"chain", 0, CLI_STRINGS, &q.chain_paths},
                                         {"crl", 0, CLI_STRING, &q.crl_path},
                                         {"at", 0, CLI_NUMBER, &q.at},
                                         {"manifest", 'm', CLI_STRING, &q.manifest_path},
                                         {"trust-root", 0, CLI_STRINGS, &q.root_paths}};
    TRY(cli_parse(cli, options, sizeof options / sizeof options[0], argc, argv, NULL, err));
    ENSURE(q.report_path != NULL, err, USAGE, "--report FILE is needed; see --help");
    struct result r = judge(cli, &q, err);
    request_deinit(&q);
    return r;
}

/* ---- show ---- */

static struct result show_certs(const struct bundle *certs, json_t *list, struct err *err) {
    for (size_t i = 0; i < certs->count; i++) {
        struct snp_cert cert = {0};
        TRY(snp_cert_parse(buf_span(&certs->items[i]), "certificate", &cert, NULL, err));
        json_array_append_new(list, snp_cert_to_json(&cert));
        snp_cert_deinit(&cert);
    }
    return OK;
}

static struct result certs_to_json(const struct bundle *certs, json_t **out, struct err *err) {
    json_t *list = json_array();
    struct result r = show_certs(certs, list, err);
    if (!is_ok(r)) {
        json_decref(list);
        return r;
    }
    *out = json_pack("{s:o}", "certificates", list);
    return OK;
}

static struct result table_to_json(struct span file, json_t **out, struct err *err) {
    struct snp_certtable table = {0};
    TRY(snp_certtable_parse(file, &table, err));
    const struct span all[] = {table.vcek, table.vlek, table.ask, table.ark};
    struct bundle certs = {0};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].size > 0) {
            buf_append_span(&certs.items[certs.count++], all[i]);
        }
    }
    struct result r = certs.count > 0
                          ? certs_to_json(&certs, out, err)
                          : err_set(err, ERR_INVALID, "a certificate table without certificates");
    bundle_deinit(&certs);
    return r;
}

static struct result report_to_json(struct span file, json_t **out, struct err *err) {
    struct snp_report report;
    TRY(snp_report_parse(file, &report, NULL, err));
    *out = json_pack("{s:o}", "report", snp_report_to_json(&report));
    return OK;
}

static struct result pem_to_json(const struct buf *file, const char *path, json_t **out,
                                 struct err *err) {
    struct bundle certs = {0};
    struct result r = read_pem(file, "CERTIFICATE", path, &certs, err);
    if (is_ok(r)) {
        r = certs_to_json(&certs, out, err);
    }
    bundle_deinit(&certs);
    return r;
}

static struct result crl_to_json(struct span file, json_t **out, struct err *err) {
    json_t *crl = NULL;
    TRY(snp_crl_to_json(file, &crl, err));
    *out = json_pack("{s:o}", "crl", crl);
    return OK;
}

/* The first reading that fits. */
static struct result file_to_json(const struct buf *file, const char *path, json_t **out,
                                  struct err *err) {
    if (pem_is_text(buf_span(file))) {
        return pem_to_json(file, path, out, err);
    }
    if (file->size == SNP_REPORT_SIZE) {
        struct result r = report_to_json(buf_span(file), out, err);
        return is_ok(r) ? r : err_wrap(r, err, "%s", path);
    }
    struct bundle one = {.count = 1};
    buf_append_span(&one.items[0], buf_span(file));
    struct result as_cert = certs_to_json(&one, out, NULL);
    bundle_deinit(&one);
    if (is_ok(as_cert) || is_ok(crl_to_json(buf_span(file), out, NULL)) ||
        is_ok(table_to_json(buf_span(file), out, NULL))) {
        return OK;
    }
    return err_set(err, ERR_INVALID,
                   "%s: %zu bytes that are no report (1184 bytes), certificate, certificate table "
                   "or CRL",
                   path, file->size);
}

static void print_sections(json_t *document) {
    struct buf text = {0};
    size_t index = 0;
    json_t *item = NULL;
    json_t *certs = json_object_get(document, "certificates");
    json_array_foreach(certs, index, item) {
        buf_append_str(&text, index > 0 ? "\n" : "");
        snp_print_text(item, &text);
    }
    if (certs == NULL) {
        item = json_object_get(document, "report");
        snp_print_text(item != NULL ? item : json_object_get(document, "crl"), &text);
    }
    cli_print_text(buf_span(&text));
    buf_deinit(&text);
}

struct result cmd_evidence_show(struct cli *cli, int argc, char **argv, struct err *err) {
    struct cli_list arguments = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    json_t *document = NULL;
    TRY(cli_parse(cli, NULL, 0, argc, argv, &arguments, err));
    ENSURE(arguments.count == 1, err, USAGE, "one FILE is needed; see --help");
    TRY(file_read(arguments.items[0], EVIDENCE_FILE_MAX, &file, err));
    TRY(file_to_json(&file, arguments.items[0], &document, err));
    if (cli->json) {
        cli_print_json(cli, document);
        return OK;
    }
    print_sections(document);
    json_decref(document);
    return OK;
}
