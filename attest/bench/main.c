/* bench-attest: what one verification costs, beside the bare cryptography in it.
 *
 *   stdin: a line        stdout: one round as a JSON line, {sample: {row: us of processor time}}
 *   stdin: end           the end
 *
 * So a driver takes rounds in turns with a peer's, and both see the same machine. Each row is run
 * for --ms milliseconds in a round. One thread; times are the process's own (CPU), not the clock's.
 *
 * Exit codes: 0 measured; 1 evidence that should be accepted was not, or stdout is gone; 2 usage.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "attest/bench/bench_sample.h"
#include "attest/hotkey.h"
#include "attest/p384_table.h"
#include "attest/snp_cache.h"
#include "lib/crypto/digest.h"

#define PROGRAM "bench-attest"
#define MS_MAX 10000

static const char usage[] =
    "Usage: " PROGRAM " [--data FOLDER] [--ms N]\n"
    "Measures one verification; for each line on stdin one round, as JSON on stdout.\n"
    "\n"
    "  --data FOLDER  real reports: FOLDER/snp (CONTRAST_TESTDATA, else ../shared/testdata);\n"
    "                 without them a machine of its own\n"
    "  --ms N         time for one row in one round, 1 to 10000 (20)\n"
    "\n"
    "example:\n"
    "  echo | " PROGRAM "\n"
    "scripts/bench attest runs it beside other verifiers and prints a table.\n";

/* One sample and what its rows need, made before any clock runs. */
struct subject {
    const struct bench_sample *sample;
    struct snp_chain *chain; /* of the sample, not from a cache */
    unsigned char *signature;
    size_t signature_size;
    struct snp_cache *known; /* has the authority, never the leaf */
    struct snp_cache *hot;   /* has the leaf, and its table */
    EC_GROUP *group;
    EC_POINT *point; /* the leaf's */
    struct p384_table *generator;
    struct p384_table *table; /* of the leaf's point */
    uint8_t r[48];
    uint8_t s[48];
};

static int64_t now_ns(void) {
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- rows ---- */

/* Anything but the expected verdict ends the program: a refusal is fast and no figure. */
static void judge_as(const struct subject *s, const struct snp_options *options, struct span crl,
                     const char *code) {
    struct snp_report report;
    struct verdict verdict;
    struct err err = {0};
    struct snp_evidence evidence = s->sample->evidence;
    evidence.crl = crl;
    err_ignore(snp_verify(&evidence, options, &report, &verdict, &err), "the verdict says it");
    if (strcmp(verdict.code, code) != 0) {
        fprintf(stderr, PROGRAM ": %s: want '%s': %s\n", s->sample->name, code, err.text);
        exit(1);
    }
}

static void judge(const struct subject *s, struct snp_cache *cache, size_t sets, bool with_list) {
    struct snp_options options = s->sample->options;
    options.cache = cache;
    options.references = s->sample->sets + (BENCH_SETS - sets);
    options.reference_count = sets;
    judge_as(s, &options, with_list ? buf_span(&s->sample->crl) : (struct span){0}, "");
}

static void parse(struct subject *s) {
    struct snp_report report;
    struct verdict verdict;
    verdict_init(&verdict);
    CHECK(is_ok(snp_report_parse(s->sample->evidence.report, &report, &verdict, NULL)));
}

static void ecdsa(struct subject *s) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *key = X509_get0_pubkey(s->chain->vek.x509);
    CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1 &&
          EVP_DigestVerify(ctx, s->signature, s->signature_size, s->sample->report.data,
                           SNP_REPORT_SIGNED_SIZE) == 1);
    EVP_MD_CTX_free(ctx);
}

static void by_table(struct subject *s) {
    uint8_t digest[SHA384_SIZE];
    sha384(span_of(s->sample->report.data, SNP_REPORT_SIGNED_SIZE), digest);
    CHECK(p384_table_verify(s->generator, s->table, digest, s->r, s->s));
}

static void rsa(struct subject *s) {
    CHECK(X509_verify(s->chain->vek.x509, X509_get0_pubkey(s->chain->authority.x509)) == 1);
}

static void decode(struct subject *s) {
    const unsigned char *at = s->sample->vek.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)s->sample->vek.size);
    CHECK(x509 != NULL && X509_get0_pubkey(x509) != NULL);
    X509_free(x509);
}

static void cold(struct subject *s) {
    judge(s, NULL, 0, false);
}

/* Refused at the very end for its REPORT_DATA: so the cache never learns the leaf. */
static void new_leaf(struct subject *s) {
    static const uint8_t nonce[64] = {0xA5};
    struct snp_options options = s->sample->options;
    options.cache = s->known;
    options.report_data = nonce;
    judge_as(s, &options, (struct span){0}, "SNP-REPORT-DATA");
}

static void hot(struct subject *s) {
    judge(s, s->hot, 0, false);
}

static void hot_one_set(struct subject *s) {
    judge(s, s->hot, 1, false);
}

static void hot_sets(struct subject *s) {
    judge(s, s->hot, BENCH_SETS, false);
}

static void hot_list(struct subject *s) {
    judge(s, s->hot, 0, true);
}

static struct p384_table *table_of(const struct subject *s, const EC_POINT *point,
                                   unsigned window) {
    struct p384_table *table = p384_table_new(s->group, point, window);
    CHECK(table != NULL);
    return table;
}

static void key_table(struct subject *s) {
    p384_table_free(table_of(s, s->point, HOTKEY_WINDOW_KEY));
}

static void generator_table(struct subject *s) {
    p384_table_free(table_of(s, EC_GROUP_get0_generator(s->group), HOTKEY_WINDOW_GENERATOR));
}

static double repeat(struct subject *s, void (*run)(struct subject *s), int64_t least_ns) {
    int64_t begin = now_ns();
    int64_t spent = 0;
    unsigned count = 0;
    do {
        run(s);
        count++;
        spent = now_ns() - begin;
    } while (spent < least_ns);
    return (double)spent / count / 1e3;
}

/* Chains that are known while their key has no table yet: the calls between the first and the one
 * that makes it. */
static double repeat_warm(struct subject *s, int64_t least_ns) {
    int64_t spent = 0;
    unsigned count = 0;
    do {
        struct snp_cache *cache = snp_cache_new();
        judge(s, cache, 0, false);
        int64_t begin = now_ns();
        for (unsigned i = 0; i + 1 < HOTKEY_AFTER; i++) {
            judge(s, cache, 0, false);
            count++;
        }
        spent += now_ns() - begin;
        snp_cache_free(cache);
    } while (spent < least_ns);
    return (double)spent / count / 1e3;
}

static const struct {
    const char *name;
    void (*run)(struct subject *s); /* NULL: repeat_warm */
} ROWS[] = {
    {"parse", parse},
    {"ecdsa", ecdsa},
    {"ecdsa-table", by_table},
    {"rsa", rsa},
    {"decode", decode},
    {"cold", cold},
    {"new-leaf", new_leaf},
    {"warm", NULL},
    {"hot", hot},
    {"hot-1-set", hot_one_set},
    {"hot-4-sets", hot_sets},
    {"hot-list", hot_list},
    {"key-table", key_table},
    {"generator-table", generator_table},
};

/* ---- rounds ---- */

static void sign_der(struct subject *s, const struct snp_report *report) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    CHECK(ECDSA_SIG_set0(sig, BN_lebin2bn(report->r, sizeof report->r, NULL),
                         BN_lebin2bn(report->s, sizeof report->s, NULL)) == 1);
    int n = i2d_ECDSA_SIG(sig, &s->signature);
    ECDSA_SIG_free(sig);
    CHECK(n > 0);
    s->signature_size = (size_t)n;
    memcpy(s->r, report->r, sizeof s->r);
    memcpy(s->s, report->s, sizeof s->s);
}

static void make_tables(struct subject *s) {
    unsigned char bytes[97];
    size_t size = 0;
    s->group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    s->point = EC_POINT_new(s->group);
    CHECK(EVP_PKEY_get_octet_string_param(X509_get0_pubkey(s->chain->vek.x509), "pub", bytes,
                                          sizeof bytes, &size) == 1 &&
          EC_POINT_oct2point(s->group, s->point, bytes, size, NULL) == 1);
    s->table = table_of(s, s->point, HOTKEY_WINDOW_KEY);
    s->generator = table_of(s, EC_GROUP_get0_generator(s->group), HOTKEY_WINDOW_GENERATOR);
}

static struct snp_chain *prove(const struct subject *s, struct snp_cache *cache,
                               const struct snp_chain_input *input) {
    struct verdict verdict;
    struct err err = {0};
    struct snp_chain *chain = NULL;
    verdict_init(&verdict);
    if (!is_ok(snp_chain_establish(cache, input, &chain, &verdict, &err))) {
        fprintf(stderr, PROGRAM ": %s: %s\n", s->sample->name, err.text);
        exit(1);
    }
    return chain;
}

/* The same leaf as the answer to another question: whether the report names its product is part of
 * it. So the cache has the authority, and not the leaf. */
static void know_authority(struct subject *s, const struct snp_chain_input *input) {
    struct snp_chain_input other = *input;
    bool named = input->by_report != SNP_PRODUCT_UNKNOWN;
    other.by_report = named ? SNP_PRODUCT_UNKNOWN : s->chain->product;
    s->known = snp_cache_new();
    struct snp_chain *chain = prove(s, s->known, &other);
    snp_cache_keep(s->known, chain);
    snp_chain_unref(chain);
}

static void subject_init(struct subject *s, const struct bench_sample *sample) {
    struct snp_report report;
    *s = (struct subject){.sample = sample};
    CHECK(is_ok(snp_report_parse(sample->evidence.report, &report, NULL, NULL)));
    const struct snp_chain_input input = {.vek = sample->evidence.vek,
                                          .certificates = sample->evidence.chain,
                                          .certificate_count = sample->evidence.chain_count,
                                          .kind = snp_report_signing_key(&report),
                                          .by_report = snp_product_of_report(&report)};
    s->chain = prove(s, NULL, &input);
    sign_der(s, &report);
    make_tables(s);
    know_authority(s, &input);
    s->hot = snp_cache_new();
    for (unsigned i = 0; i <= HOTKEY_AFTER; i++) {
        hot(s);
    }
}

static void subject_deinit(struct subject *s) {
    snp_cache_free(s->known);
    snp_cache_free(s->hot);
    snp_chain_unref(s->chain);
    OPENSSL_free(s->signature);
    p384_table_free(s->table);
    p384_table_free(s->generator);
    EC_POINT_free(s->point);
    EC_GROUP_free(s->group);
}

static json_t *measure(struct subject *s, int64_t least_ns) {
    json_t *rows = json_object();
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (ROWS[i].run == hot_list && s->sample->crl.size == 0) {
            continue;
        }
        double us =
            ROWS[i].run == NULL ? repeat_warm(s, least_ns) : repeat(s, ROWS[i].run, least_ns);
        CHECK(json_object_set_new(rows, ROWS[i].name, json_real(us)) == 0);
    }
    return rows;
}

static bool print_round(struct subject *subjects, size_t count, int64_t least_ns) {
    json_t *round = json_object();
    for (size_t i = 0; i < count; i++) {
        CHECK(json_object_set_new(round, subjects[i].sample->name,
                                  measure(&subjects[i], least_ns)) == 0);
    }
    bool good = json_dumpf(round, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0 &&
                putchar('\n') == '\n' && fflush(stdout) == 0;
    json_decref(round);
    return good;
}

static bool print_rounds(const char *folder, int64_t least_ns) {
    struct bench_sample samples[BENCH_SAMPLES];
    struct subject subjects[BENCH_SAMPLES];
    char line[16];
    bool good = true;
    size_t count = bench_sample_load(folder, samples);
    for (size_t i = 0; i < count; i++) {
        subject_init(&subjects[i], &samples[i]);
    }
    while (good && fgets(line, sizeof line, stdin) != NULL) {
        good = print_round(subjects, count, least_ns);
    }
    for (size_t i = 0; i < count; i++) {
        subject_deinit(&subjects[i]);
        bench_sample_deinit(&samples[i]);
    }
    return good;
}

/* ---- command line ---- */

struct options {
    const char *folder;
    uint64_t ms;
    bool wants_help;
};

static RESULT parse_ms(const char *text, uint64_t *out, struct err *err) {
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    ENSURE(text[0] >= '0' && text[0] <= '9' && *end == '\0' && value >= 1 && value <= MS_MAX, err,
           USAGE, "--ms: want a number from 1 to %d, got '%.40s'", MS_MAX, text);
    *out = value;
    return OK;
}

static RESULT parse_options(int argc, char **argv, struct options *o, struct err *err) {
    static const struct option table[] = {{"data", required_argument, NULL, 'd'},
                                          {"ms", required_argument, NULL, 'm'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *set = getenv("CONTRAST_TESTDATA");
    *o = (struct options){.folder = set != NULL ? set : "../shared/testdata", .ms = 20};
    opterr = 0;
    for (int c = getopt_long(argc, argv, "h", table, NULL); c != -1;
         c = getopt_long(argc, argv, "h", table, NULL)) {
        ENSURE(c != '?', err, USAGE, "'%.80s' is unknown or lacks its value; see --help",
               argv[optind - 1]);
        if (c == 'm') {
            TRY(parse_ms(optarg, &o->ms, err));
        }
        o->folder = c == 'd' ? optarg : o->folder;
        o->wants_help = o->wants_help || c == 'h';
    }
    ENSURE(optind == argc, err, USAGE, "'%.80s' is one argument too many; see --help",
           argv[optind]);
    return OK;
}

int main(int argc, char **argv) {
    struct options o;
    struct err err = {0};
    if (!is_ok(parse_options(argc, argv, &o, &err))) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
        return 2;
    }
    if (o.wants_help) {
        fputs(usage, stdout);
        return 0;
    }
    return print_rounds(o.folder, (int64_t)o.ms * 1000000) ? 0 : 1;
}
