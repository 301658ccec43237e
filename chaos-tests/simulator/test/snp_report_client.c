/* A program in a simulated pod: asks the issuer of its environment for reports or a derived key and
 * writes them to the folder it is given, for other tools to judge.
 *
 *   snp-report-client FOLDER HEX128 [COUNT]     writes report.bin, vek.der, chain0.der, chain1.der
 *   snp-report-client FOLDER key ROOT FIELDS VMPL SVN TCB      writes key.bin; decimal or 0x...
 *
 * A busy host is asked again, at once and without bound: the test bounds the time. Prints the
 * number of busy answers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/issuer.h"
#include "lib/base/file.h"

static RESULT save(const char *folder, const char *name, const struct buf *bytes, struct err *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_write(path, buf_span(bytes), 0600, err);
}

static RESULT save_evidence(const char *folder, const struct issuer_evidence *e, struct err *err) {
    TRY(save(folder, "report.bin", &e->report, err));
    TRY(save(folder, "vek.der", &e->vek, err));
    ENSURE(e->chain_count == 2, err, INVALID, "%zu certificates in the chain", e->chain_count);
    TRY(save(folder, "chain0.der", &e->chain[0], err));
    return save(folder, "chain1.der", &e->chain[1], err);
}

static RESULT ask(struct issuer *issuer, const uint8_t *data, const char *folder, long *busy,
                  struct err *err) {
    struct issuer_evidence e = {0};
    struct result r = issuer_report(issuer, data, &e, err);
    while (r.code == ERR_BUSY) {
        (*busy)++;
        r = issuer_report(issuer, data, &e, err);
    }
    if (is_ok(r)) {
        r = save_evidence(folder, &e, err);
    }
    issuer_evidence_deinit(&e);
    return r;
}

static RESULT open_issuer(struct issuer **out, struct err *err) {
    char spec[256];
    const char *path = getenv("CONTRAST_SNP_SOCKET");
    ENSURE(path != NULL, err, CONFIG, "CONTRAST_SNP_SOCKET is not set");
    snprintf(spec, sizeof spec, "unix:%s", path);
    return issuer_open(spec, out, err);
}

/* `words` are the numbers of the usage. */
static RESULT run_key(const char *folder, char **words, struct err *err) {
    struct issuer *issuer = NULL;
    char path[4096];
    struct issuer_key_spec spec = {
        .root_key = (enum issuer_root_key)strtoul(words[0], NULL, 0),
        .fields = strtoull(words[1], NULL, 0),
        .vmpl = (uint32_t)strtoul(words[2], NULL, 0),
        .guest_svn = (uint32_t)strtoul(words[3], NULL, 0),
        .tcb_version = strtoull(words[4], NULL, 0),
    };
    snprintf(path, sizeof path, "%s/key.bin", folder);
    TRY(open_issuer(&issuer, err));
    struct secret *key = secret_new(ISSUER_KEY_SIZE);
    struct result r = issuer_derive_key(issuer, &spec, key, err);
    if (is_ok(r)) {
        r = file_write(path, secret_span(key), 0600, err);
    }
    secret_free(key);
    issuer_close(issuer);
    return r;
}

static RESULT run(const char *folder, const char *hex, long count, struct err *err) {
    uint8_t data[ISSUER_DATA_SIZE];
    struct issuer *issuer = NULL;
    long busy = 0;
    TRY(hex_decode(span_str(hex), data, sizeof data, err));
    TRY(open_issuer(&issuer, err));
    struct result r = OK;
    for (long i = 0; is_ok(r) && i < count; i++) {
        r = ask(issuer, data, folder, &busy, err);
    }
    issuer_close(issuer);
    printf("busy %ld\n", busy);
    return r;
}

int main(int argc, char **argv) {
    struct err err = {0};
    if (argc < 3) {
        fputs("usage: snp-report-client FOLDER HEX128 [COUNT]\n"
              "       snp-report-client FOLDER key ROOT FIELDS VMPL SVN TCB\n",
              stderr);
        return 2;
    }
    bool is_key = strcmp(argv[2], "key") == 0 && argc == 8;
    struct result r = is_key
                          ? run_key(argv[1], argv + 3, &err)
                          : run(argv[1], argv[2], argc > 3 ? strtol(argv[3], NULL, 10) : 1, &err);
    if (!is_ok(r)) {
        fprintf(stderr, "snp-report-client: %s\n", err.text);
    }
    return err_exit_code(r.code);
}
