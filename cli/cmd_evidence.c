/* contrast evidence: see cmd_evidence.h.
 *
 * What a file is, its first bytes tell (evidence_file.h). The leaf is the first certificate of the
 * report's kind among --vek and then --chain; all others are authorities. Without a leaf it comes
 * from the workspace or from AMD's key service (endorsements.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_evidence.h"

#include <string.h>

#include "attest/snp_hcl.h"
#include "attest/snp_print.h"
#include "attest/snp_verify.h"
#include "cli/endorsements.h"
#include "cli/evidence_file.h"
#include "cli/evidence_show.h"
#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/manifest/manifest.h"

#define ROOTS_MAX 8

const char CMD_EVIDENCE_VERIFY_HELP[] =
    "Usage: contrast evidence verify --report FILE [OPTION]...\n\n"
    "Judges one SEV-SNP attestation report.\n\n"
    "  --report FILE      the report, 1184 bytes, or an Azure HCL blob that holds it (- for\n"
    "                     standard input)\n"
    "  --vek FILE         certificate of the signing key: VCEK or VLEK (DER, PEM bundle, or the\n"
    "                     certificate table of the host, auxblob). Without it: from endorsements/\n"
    "                     in the workspace, else from AMD's key service\n"
    "  --chain FILE       ASK or ASVK, and ARK (the same forms); may be repeated. AMD's own are\n"
    "                     built in\n"
    "  --crl FILE         AMD's revocation list of the product (DER or PEM). Without --manifest "
    "it\n"
    "                     must be valid and current; with it the reference values decide\n"
    "  --at UNIX          judge at this time, in seconds since 1970 (default now)\n"
    "  --manifest FILE    hold it against the reference values of this manifest; without it the\n"
    "                     verdict is cryptographic, and a debuggable guest is still denied\n"
    "  --trust-root FILE  an additional root (ARK), also where the manifest does not list it "
    "among\n"
    "                     its SimulatedRoots; marks the verdict simulated\n\n"
    "Examples:\n"
    "  contrast evidence verify --report report.bin --vek vcek.der\n"
    "  contrast evidence verify --report outblob --vek auxblob --crl milan.crl \\\n"
    "      --manifest manifest.json --output json\n"
    "  CONTRAST_KDS_URL=off contrast evidence verify --report report.bin\n\n"
    "Environment: CONTRAST_KDS_URL is the key service's address (default\n"
    "https://kdsintf.amd.com; off = never asked), CONTRAST_KDS_CA_FILE a PEM file of the\n"
    "authorities that alone vouch for it. https_proxy and no_proxy are heeded.\n";

const char CMD_EVIDENCE_SHOW_HELP[] =
    "Usage: contrast evidence show FILE\n\n"
    "Prints every field of a report (1184 bytes, or in an Azure HCL blob), a certificate, a\n"
    "revocation list, a PEM bundle of them, or a certificate table as the host serves it\n"
    "(auxblob). Judges nothing: what is not as AMD makes it is shown and said.\n\n"
    "Examples:\n"
    "  contrast evidence show report.bin\n"
    "  contrast evidence show auxblob\n"
    "  contrast evidence show --output json vcek.der\n";

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
    struct evidence_file report; /* owned, like all below */
    struct snp_hcl hcl;          /* of an HCL blob; borrows from `report` */
    struct evidence_parts sent;  /* --vek, then --chain, then --trust-root; lists: the host's */
    struct evidence_parts crl;   /* --crl */
    uint8_t roots[ROOTS_MAX][32];
    size_t root_count;
    struct manifest manifest;
};

static void request_deinit(struct request *q) {
    evidence_file_deinit(&q->report);
    evidence_parts_deinit(&q->sent);
    evidence_parts_deinit(&q->crl);
    manifest_deinit(&q->manifest);
}

/* Bytes of another size go to the verifier, which denies them; another kind of file is a slip. */
static struct result read_report(struct request *q, struct err *err) {
    TRY(evidence_file_read(q->report_path, &q->report, err));
    enum evidence_kind kind = q->report.kind;
    if (kind == EVIDENCE_HCL) {
        return evidence_file_unwrap(&q->report, &q->hcl, err);
    }
    ENSURE(kind == EVIDENCE_REPORT || kind == EVIDENCE_OTHER, err, INVALID,
           "%s: %s, want a report (1184 bytes) or an Azure HCL blob", q->report_path,
           evidence_kind_name(kind));
    return OK;
}

static struct result read_parts(const char *path, enum evidence_wish wish,
                                struct evidence_parts *parts, struct err *err) {
    struct evidence_file file = {0};
    TRY(evidence_file_read(path, &file, err));
    struct result r = evidence_file_split(&file, wish, parts, err);
    evidence_file_deinit(&file);
    return r;
}

/* Every ARK among the certificates from `first` on counts as a root. */
static struct result note_roots(struct request *q, size_t first, const char *path,
                                struct err *err) {
    size_t before = q->root_count;
    for (size_t i = first; i < q->sent.certificate_count; i++) {
        struct snp_cert cert = {0};
        struct span der = buf_span(&q->sent.certificates[i]);
        if (!is_ok(snp_cert_parse(der, "trust root", &cert, NULL, NULL))) {
            return err_set(err, ERR_INVALID, "%s: not a whole certificate", path);
        }
        bool is_root = cert.kind == SNP_CERT_ARK;
        if (is_root && q->root_count < ROOTS_MAX) {
            memcpy(q->roots[q->root_count], cert.spki_digest, 32);
        }
        q->root_count += is_root ? 1 : 0;
        snp_cert_deinit(&cert);
    }
    ENSURE(q->root_count <= ROOTS_MAX, err, USAGE, "--trust-root: more than %d", ROOTS_MAX);
    ENSURE(q->root_count > before, err, INVALID,
           "%s: no root in it: want an ARK, a certificate with CN=ARK-Milan, ARK-Genoa or "
           "ARK-Turin",
           path);
    return OK;
}

static struct result read_roots(struct request *q, struct err *err) {
    for (size_t i = 0; i < q->root_paths.count; i++) {
        size_t first = q->sent.certificate_count;
        TRY(read_parts(q->root_paths.items[i], EVIDENCE_WANTS_CERTIFICATES, &q->sent, err));
        TRY(note_roots(q, first, q->root_paths.items[i], err));
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
    TRY(read_report(q, err));
    if (q->vek_path != NULL) {
        TRY(read_parts(q->vek_path, EVIDENCE_WANTS_CERTIFICATES, &q->sent, err));
    }
    for (size_t i = 0; i < q->chain_paths.count; i++) {
        TRY(read_parts(q->chain_paths.items[i], EVIDENCE_WANTS_CERTIFICATES, &q->sent, err));
    }
    if (q->crl_path != NULL) {
        TRY(read_parts(q->crl_path, EVIDENCE_WANTS_LISTS, &q->crl, err));
    }
    TRY(read_roots(q, err));
    return q->manifest_path != NULL ? read_manifest(q, err) : OK;
}

/* ---- evidence ---- */

static enum snp_cert_kind kind_of(struct span der) {
    struct snp_cert cert = {0};
    if (!is_ok(snp_cert_parse(der, "certificate", &cert, NULL, NULL))) {
        return SNP_CERT_OTHER;
    }
    enum snp_cert_kind kind = cert.kind;
    snp_cert_deinit(&cert);
    return kind;
}

/* Which certificate is taken for the leaf: the first of the report's kind, else the first leaf,
 * else the first of --vek, whatever it is: then the verifier says what is wrong with it. */
static size_t leaf_index(const struct request *q, struct span report) {
    size_t none = q->sent.certificate_count;
    bool vlek = report.size == SNP_REPORT_SIZE && (load_u32le(report.data + 0x048) >> 2 & 7) == 1;
    size_t any = none;
    for (size_t i = 0; i < none; i++) {
        enum snp_cert_kind kind = kind_of(buf_span(&q->sent.certificates[i]));
        bool is_leaf = kind == SNP_CERT_VCEK || kind == SNP_CERT_VLEK;
        if (is_leaf && (kind == SNP_CERT_VLEK) == vlek) {
            return i;
        }
        any = is_leaf && any == none ? i : any;
    }
    return any == none && q->vek_path != NULL ? 0 : any;
}

static bool is_sent_before(const struct request *q, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (span_equal(buf_span(&q->sent.certificates[i]),
                       buf_span(&q->sent.certificates[index]))) {
            return true;
        }
    }
    return false;
}

static struct result make_evidence(const struct request *q, struct snp_evidence *out,
                                   struct err *err) {
    struct span report =
        q->report.kind == EVIDENCE_HCL ? q->hcl.report : buf_span(&q->report.bytes);
    struct snp_evidence evidence = {.report = report};
    size_t leaf = leaf_index(q, report);
    for (size_t i = 0; i < q->sent.certificate_count; i++) {
        struct span der = buf_span(&q->sent.certificates[i]);
        if (i == leaf) {
            evidence.vek = der;
        } else if (!is_sent_before(q, i)) {
            ENSURE(evidence.chain_count < SNP_CHAIN_MAX, err, INVALID,
                   "more than %d authorities in --vek, --chain and --trust-root", SNP_CHAIN_MAX);
            evidence.chain[evidence.chain_count++] = der;
        }
    }
    if (q->sent.list_count > 0) {
        evidence.crl = buf_span(&q->sent.lists[0]);
    }
    *out = evidence;
    return OK;
}

/* ---- verdict ---- */

static json_t *source_to_json(const struct request *q) {
    return json_pack("{s:s,s:i,s:b}", "kind", "hcl", "offset",
                     (int)(q->hcl.report.data - q->report.bytes.data), "runtimeDataBound",
                     (int)snp_hcl_is_bound(&q->hcl));
}

static void print_source(const struct request *q, struct buf *text) {
    buf_appendf(text, "source    Azure HCL blob, report at 0x%zx; its runtime data %s\n",
                (size_t)(q->hcl.report.data - q->report.bytes.data),
                snp_hcl_is_bound(&q->hcl) ? "is what REPORT_DATA vouches for"
                                          : "is NOT what REPORT_DATA vouches for");
}

static void print_verdict(struct cli *cli, const struct request *q, const struct verdict *verdict,
                          const struct snp_report *report) {
    bool has_report = report->version != 0;
    json_t *fields = has_report ? snp_report_to_json(report) : NULL;
    bool is_blob = q->report.kind == EVIDENCE_HCL;
    if (cli->json) {
        json_t *document = verdict_to_json(verdict, fields);
        CHECK(!is_blob || json_object_set_new(document, "source", source_to_json(q)) == 0);
        cli_print_json(cli, document);
        return;
    }
    struct buf text = {0};
    if (is_blob) {
        print_source(q, &text);
    }
    verdict_to_text(verdict, &text);
    if (has_report) {
        buf_append_str(&text, "report\n");
        snp_print_text(fields, &text);
    }
    cli_print_text(buf_span(&text));
    buf_deinit(&text);
    json_decref(fields);
}

/* Completes the evidence, judges it and prints the verdict, if there is one. */
static struct result conclude(struct cli *cli, const struct request *q,
                              const struct snp_options *options, struct snp_evidence *evidence,
                              struct err *err) {
    struct snp_report report;
    struct verdict verdict;
    struct endorsements own = {0};
    struct result r =
        endorsements_complete(cli->workspace, options, evidence, &own, &report, &verdict, err);
    if (is_ok(r)) {
        r = snp_verify(evidence, options, &report, &verdict, err);
    }
    if (r.code != ERR_CONFIG) {
        print_verdict(cli, q, &verdict, &report);
    }
    endorsements_deinit(&own);
    return r;
}

static struct result judge(struct cli *cli, struct request *q, struct err *err) {
    struct snp_evidence evidence;
    struct span lists[LIMIT_EVIDENCE_PARTS];
    TRY(read_files(q, err));
    TRY(make_evidence(q, &evidence, err));
    for (size_t i = 0; i < q->crl.list_count; i++) {
        lists[i] = buf_span(&q->crl.lists[i]);
    }
    struct snp_options options = {.references = q->manifest.references,
                                  .reference_count = q->manifest.reference_count,
                                  .extra_roots = (const uint8_t(*)[32])q->roots,
                                  .extra_root_count = q->root_count,
                                  .extra_roots_suffice = true,
                                  .crls = lists,
                                  .crl_count = q->crl.list_count,
                                  .crl = q->crl.list_count > 0 ? CRL_REQUIRE : CRL_OFF,
                                  .at = q->at};
    return conclude(cli, q, &options, &evidence, err);
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

struct result cmd_evidence_show(struct cli *cli, int argc, char **argv, struct err *err) {
    struct cli_list arguments = {0};
    struct evidence_file file = {0};
    json_t *document = NULL;
    TRY(cli_parse(cli, NULL, 0, argc, argv, &arguments, err));
    ENSURE(arguments.count == 1, err, USAGE, "one FILE is needed; see --help");
    TRY(evidence_file_read(arguments.items[0], &file, err));
    struct result r = evidence_show_json(&file, &document, err);
    evidence_file_deinit(&file);
    TRY(r);
    if (cli->json) {
        cli_print_json(cli, document);
        return OK;
    }
    struct buf text = {0};
    evidence_show_text(document, &text);
    cli_print_text(buf_span(&text));
    buf_deinit(&text);
    json_decref(document);
    return OK;
}
