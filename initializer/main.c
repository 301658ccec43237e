/* contrast-initializer: gets a pod its certificate, and as a sidecar renews it.
 *
 *   config -> attempts, with a growing, jittered pause between them -> files -> exit 0
 *                                            with CONTRAST_RENEW=true: -> renewals, until SIGTERM
 *
 * It tries for ever while trying may help: a Coordinator that is not there, has no manifest or no
 * quorum comes back. Before there is a certificate, what is verified and false ends it at once,
 * with the verdict on stderr and in the termination log, where `kubectl describe pod` shows it;
 * later nothing does (renewal.h). SIGTERM ends it with 1, or with 0 when it renews.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "initializer/renewal.h"
#include "lib/base/process.h"

struct program {
    struct enroll_config config;
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct issuer *issuer;
    struct attester *attester;
    struct renewal *renewal;
    bool is_json;
    struct err outcome; /* code OK: issued, or a sidecar that was told to stop */
};

static void close_all(struct program *p) {
    uv_close((uv_handle_t *)&p->signals[0], NULL);
    uv_close((uv_handle_t *)&p->signals[1], NULL);
    attester_free(p->attester);
    renewal_free(p->renewal);
}

static void on_issued(void *data, const struct enroll_receipt *r) {
    const struct program *p = data;
    char serial[33];
    hex_encode(SPAN(r->serial), serial);
    log_info("certificate issued: generation %" PRIu64 ", index %" PRIu64 ", serial %s",
             r->generation, r->issue_index, serial);
    if (p->is_json) {
        printf("{\"generation\": %" PRIu64 ", \"issue_index\": %" PRIu64
               ", \"serial\": \"%s\", \"not_after\": %" PRId64 ", \"simulated\": %s}\n",
               r->generation, r->issue_index, serial, r->not_after,
               r->simulated ? "true" : "false");
        fflush(stdout);
    }
}

static void on_done(void *data, const struct err *why) {
    struct program *p = data;
    bool is_told = p->config.is_renewing && why->code == ERR_CANCELED;
    p->outcome = is_told ? (struct err){.code = ERR_OK} : *why;
    close_all(p);
}

/* A host may be silent in the middle of a report for as long as it likes, and the security
 * processor's call is never abandoned while the process lives. A sidecar does not wait for that:
 * nothing of it is needed any more, and its files are complete at every moment. */
static void on_signal(uv_signal_t *handle, int number) {
    struct program *p = handle->data;
    if (uv_is_closing((uv_handle_t *)handle)) {
        return;
    }
    log_info("signal %d: stopping", number);
    if (p->config.is_renewing && renewal_is_reporting(p->renewal)) {
        fflush(stdout);
        _exit(0);
    }
    renewal_stop(p->renewal);
}

/* ---- start and end ---- */

/* In place: the kubelet mounts this one file, so it cannot be replaced by another. */
static void write_termination(const struct program *p) {
    FILE *f = p->config.termination_log[0] == 0 ? NULL : fopen(p->config.termination_log, "we");
    if (f != NULL) {
        fprintf(f, "%s: %s\n", err_name(p->outcome.code), p->outcome.text);
        fclose(f);
    }
}

static RESULT start(struct program *p, struct err *err) {
    TRY(issuer_open(p->config.issuer, &p->issuer, err));
    TRY(attester_new(p->issuer, &p->attester, err));
    struct renewal_calls calls = {on_issued, on_done, p};
    return renewal_new(&p->loop, &p->config, &host_system, p->attester, &calls, &p->renewal, err);
}

static RESULT run(struct program *p, struct err *err) {
    CHECK(uv_loop_init(&p->loop) == 0);
    struct result r = start(p, err);
    if (!is_ok(r)) {
        attester_free(p->attester);
        issuer_close(p->issuer);
        CHECK(uv_loop_close(&p->loop) == 0);
        return r;
    }
    static const int numbers[2] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        p->signals[i].data = p;
        CHECK(uv_signal_init(&p->loop, &p->signals[i]) == 0);
        CHECK(uv_signal_start(&p->signals[i], on_signal, numbers[i]) == 0);
    }
    renewal_start(p->renewal);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&p->loop) == 0);
    issuer_close(p->issuer);
    return p->outcome.code == ERR_OK ? OK : err_set(err, p->outcome.code, "%s", p->outcome.text);
}

static int usage(const char *word) {
    if (strcmp(word, "--version") == 0) {
        printf("contrast-initializer %s\n", CONTRAST_VERSION);
        return 0;
    }
    bool is_help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    fprintf(is_help ? stdout : stderr,
            "Usage: contrast-initializer [--output text|json]\n"
            "Attests the Coordinator and this pod to each other and writes key, certificates and\n"
            "the workload secret. Tries until it is done; as a sidecar, goes on and renews them.\n"
            "\n%s\n"
            "Exit codes: 0 done, or a sidecar stopped by a signal; 1 stopped by a signal, or its\n"
            "folder is in use; 2 configuration; 3 denied; 4 rollback or fork.\n",
            enroll_config_help);
    return is_help ? 0 : 2;
}

static const char *read_environment(const char *name) {
    return getenv(name);
}

static int run_program(bool is_json) {
    struct program *p = mem_zalloc(sizeof *p);
    struct err err;
    p->is_json = is_json;
    struct result r = enroll_config_read(read_environment, &p->config, &err);
    if (is_ok(r)) {
        log_init("initializer", p->config.log_level);
        r = run(p, &err);
    }
    if (!is_ok(r)) {
        log_error("%s: %s", err_name(r.code), err.text);
        p->outcome = err;
        write_termination(p);
    }
    mem_free(p);
    return err_exit_code(r.code);
}

int main(int argc, char **argv) {
    bool is_json = argc == 3 && strcmp(argv[1], "--output") == 0 && strcmp(argv[2], "json") == 0;
    bool is_text = argc == 3 && strcmp(argv[1], "--output") == 0 && strcmp(argv[2], "text") == 0;
    if (argc > 1 && !is_json && !is_text) {
        return usage(argv[1]);
    }
    log_init("initializer", LOG_INFO);
    process_harden();
    return run_program(is_json);
}
