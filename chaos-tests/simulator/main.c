/* contrast-snp-simulator: a SEV-SNP machine made of software, outside the product.
 *
 *   init DIR     makes the machine       serve DIR    runs it       launch    starts a pod in it
 *
 * Exit codes as everywhere: 0 done, 1 could not, 2 usage or configuration.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos-tests/simulator/machine.h"
#include "chaos-tests/simulator/podlaunch.h"
#include "chaos-tests/simulator/podserver.h"
#include "lib/base/log.h"

#define PROGRAM "contrast-snp-simulator"

static const char usage[] =
    "usage: " PROGRAM " init DIR [--product Milan|Genoa|Turin] [--measurement HEX96]\n"
    "                            [--root DIR2] [--microcode N]\n"
    "       " PROGRAM " serve DIR --socket S [--report-latency MS] [--busy-rate PERCENT]\n"
    "                            [--certificates table|none]\n"
    "       " PROGRAM " launch --socket S --pod FILE [--name N] [--measurement HEX96]\n"
    "                            [--guest-policy NUMBER] -- PROGRAM [ARGUMENT]...\n"
    "\n"
    "Plays an AMD SEV-SNP machine with a root of its own. Its reports are genuine in format and\n"
    "signature; a verifier takes them only where its configuration names the simulated root.\n"
    "\n"
    "  init    makes keys, certificates, a chip id and a launch measurement in DIR, and\n"
    "          DIR/reference-values.json for `contrast generate --reference-values`\n"
    "  serve   launches pods, signs their reports and derives their keys until SIGTERM; prints\n"
    "          \"listening on S\". SIGHUP: reads DIR/processor, \"LATENCY_MS BUSY REFUSED\", the\n"
    "          last two percent of the requests\n"
    "  launch  runs PROGRAM as the pod of FILE: HOST_DATA is the SHA-256 of the policy in the\n"
    "          annotation io.katacontainers.config.agent.policy; sets CONTRAST_SNP_SOCKET\n"
    "\n"
    "  --product P          processor generation (Milan)\n"
    "  --measurement HEX96  init: launch digest of every pod (random); launch: of this pod\n"
    "  --root DIR2          init: below the root of that machine, which is of the same product\n"
    "  --microcode N        init: this version of it, 0 to 255, as of older firmware\n"
    "  --guest-policy N     POLICY of this pod's guest, 0x... or decimal (0x30000)\n"
    "  --report-latency MS  time that the security processor takes for one report or key (0)\n"
    "  --busy-rate PERCENT  part of the pods' requests that is answered busy (0)\n"
    "  --certificates C     what the host hands out beside a report: its certificate table, or\n"
    "                       none (table); DIR has them for a key service of your own\n"
    "  --name N             metadata.name of the workload when FILE has several\n"
    "\n"
    "example:\n"
    "  " PROGRAM " init machine && " PROGRAM " serve machine --socket /tmp/snp.sock &\n"
    "  " PROGRAM " launch --socket /tmp/snp.sock --pod web.yaml -- ./web\n";

struct options {
    const char *product;
    const char *measurement;
    const char *socket;
    const char *pod;
    const char *name;
    const char *latency;
    const char *busy;
    const char *certificates;
    const char *guest_policy;
    const char *root;
    const char *microcode;
    char **rest; /* what stands behind the options, NULL-terminated */
};

static RESULT parse(int argc, char **argv, struct options *out, struct err *err) {
    const char **const targets[] = {&out->product, &out->measurement,  &out->socket,
                                    &out->pod,     &out->name,         &out->latency,
                                    &out->busy,    &out->certificates, &out->guest_policy,
                                    &out->root,    &out->microcode};
    static const struct option table[] = {{"product", required_argument, NULL, 0},
                                          {"measurement", required_argument, NULL, 0},
                                          {"socket", required_argument, NULL, 0},
                                          {"pod", required_argument, NULL, 0},
                                          {"name", required_argument, NULL, 0},
                                          {"report-latency", required_argument, NULL, 0},
                                          {"busy-rate", required_argument, NULL, 0},
                                          {"certificates", required_argument, NULL, 0},
                                          {"guest-policy", required_argument, NULL, 0},
                                          {"root", required_argument, NULL, 0},
                                          {"microcode", required_argument, NULL, 0},
                                          {NULL, 0, NULL, 0}};
    int index = 0;
    opterr = 0;
    for (int c = getopt_long(argc, argv, "", table, &index); c != -1;
         c = getopt_long(argc, argv, "", table, &index)) {
        ENSURE(c == 0, err, USAGE, "'%s' is unknown or lacks its value; see --help",
               argv[optind - 1]);
        ENSURE(*targets[index] == NULL, err, USAGE, "--%s is given twice", table[index].name);
        *targets[index] = optarg;
    }
    out->rest = argv + optind;
    return OK;
}

/* An option that this subcommand does not know must not be given. */
static RESULT reject(const char *value, const char *name, struct err *err) {
    ENSURE(value == NULL, err, USAGE, "--%s has no meaning here; see --help", name);
    return OK;
}

static RESULT parse_number(const char *text, const char *name, uint64_t most, uint64_t *out,
                           struct err *err) {
    if (text == NULL) {
        return OK;
    }
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    ENSURE(text[0] >= '0' && text[0] <= '9' && *end == 0 && value <= most, err, USAGE,
           "--%s %.40s: want a number from 0 to %llu", name, text, (unsigned long long)most);
    *out = value;
    return OK;
}

static RESULT take_dir(const struct options *o, const char *command, struct err *err) {
    ENSURE(o->rest[0] != NULL && o->rest[1] == NULL, err, USAGE,
           "%s wants exactly one DIR; see --help", command);
    return OK;
}

static RESULT parse_measurement(const char *text, uint8_t out[MACHINE_MEASUREMENT_SIZE],
                                struct err *err) {
    ENSURE(is_ok(hex_decode(span_str(text), out, MACHINE_MEASUREMENT_SIZE, NULL)), err, USAGE,
           "--measurement: want 96 hexadecimal digits, got %zu bytes", strlen(text));
    return OK;
}

static RESULT parse_policy(const char *text, uint64_t *out, struct err *err) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    ENSURE(text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && value > 0, err, USAGE,
           "--guest-policy %.40s: want a number, as in 0x30000", text);
    *out = value;
    return OK;
}

static RESULT run_init(const struct options *o, struct err *err) {
    uint8_t measurement[MACHINE_MEASUREMENT_SIZE];
    uint64_t microcode = 0;
    uint8_t version = 0;
    struct machine_plan plan = {.product = SNP_MILAN, .root = o->root};
    TRY(take_dir(o, "init", err));
    TRY(reject(o->socket, "socket", err));
    TRY(reject(o->pod, "pod", err));
    TRY(reject(o->name, "name", err));
    TRY(reject(o->latency, "report-latency", err));
    TRY(reject(o->busy, "busy-rate", err));
    TRY(reject(o->certificates, "certificates", err));
    TRY(reject(o->guest_policy, "guest-policy", err));
    if (o->product != NULL) {
        TRY(machine_product_parse(o->product, &plan.product, err));
    }
    if (o->measurement != NULL) {
        TRY(parse_measurement(o->measurement, measurement, err));
        plan.measurement = measurement;
    }
    if (o->microcode != NULL) {
        TRY(parse_number(o->microcode, "microcode", UINT8_MAX, &microcode, err));
        version = (uint8_t)microcode;
        plan.microcode = &version;
    }
    return machine_create(o->rest[0], &plan, err);
}

/* Programs in pods may have another working directory. */
static RESULT make_absolute(const char *path, char out[PATH_MAX], struct err *err) {
    char folder[PATH_MAX] = "";
    bool is_relative = path[0] != '/';
    ENSURE(!is_relative || getcwd(folder, sizeof folder) != NULL, err, CONFIG,
           "--socket: the working directory cannot be read");
    int n = snprintf(out, PATH_MAX, "%s%s%s", folder, is_relative ? "/" : "", path);
    ENSURE(n > 0 && n < PATH_MAX, err, USAGE, "--socket: the path is too long");
    return OK;
}

static RESULT run_serve(const struct options *o, struct err *err) {
    AUTO(machine_deinit)
    struct machine machine = {0};
    struct podserver_options options = {0};
    char socket[PATH_MAX];
    char settings[PATH_MAX];
    TRY(take_dir(o, "serve", err));
    TRY(reject(o->product, "product", err));
    TRY(reject(o->root, "root", err));
    TRY(reject(o->microcode, "microcode", err));
    TRY(reject(o->measurement, "measurement", err));
    TRY(reject(o->pod, "pod", err));
    TRY(reject(o->name, "name", err));
    TRY(reject(o->guest_policy, "guest-policy", err));
    ENSURE(o->socket != NULL, err, USAGE, "serve wants --socket S; see --help");
    TRY(parse_number(o->latency, "report-latency", PODSERVER_LATENCY_MAX_MS,
                     &options.behaviour.latency_ms, err));
    TRY(parse_number(o->busy, "busy-rate", 100, &options.behaviour.busy_percent, err));
    ENSURE(o->certificates == NULL || strcmp(o->certificates, "table") == 0 ||
               strcmp(o->certificates, "none") == 0,
           err, USAGE, "--certificates %.40s: want table or none", o->certificates);
    options.no_certificates = o->certificates != NULL && strcmp(o->certificates, "none") == 0;
    TRY(make_absolute(o->socket, socket, err));
    options.socket = socket;
    int n = snprintf(settings, sizeof settings, "%s/processor", o->rest[0]);
    ENSURE(n > 0 && n < PATH_MAX, err, USAGE, "%.200s: the path is too long", o->rest[0]);
    options.settings = settings;
    TRY(machine_load(o->rest[0], &machine, err));
    signal(SIGPIPE, SIG_IGN);
    umask(0177); /* sockets are for this user alone */
    return podserver_run(&machine, &options, err);
}

static RESULT run_launch(const struct options *o, struct err *err) {
    uint8_t measurement[MACHINE_MEASUREMENT_SIZE];
    TRY(reject(o->product, "product", err));
    TRY(reject(o->latency, "report-latency", err));
    TRY(reject(o->busy, "busy-rate", err));
    TRY(reject(o->certificates, "certificates", err));
    TRY(reject(o->root, "root", err));
    TRY(reject(o->microcode, "microcode", err));
    ENSURE(o->socket != NULL && o->pod != NULL, err, USAGE,
           "launch wants --socket S and --pod FILE; see --help");
    ENSURE(o->rest[0] != NULL, err, USAGE, "launch wants -- PROGRAM; see --help");
    struct podlaunch_options options = {
        .socket = o->socket, .pod_file = o->pod, .name = o->name, .program = o->rest};
    if (o->measurement != NULL) {
        TRY(parse_measurement(o->measurement, measurement, err));
        options.measurement = measurement;
    }
    if (o->guest_policy != NULL) {
        TRY(parse_policy(o->guest_policy, &options.guest_policy, err));
    }
    return podlaunch_exec(&options, err);
}

struct command {
    const char *name;
    RESULT (*run)(const struct options *o, struct err *err);
};

static const struct command commands[] = {
    {"init", run_init}, {"serve", run_serve}, {"launch", run_launch}};

static RESULT run(int argc, char **argv, struct err *err) {
    struct options o = {0};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            TRY(parse(argc - 1, argv + 1, &o, err));
            return commands[i].run(&o, err);
        }
    }
    return err_set(err, ERR_USAGE, "want a command: init, serve or launch; see --help");
}

int main(int argc, char **argv) {
    struct err err = {0};
    log_init(PROGRAM, LOG_INFO);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts(PROGRAM " " CONTRAST_VERSION);
        return 0;
    }
    struct result r = run(argc, argv, &err);
    if (!is_ok(r)) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
    }
    return err_exit_code(r.code);
}
