/* bench-certificates: a load of certificate requests, beside the cost of bare cryptography.
 *
 * It runs as a pod of the simulated machine and takes its trust from the environment, as a
 * workload's initializer does (CONTRAST_OWNER_KEY_DIGESTS, CONTRAST_PERMITTED_ROOTS,
 * CONTRAST_SNP_SOCKET). Figures go to stdout, as text or as one JSON document.
 *
 * Exit codes: 0 measured; 1 no certificate, or fewer than --count; 2 usage or configuration.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <jansson.h>

#include "coordinator/bench/floor.h"
#include "coordinator/bench/load.h"
#include "lib/base/process.h"
#include "lib/net/net.h"

#define PROGRAM "bench-certificates"

static const char usage[] =
    "Usage: " PROGRAM " --target HOST:PORT [OPTION]...\n"
    "       " PROGRAM " --floor-ms N\n"
    "Asks one replica's mesh API for certificates and says how many a second it gets.\n"
    "\n"
    "  --target HOST:PORT  the replica's mesh API\n"
    "  --connections N     concurrent sessions, 1 to 256 (16)\n"
    "  --seconds N         length of a window, 1 to 600 (5)\n"
    "  --windows N         windows, one after the other, 1 to 100 (1)\n"
    "  --warm-ms N         time before the first window, 0 to 60000 (500)\n"
    "  --count N           end after N certificates, 1 to 1000000; the windows are the bound\n"
    "  --keep              keep the sessions: one request after the other on each\n"
    "  --floor-ms N        first measure bare cryptography, N ms each, 0 to 10000 (0)\n"
    "  --output json|text  (text)\n"
    "\n"
    "example, in the pod of web.yaml:\n"
    "  contrast-snp-simulator launch --socket snp.sock --pod web.yaml -- \\\n"
    "      " PROGRAM " --target 127.0.0.1:7777 --connections 16 --seconds 5\n";

struct options {
    char host[LIMIT_ADDRESS + 1];
    uint16_t port;
    bool has_target;
    uint64_t connections;
    uint64_t seconds;
    uint64_t windows;
    uint64_t warm_ms;
    uint64_t count;
    uint64_t floor_ms;
    bool is_kept;
    bool is_json;
};

static RESULT parse_number(const char *name, const char *text, uint64_t least, uint64_t most,
                           uint64_t *out, struct err *err) {
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    ENSURE(text[0] >= '0' && text[0] <= '9' && *end == 0 && value >= least && value <= most, err,
           USAGE, "--%s: want a number from %llu to %llu, got '%.40s'", name,
           (unsigned long long)least, (unsigned long long)most, text);
    *out = value;
    return OK;
}

static RESULT take_option(struct options *o, const char *name, struct err *err) {
    const struct {
        const char *name;
        uint64_t least;
        uint64_t most;
        uint64_t *out;
    } numbers[] = {
        {"connections", 1, LOAD_CONNECTIONS_MAX, &o->connections},
        {"seconds", 1, 600, &o->seconds},
        {"windows", 1, LOAD_WINDOWS_MAX, &o->windows},
        {"warm-ms", 0, 60000, &o->warm_ms},
        {"count", 1, 1000000, &o->count},
        {"floor-ms", 0, 10000, &o->floor_ms},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return parse_number(name, optarg, numbers[i].least, numbers[i].most, numbers[i].out,
                                err);
        }
    }
    if (strcmp(name, "target") == 0) {
        o->has_target = true;
        struct result r = net_address_parse(optarg, o->host, &o->port, err);
        return is_ok(r) ? r : err_set(err, ERR_USAGE, "--target: '%.80s' is not host:port", optarg);
    }
    if (strcmp(name, "keep") == 0) {
        o->is_kept = true;
        return OK;
    }
    o->is_json = strcmp(optarg, "json") == 0;
    ENSURE(o->is_json || strcmp(optarg, "text") == 0, err, USAGE,
           "--output: want json or text, got '%.40s'", optarg);
    return OK;
}

static RESULT parse(int argc, char **argv, struct options *o, struct err *err) {
    static const struct option table[] = {{"target", required_argument, NULL, 0},
                                          {"seconds", required_argument, NULL, 0},
                                          {"connections", required_argument, NULL, 0},
                                          {"windows", required_argument, NULL, 0},
                                          {"warm-ms", required_argument, NULL, 0},
                                          {"count", required_argument, NULL, 0},
                                          {"floor-ms", required_argument, NULL, 0},
                                          {"output", required_argument, NULL, 0},
                                          {"keep", no_argument, NULL, 0},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.connections = 16, .seconds = 5, .windows = 1, .warm_ms = 500};
    int index = 0;
    opterr = 0;
    for (int c = getopt_long(argc, argv, "", table, &index); c != -1;
         c = getopt_long(argc, argv, "", table, &index)) {
        ENSURE(c == 0, err, USAGE, "'%s' is unknown or lacks its value; see --help",
               argv[optind - 1]);
        TRY(take_option(o, table[index].name, err));
    }
    ENSURE(optind == argc, err, USAGE, "'%s' has no meaning here; see --help", argv[optind]);
    ENSURE(o->has_target || o->floor_ms > 0, err, USAGE, "want --target; see --help");
    return OK;
}

static const char *read_environment(const char *name) {
    return getenv(name);
}

/* --- Output */

static double us(uint64_t ns) {
    return (double)ns / 1e3;
}

static double cpu_seconds(void) {
    struct rusage u;
    CHECK(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static json_t *samples_json(struct samples *s) {
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)s->count, "min_us",
                     us(samples_quantile(s, 0)), "p50_us", us(samples_quantile(s, 500)), "p99_us",
                     us(samples_quantile(s, 990)), "max_us", us(samples_quantile(s, 1000)));
}

static json_t *floor_json(const struct floor_cost *f) {
    return json_pack("{s:f, s:f, s:f, s:f}", "handshake_us", us(f->handshake_ns), "p384_verify_us",
                     us(f->verify_ns), "p384_sign_us", us(f->sign_ns), "sessions_per_core_second",
                     floor_sessions(f));
}

static json_t *load_json(const struct options *o, struct load_result *r, double cpu_s) {
    json_t *rates = json_array();
    for (size_t i = 0; i < o->windows; i++) {
        json_array_append_new(rates, json_real((double)r->certificates[i] / (double)o->seconds));
    }
    return json_pack("{s:o, s:I, s:I, s:s, s:I, s:f, s:I, s:f, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "rates", rates, "certificates", (json_int_t)r->certificate_count, "failures",
                     (json_int_t)r->failure_count, "first_failure",
                     r->failure_count > 0 ? r->first_failure.text : "", "first_ns",
                     (json_int_t)r->first_ns, "longest_gap_ms", us(r->gap_ns) / 1000,
                     "longest_gap_end_ns", (json_int_t)r->gap_end_ns, "cpu_s", cpu_s, "session",
                     samples_json(&r->session), "attest", samples_json(&r->attest), "judge",
                     samples_json(&r->judge), "prove", samples_json(&r->prove), "issue",
                     samples_json(&r->issue), "confirm", samples_json(&r->confirm));
}

static void print_samples(const char *what, struct samples *s) {
    if (s->count > 0) {
        printf("  %-34s p50 %9.0f us   p99 %9.0f us   n %zu\n", what, us(samples_quantile(s, 500)),
               us(samples_quantile(s, 990)), s->count);
    }
}

static void print_load(const struct options *o, struct load_result *r) {
    for (size_t i = 0; i < o->windows; i++) {
        printf("window %zu: %.1f certificates/s\n", i + 1,
               (double)r->certificates[i] / (double)o->seconds);
    }
    print_samples("connect to certificate", &r->session);
    print_samples("connect to evidence and history", &r->attest);
    print_samples("judging them (processor time)", &r->judge);
    print_samples("own evidence made", &r->prove);
    print_samples("own evidence sent to certificate", &r->issue);
    print_samples("status, a round of the quorum", &r->confirm);
    if (r->certificate_count > 1) {
        printf("  longest time between two certificates: %.1f ms\n", us(r->gap_ns) / 1000);
    }
    if (r->failure_count > 0) {
        printf("%llu failures; the first: %s\n", (unsigned long long)r->failure_count,
               r->first_failure.text);
    }
}

static void print_floor(const struct floor_cost *f) {
    printf("bare cryptography: handshake %.0f us, P-384 verify %.0f us, sign %.0f us\n"
           "  = %.1f sessions a second and core (handshake and two verifications)\n",
           us(f->handshake_ns), us(f->verify_ns), us(f->sign_ns), floor_sessions(f));
}

static void print(const struct options *o, const struct floor_cost *f, struct load_result *r,
                  double cpu_s) {
    if (!o->is_json) {
        if (o->floor_ms > 0) {
            print_floor(f);
        }
        if (o->has_target) {
            print_load(o, r);
        }
        return;
    }
    json_t *all = json_object();
    if (o->floor_ms > 0) {
        json_object_set_new(all, "floor", floor_json(f));
    }
    if (o->has_target) {
        json_object_set_new(all, "load", load_json(o, r, cpu_s));
    }
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

/* --- */

static RESULT load(const struct options *o, struct load_result *result, struct err *err) {
    static struct config trust; /* large */
    TRY(config_read(read_environment, &trust, err));
    ENSURE(trust.owner_count > 0, err, CONFIG, "CONTRAST_OWNER_KEY_DIGESTS names no owner");
    struct load_config config = {
        .host = o->host,
        .port = o->port,
        .connections = o->connections,
        .warm_ms = o->warm_ms,
        .window_ms = o->seconds * 1000,
        .windows = o->windows,
        .count = o->count,
        .is_kept = o->is_kept,
        .trust = &trust,
    };
    TRY(load_run(&config, result, err));
    ENSURE(result->certificate_count > 0, err, UNAVAILABLE, "no certificate; first failure: %.900s",
           result->failure_count > 0 ? result->first_failure.text : "none");
    return OK;
}

static RESULT run(const struct options *o, struct load_result *result, struct err *err) {
    struct floor_cost floor = {0};
    if (o->floor_ms > 0) {
        TRY(floor_measure(o->floor_ms, &floor, err));
    }
    double before_s = cpu_seconds();
    struct result r = o->has_target ? load(o, result, err) : OK;
    if (is_ok(r)) {
        print(o, &floor, result, cpu_seconds() - before_s);
    }
    return r;
}

int main(int argc, char **argv) {
    struct options options;
    struct err err = {0};
    log_init(PROGRAM, LOG_WARN);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    struct result r = parse(argc, argv, &options, &err);
    if (is_ok(r)) {
        static struct load_result result;
        process_harden();
        r = run(&options, &result, &err);
        load_result_deinit(&result);
    }
    if (!is_ok(r)) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
    }
    return err_exit_code(r.code);
}
