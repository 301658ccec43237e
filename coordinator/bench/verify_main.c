/* bench-attestation: a load of fresh verifications, beside what they cannot do without.
 *
 * Every request carries a new nonce, and every answer is judged (verify_judge.h). It takes the
 * roots that it may trust from the environment, as a pod does (CONTRAST_PERMITTED_ROOTS), and for
 * --reports the issuer (CONTRAST_SNP_SOCKET). Figures go to stdout, as text or as one JSON
 * document.
 *
 * Exit codes: 0 measured; 1 no answer; 2 usage or configuration.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <jansson.h>

#include "coordinator/bench/verify_floor.h"
#include "coordinator/bench/verify_load.h"
#include "lib/base/log.h"
#include "lib/base/process.h"
#include "lib/base/setting.h"
#include "lib/net/net.h"

#define PROGRAM "bench-attestation"

static const char usage[] =
    "Usage: " PROGRAM " [--target HOST:PORT] [OPTION]...\n"
    "Asks one replica for fresh evidence and says how many answers a second it judged.\n"
    "\n"
    "  --target HOST:PORT  the replica's user API or mesh API\n"
    "  --mode MODE         open: one connection for all requests of a verifier (the default)\n"
    "                      fresh: a new connection for each; handshake: no request at all\n"
    "  --connections N     concurrent verifiers, 1 to 1024 (64)\n"
    "  --pause-ms N        each waits a random time up to N before a request, 0 to 60000 (0)\n"
    "  --seconds N         length of the window, 1 to 600 (5)\n"
    "  --warm-ms N         time before it, 1 to 60000 (1500)\n"
    "  --hashing N         first measure N rounds of hashing alone, 0 to 100000 (0)\n"
    "  --reports N         first take N reports alone, 0 to 10000 (0)\n"
    "  --output json|text  (text)\n"
    "\n"
    "example, in the pod of web.yaml:\n"
    "  contrast-snp-simulator launch --socket snp.sock --pod web.yaml -- \\\n"
    "      " PROGRAM " --target 127.0.0.1:1313 --connections 256 --seconds 5\n";

struct verify_options {
    char host[LIMIT_ADDRESS + 1];
    uint16_t port;
    bool has_target;
    enum verify_mode mode;
    unsigned long connections;
    unsigned long pause_ms;
    unsigned long seconds;
    unsigned long warm_ms;
    unsigned long hashing;
    unsigned long reports;
    bool is_json;
};

static RESULT take_mode(const char *text, enum verify_mode *out, struct err *err) {
    static const char *const names[] = {"open", "fresh", "handshake"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum verify_mode)i;
            return OK;
        }
    }
    return err_set(err, ERR_USAGE, "--mode: want open, fresh or handshake, got '%.40s'", text);
}

static RESULT take_option(struct verify_options *o, const char *name, struct err *err) {
    const struct {
        const char *name;
        unsigned long least;
        unsigned long most;
        unsigned long *out;
    } numbers[] = {
        {"--connections", 1, VERIFY_CONNECTIONS_MAX, &o->connections},
        {"--pause-ms", 0, 60000, &o->pause_ms},
        {"--seconds", 1, 600, &o->seconds},
        {"--warm-ms", 1, 60000, &o->warm_ms},
        {"--hashing", 0, 100000, &o->hashing},
        {"--reports", 0, 10000, &o->reports},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name + 2) == 0) {
            return setting_number(numbers[i].name, optarg, numbers[i].least, numbers[i].most,
                                  numbers[i].out, err);
        }
    }
    if (strcmp(name, "target") == 0) {
        o->has_target = true;
        struct result r = net_address_parse(optarg, o->host, &o->port, err);
        return is_ok(r) ? r : err_set(err, ERR_USAGE, "--target: '%.80s' is not host:port", optarg);
    }
    if (strcmp(name, "mode") == 0) {
        return take_mode(optarg, &o->mode, err);
    }
    o->is_json = strcmp(optarg, "json") == 0;
    ENSURE(o->is_json || strcmp(optarg, "text") == 0, err, USAGE,
           "--output: want json or text, got '%.40s'", optarg);
    return OK;
}

static RESULT parse(int argc, char **argv, struct verify_options *o, struct err *err) {
    static const struct option table[] = {
        {"target", required_argument, NULL, 0},      {"mode", required_argument, NULL, 0},
        {"connections", required_argument, NULL, 0}, {"pause-ms", required_argument, NULL, 0},
        {"seconds", required_argument, NULL, 0},     {"warm-ms", required_argument, NULL, 0},
        {"hashing", required_argument, NULL, 0},     {"reports", required_argument, NULL, 0},
        {"output", required_argument, NULL, 0},      {NULL, 0, NULL, 0}};
    *o = (struct verify_options){.connections = 64, .seconds = 5, .warm_ms = 1500};
    int index = 0;
    opterr = 0;
    for (int c = getopt_long(argc, argv, "", table, &index); c != -1;
         c = getopt_long(argc, argv, "", table, &index)) {
        ENSURE(c == 0, err, USAGE, "'%s' is unknown or lacks its value; see --help",
               argv[optind - 1]);
        TRY(take_option(o, table[index].name, err));
    }
    ENSURE(optind == argc, err, USAGE, "'%s' has no meaning here; see --help", argv[optind]);
    ENSURE(o->has_target || o->hashing > 0 || o->reports > 0, err, USAGE,
           "want --target, --hashing or --reports; see --help");
    return OK;
}

/* --- Output */

/* All that was measured; zero where it was not asked for. */
struct figures {
    uint64_t hash_ns;
    struct samples report;
    struct verify_load_result load;
    double cpu_s;
};

static double us(uint64_t ns) {
    return (double)ns / 1e3;
}

static double cpu_seconds(void) {
    struct rusage u;
    CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double rate(const struct verify_options *o, const struct figures *f) {
    return (double)f->load.count / (double)o->seconds;
}

static json_t *samples_json(struct samples *s) {
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)s->count, "min_us",
                     us(samples_quantile(s, 0)), "p50_us", us(samples_quantile(s, 500)), "p99_us",
                     us(samples_quantile(s, 990)), "max_us", us(samples_quantile(s, 1000)));
}

static json_t *load_json(const struct verify_options *o, struct figures *f) {
    struct verify_load_result *r = &f->load;
    const struct verify_judge *j = &r->judge;
    return json_pack(
        "{s:f, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "rate", rate(o, f),
        "answers", (json_int_t)r->count, "failures", (json_int_t)r->failure_count, "first_failure",
        r->failure_count > 0 ? r->first_failure.text : "", "judged", (json_int_t)j->leaf_count,
        "confirmed", (json_int_t)j->confirmed_count, "distinct_reports",
        (json_int_t)j->report_count, "leaves_most", (json_int_t)j->leaf_count_most, "judge_us",
        j->leaf_count == 0 ? 0.0 : us(j->judge_ns) / (double)j->leaf_count, "report_judge_us",
        j->report_count == 0 ? 0.0 : us(j->report_ns) / (double)j->report_count, "cpu_s", f->cpu_s,
        "answer", samples_json(&r->answer));
}

static void print_json(const struct verify_options *o, struct figures *f) {
    json_t *all = json_object();
    if (o->hashing > 0) {
        json_object_set_new(all, "hash_us", json_real(us(f->hash_ns)));
    }
    if (o->reports > 0) {
        json_object_set_new(all, "report", samples_json(&f->report));
    }
    if (o->has_target) {
        json_object_set_new(all, "load", load_json(o, f));
    }
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

static void print_samples(const char *what, struct samples *s) {
    printf("%s: min %.0f us, p50 %.0f us, p99 %.0f us, max %.0f us, n %zu\n", what,
           us(samples_quantile(s, 0)), us(samples_quantile(s, 500)), us(samples_quantile(s, 990)),
           us(samples_quantile(s, 1000)), s->count);
}

static void print_text(const struct verify_options *o, struct figures *f) {
    if (o->hashing > 0) {
        printf("hashing alone: %.2f us a leaf\n", us(f->hash_ns));
    }
    if (o->reports > 0) {
        print_samples("a report alone", &f->report);
    }
    if (o->has_target) {
        const struct verify_judge *j = &f->load.judge;
        printf("%.1f %s/s\n", rate(o, f),
               o->mode == VERIFY_HANDSHAKE ? "handshakes" : "fresh verifications");
        print_samples("waited", &f->load.answer);
        printf("judged %llu answers, %llu with a quorum's word, under %llu distinct reports\n",
               (unsigned long long)j->leaf_count, (unsigned long long)j->confirmed_count,
               (unsigned long long)j->report_count);
        if (f->load.failure_count > 0) {
            printf("%llu failures; the first: %s\n", (unsigned long long)f->load.failure_count,
                   f->load.first_failure.text);
        }
    }
}

/* --- */

static RESULT read_roots(uint8_t (*roots)[32], size_t *count, struct err *err) {
    const char *text = getenv("CONTRAST_PERMITTED_ROOTS");
    return setting_digests("CONTRAST_PERMITTED_ROOTS", text == NULL ? "" : text, roots,
                           LIMIT_REFERENCE_VALUES, count, err);
}

static RESULT take_reports(size_t count, struct samples *out, struct err *err) {
    const char *socket = getenv("CONTRAST_SNP_SOCKET");
    char spec[LIMIT_ADDRESS];
    ENSURE(socket != NULL && strlen(socket) < sizeof spec - 8, err, CONFIG,
           "--reports: CONTRAST_SNP_SOCKET names no socket: run this in a pod");
    snprintf(spec, sizeof spec, "unix:%s", socket);
    return verify_floor_report(spec, count, out, err);
}

static RESULT load(const struct verify_options *o, struct verify_load_result *out,
                   struct err *err) {
    uint8_t roots[LIMIT_REFERENCE_VALUES][32];
    size_t root_count = 0;
    TRY(read_roots(roots, &root_count, err));
    struct verify_load_config config = {
        .host = o->host,
        .port = o->port,
        .mode = o->mode,
        .connections = o->connections,
        .pause_ms = o->pause_ms,
        .warm_ms = o->warm_ms,
        .window_ms = o->seconds * 1000,
        .roots = (const uint8_t(*)[32])roots,
        .root_count = root_count,
    };
    TRY(verify_load_run(&config, out, err));
    ENSURE(out->count > 0, err, UNAVAILABLE, "no answer; first failure: %.900s",
           out->failure_count > 0 ? out->first_failure.text : "none");
    return OK;
}

static RESULT measure(const struct verify_options *o, struct figures *f, struct err *err) {
    if (o->hashing > 0) {
        f->hash_ns = verify_floor_hash(o->hashing);
    }
    if (o->reports > 0) {
        TRY(take_reports(o->reports, &f->report, err));
    }
    if (o->has_target) {
        double before_s = cpu_seconds();
        TRY(load(o, &f->load, err));
        f->cpu_s = cpu_seconds() - before_s;
    }
    return OK;
}

int main(int argc, char **argv) {
    struct verify_options options;
    struct err err = {0};
    log_init(PROGRAM, LOG_WARN);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    struct result r = parse(argc, argv, &options, &err);
    if (is_ok(r)) {
        static struct figures figures;
        process_harden();
        r = measure(&options, &figures, &err);
        if (is_ok(r) && options.is_json) {
            print_json(&options, &figures);
        } else if (is_ok(r)) {
            print_text(&options, &figures);
        }
        samples_deinit(&figures.report);
        verify_load_result_deinit(&figures.load);
    }
    if (!is_ok(r)) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
    }
    return err_exit_code(r.code);
}
