/* Endorsements: see endorsements.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/endorsements.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/endorse/import.h"
#include "attest/endorse/kds.h"
#include "attest/snp_product.h"
#include "cli/workspace.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

/* One completion. */
struct work {
    const char *workspace;
    const struct snp_options *options;
    struct snp_evidence *evidence;
    struct endorsements *own;
    const struct snp_report *report;
    struct snp_endorsement_key keys[2];
    size_t key_count;
    uint8_t (*roots)[32]; /* owned: permitted besides AMD's, of options and references */
    size_t root_count;
    struct verdict *verdict;
    struct err *err;
};

void endorsements_deinit(struct endorsements *e) {
    buf_deinit(&e->vek);
}

static void take(struct work *w, struct span der) {
    buf_append_span(&w->own->vek, der);
    w->evidence->vek = buf_span(&w->own->vek);
}

/* ---- permitted roots ---- */

static void add_roots(struct work *w, const uint8_t (*roots)[32], size_t count) {
    if (count > 0) {
        memcpy(w->roots + w->root_count, roots, count * sizeof *roots);
        w->root_count += count;
    }
}

/* Those of snp_verify: the owner's own and, unless they alone decide, those that a set lists. */
static void collect_roots(struct work *w) {
    const struct snp_options *o = w->options;
    size_t sets = o->only_extra_roots ? 0 : o->reference_count;
    size_t count = o->extra_root_count;
    for (size_t i = 0; i < sets; i++) {
        count += o->references[i].simulated_root_count;
    }
    w->roots = mem_calloc(count + 1, sizeof *w->roots);
    add_roots(w, o->extra_roots, o->extra_root_count);
    for (size_t i = 0; i < sets; i++) {
        add_roots(w, (const uint8_t(*)[32])o->references[i].simulated_roots,
                  o->references[i].simulated_root_count);
    }
}

/* ---- the folder ---- */

/* The VLEK names no machine: product and TCB must fit, the report's signature decides. */
static bool is_fitting_vlek(const struct work *w, const struct import_item *item) {
    struct snp_tcb tcb;
    return item->kind == SNP_CERT_VLEK && snp_report_signing_key(w->report) == SNP_KEY_VLEK &&
           is_ok(snp_tcb_decode(item->product, w->report->reported_tcb, &tcb, NULL)) &&
           snp_tcb_equal(&tcb, &item->claims.tcb, NULL);
}

static bool is_wanted(const struct work *w, const struct import_item *item) {
    for (size_t i = 0; i < w->key_count; i++) {
        if (item->has_key && snp_endorsement_same(&item->key, &w->keys[i])) {
            return true;
        }
    }
    return is_fitting_vlek(w, item);
}

static struct result on_item(void *data, const struct import_item *item, struct err *err) {
    struct work *w = data;
    struct err why = {0};
    (void)err;
    if (w->evidence->vek.size > 0 || !is_wanted(w, item)) {
        return OK;
    }
    struct result r = item->has_key
                          ? snp_endorsement_check(
                                &item->key, item->der, w->evidence->chain, w->evidence->chain_count,
                                (const uint8_t(*)[32])w->roots, w->root_count, w->options->at, &why)
                          : OK;
    if (is_ok(r)) {
        take(w, item->der);
    } else {
        log_warn("%s: %s", item->path, why.text);
    }
    return OK;
}

static void on_skipped(void *data, const char *path, const char *why) {
    (void)data;
    log_debug("%s: %s", path, why);
}

/* A workspace without the folder is one with nothing in it. */
static void search_folder(struct work *w) {
    struct workspace_path folder;
    struct err why = {0};
    const struct import_hooks hooks = {w, on_item, on_skipped};
    struct result r = workspace_locate(w->workspace, ENDORSEMENTS_FOLDER, &folder, &why);
    if (is_ok(r)) {
        r = import_path(folder.text, &hooks, NULL, &why);
    }
    if (!is_ok(r) && r.code != ERR_NOT_FOUND) {
        log_warn("%s", why.text);
    }
}

static struct result write_kept(const struct work *w, const struct snp_endorsement_key *key,
                                struct err *err) {
    char chip[2 * sizeof key->chip_id + 1];
    char tcb[2 * sizeof key->tcb + 1];
    char name[224];
    struct workspace_path folder;
    struct workspace_path path;
    hex_encode(span_of(key->chip_id, key->product == SNP_TURIN ? 8 : sizeof key->chip_id), chip);
    hex_encode(SPAN(key->tcb), tcb);
    snprintf(name, sizeof name, ENDORSEMENTS_FOLDER "/%s-%s-%s.der", snp_product_line(key->product),
             chip, tcb);
    TRY(workspace_locate(w->workspace, ENDORSEMENTS_FOLDER, &folder, err));
    TRY(workspace_locate(w->workspace, name, &path, err));
    TRY(file_mkdirs(folder.text, 0755, err));
    return file_write(path.text, buf_span(&w->own->vek), 0644, err);
}

/* A verdict does not depend on it: a workspace may be read-only. */
static void keep(const struct work *w, const struct snp_endorsement_key *key) {
    struct err why = {0};
    if (!is_ok(write_kept(w, key, &why))) {
        log_warn("the certificate is not kept: %s", why.text);
    }
}

/* ---- the key service ---- */

static const char *code_of(enum err_code code) {
    switch ((int)code) { /* a few of many */
    case ERR_BUSY:
        return "SNP-KDS-BUSY";
    case ERR_UNAVAILABLE:
        return "SNP-KDS-UNAVAILABLE";
    case ERR_NOT_FOUND:
        return "SNP-KDS-UNKNOWN-CHIP";
    default:
        return "SNP-KDS-ANSWER";
    }
}

static const char *advice_of(enum err_code code) {
    switch ((int)code) {
    case ERR_BUSY:
        return "wait, then run this again";
    case ERR_UNAVAILABLE:
        return "run this again later";
    case ERR_NOT_FOUND:
        return "compare CHIP_ID and REPORTED_TCB with the machine's";
    default:
        return "check what answers at this address, and CONTRAST_KDS_URL";
    }
}

/* The service's failure as a verdict: the address goes to the remedy, for it is long. */
static struct result lack(struct work *w, const struct snp_endorsement_key *key, const char *base,
                          const struct err *why) {
    char url[LIMIT_KDS_URL];
    char remedy[480];
    kds_vek_url(base, key, url);
    size_t skip = strncmp(why->text, url, strlen(url)) == 0 ? strlen(url) + 2 : 0;
    snprintf(remedy, sizeof remedy,
             "%s; or put it into %.60s/" ENDORSEMENTS_FOLDER
             "/ (evidence verify: --vek), from %.300s",
             advice_of(why->code), w->workspace, url);
    const struct verdict_rule rule = {"endorsement", code_of(why->code), "VCEK", remedy};
    struct result r =
        verdict_lack(w->verdict, w->err, &rule,
                     "the certificate of the signing key, from the key service", why->text + skip);
    err_advise(w->err, why->retry_ms);
    return r;
}

/* Asks for each key in turn; the second product only when the first does not know the chip. */
static struct result fetch(struct work *w, struct kds *kds, const char *base) {
    struct err why = {0};
    size_t i = 0;
    struct result r;
    do {
        log_info("asking %s for the certificate of this %s chip", base == NULL ? "AMD" : base,
                 snp_product_line(w->keys[i].product));
        r = kds_fetch_vek(kds, &w->keys[i], &w->own->vek, NULL, &why);
        i++;
    } while (r.code == ERR_NOT_FOUND && i < w->key_count);
    if (!is_ok(r)) {
        return lack(w, &w->keys[i - 1], base, &why);
    }
    w->evidence->vek = buf_span(&w->own->vek);
    keep(w, &w->keys[i - 1]);
    return OK;
}

static struct result ask_service(struct work *w) {
    const char *base = getenv("CONTRAST_KDS_URL");
    const char *ca_file = getenv("CONTRAST_KDS_CA_FILE");
    base = base != NULL && base[0] != '\0' ? base : NULL;
    if (w->key_count == 0 || (base != NULL && strcmp(base, "off") == 0)) {
        return OK;
    }
    const struct kds_config config = {.base = base,
                                      .ca_file =
                                          ca_file != NULL && ca_file[0] != '\0' ? ca_file : NULL,
                                      .extra_roots = (const uint8_t(*)[32])w->roots,
                                      .extra_root_count = w->root_count};
    struct kds *kds = NULL;
    struct result r = kds_open(&config, &kds, w->err);
    if (!is_ok(r)) {
        return err_wrap(r, w->err, "CONTRAST_KDS_URL or CONTRAST_KDS_CA_FILE");
    }
    r = fetch(w, kds, base);
    kds_close(kds);
    return r;
}

struct result endorsements_complete(const char *workspace, const struct snp_options *options,
                                    struct snp_evidence *evidence, struct endorsements *own,
                                    struct snp_report *report, struct verdict *verdict,
                                    struct err *err) {
    if (evidence->vek.size > 0) {
        return OK;
    }
    TRY(snp_verify_before_endorsement(evidence->report, options, report, verdict, err));
    struct work w = {.workspace = workspace,
                     .options = options,
                     .evidence = evidence,
                     .own = own,
                     .report = report,
                     .verdict = verdict,
                     .err = err};
    w.key_count = snp_endorsement_keys(report, w.keys);
    collect_roots(&w);
    search_folder(&w);
    struct result r = evidence->vek.size > 0 ? OK : ask_service(&w);
    mem_free(w.roots);
    return r;
}
