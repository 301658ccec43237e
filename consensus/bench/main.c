/* bench-consensus: one replica, its floor, or the generator; consensus/bench/agreement.py joins
 * them.
 *
 * Exit codes: 0 measured; 1 something failed, on stderr; 2 usage.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/bench/bench_load.h"
#include "consensus/bench/bench_proto.h"
#include "consensus/bench/bench_replica.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/process.h"

#define PROGRAM "bench-consensus"

static const char usage[] =
    "Usage: " PROGRAM " replica --number N\n"
    "       " PROGRAM " floor\n"
    "       " PROGRAM " load --port PORT --spki HEX [OPTION]...\n"
    "Agreement on payloads over loopback; scripts/bench consensus runs it and prints a table.\n"
    "\n"
    "replica: a member; commands come on stdin (consensus/bench/bench_replica.h)\n"
    "  --number N       its number and id, 1 to 5\n"
    "floor: the same server without consensus\n"
    "load: one connection to a replica, one JSON line on stdout\n"
    "  --port PORT      the replica's port for generators\n"
    "  --spki HEX       its key\n"
    "  --outstanding N  requests that wait at any time, 1 to 1024 (16)\n"
    "  --size N         bytes of a payload, 8 to 65536 (256)\n"
    "  --warm-ms N      before the window, 0 to 60000 (300)\n"
    "  --window-ms N    the window, 1 to 60000 (1000)\n";

enum mode { REPLICA, FLOOR, LOAD, MODE_COUNT };
static const char *const modes[MODE_COUNT] = {"replica", "floor", "load"};

struct options {
    enum mode mode;
    uint64_t number, port, outstanding, size, warm_ms, window_ms;
    uint8_t spki[LIMIT_SPKI];
    size_t spki_size;
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

static RESULT take_spki(struct options *o, struct err *err) {
    size_t size = strlen(optarg) / 2;
    ENSURE(size > 0 && size <= LIMIT_SPKI, err, USAGE, "--spki: %zu bytes, want 1 to %d", size,
           LIMIT_SPKI);
    struct result r = hex_decode(span_str(optarg), o->spki, size, err);
    ENSURE(is_ok(r), err, USAGE, "--spki: not hexadecimal digits");
    o->spki_size = size;
    return OK;
}

static RESULT take_option(struct options *o, const char *name, struct err *err) {
    const struct {
        const char *name;
        uint64_t least, most;
        uint64_t *out;
    } numbers[] = {
        {"number", 1, BENCH_MEMBERS_MAX, &o->number},
        {"port", 1, UINT16_MAX, &o->port},
        {"outstanding", 1, BENCH_OUTSTANDING_MAX, &o->outstanding},
        {"size", 8, BENCH_PAYLOAD_MAX, &o->size},
        {"warm-ms", 0, 60000, &o->warm_ms},
        {"window-ms", 1, 60000, &o->window_ms},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return parse_number(name, optarg, numbers[i].least, numbers[i].most, numbers[i].out,
                                err);
        }
    }
    return take_spki(o, err);
}

static RESULT take_mode(struct options *o, const char *text, struct err *err) {
    o->mode = REPLICA;
    while (o->mode < MODE_COUNT && strcmp(text, modes[o->mode]) != 0) {
        o->mode++;
    }
    ENSURE(o->mode < MODE_COUNT, err, USAGE, "'%.40s' is unknown; see --help", text);
    ENSURE(o->mode != LOAD || (o->port > 0 && o->spki_size > 0), err, USAGE,
           "load: want --port and --spki; see --help");
    ENSURE(o->mode != REPLICA || o->number > 0, err, USAGE, "replica: want --number; see --help");
    return OK;
}

static RESULT parse(int argc, char **argv, struct options *o, struct err *err) {
    static const struct option table[] = {
        {"number", required_argument, NULL, 0},    {"port", required_argument, NULL, 0},
        {"spki", required_argument, NULL, 0},      {"outstanding", required_argument, NULL, 0},
        {"size", required_argument, NULL, 0},      {"warm-ms", required_argument, NULL, 0},
        {"window-ms", required_argument, NULL, 0}, {NULL, 0, NULL, 0}};
    *o = (struct options){.outstanding = 16, .size = 256, .warm_ms = 300, .window_ms = 1000};
    int index = 0;
    opterr = 0;
    for (int c = getopt_long(argc, argv, "", table, &index); c != -1;
         c = getopt_long(argc, argv, "", table, &index)) {
        ENSURE(c == 0, err, USAGE, "'%s' is unknown or lacks its value; see --help",
               argv[optind - 1]);
        TRY(take_option(o, table[index].name, err));
    }
    ENSURE(optind + 1 == argc, err, USAGE, "want one of replica, floor, load; see --help");
    return take_mode(o, argv[optind], err);
}

static void print(struct bench_load_result *r) {
    printf("{\"rate\": %.1f, \"count\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f}\n",
           (double)r->count * 1e9 / (double)r->ns, (unsigned long long)r->count,
           (double)samples_quantile(&r->latency, 500) / 1e3,
           (double)samples_quantile(&r->latency, 990) / 1e3,
           (double)samples_quantile(&r->latency, 1000) / 1e3);
}

static RESULT load(const struct options *o, struct err *err) {
    struct bench_load_result result = {0};
    struct bench_load_config config = {.port = (uint16_t)o->port,
                                       .spki = span_of(o->spki, o->spki_size),
                                       .outstanding = o->outstanding,
                                       .size = o->size,
                                       .warm_ms = o->warm_ms,
                                       .window_ms = o->window_ms};
    struct result r = bench_load_run(&config, &result, err);
    if (is_ok(r) && result.count == 0) {
        r = err_set(err, ERR_UNAVAILABLE, "no reply in %llu ms", (unsigned long long)o->window_ms);
    }
    if (is_ok(r)) {
        print(&result);
    }
    bench_load_result_deinit(&result);
    return r;
}

int main(int argc, char **argv) {
    struct options o;
    struct err err = {0};
    log_init(PROGRAM, LOG_WARN);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    struct result r = parse(argc, argv, &o, &err);
    if (is_ok(r)) {
        process_harden();
        struct bench_replica_config config = {o.number, o.mode == FLOOR};
        r = o.mode == LOAD ? load(&o, &err) : bench_replica_run(&config, &err);
    }
    if (!is_ok(r)) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
    }
    return err_exit_code(r.code);
}
