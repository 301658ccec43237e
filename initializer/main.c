/* contrast-initializer: gets a pod its certificate before its containers start.
 *
 *   config -> attempts, with a growing, jittered pause between them -> files -> exit 0
 *
 * It tries for ever while trying may help: a Coordinator that is not there, has no manifest or no
 * quorum comes back. What is verified and false ends it at once, with the verdict on stderr and in
 * the termination log, where `kubectl describe pod` shows it. SIGTERM ends it with 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "initializer/enroll.h"
#include "lib/base/process.h"

#define PAUSE_LEAST_MS 200
#define PAUSE_MOST_MS 5000

struct program {
    struct enroll_config config;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t signals[2];
    struct issuer *issuer;
    struct attester *attester;
    struct enroll *enroll;
    uint64_t pause_ms;
    bool is_json;
    bool is_stopping;
    struct err outcome; /* code OK: issued */
};

static void close_all(struct program *p) {
    uv_close((uv_handle_t *)&p->timer, NULL);
    uv_close((uv_handle_t *)&p->signals[0], NULL);
    uv_close((uv_handle_t *)&p->signals[1], NULL);
    attester_free(p->attester);
    enroll_free(p->enroll);
}

static void print_receipt(const struct program *p, const struct enroll_receipt *r) {
    char serial[33];
    hex_encode(SPAN(r->serial), serial);
    log_info("certificate issued: generation %" PRIu64 ", index %" PRIu64 ", serial %s",
             r->generation, r->issue_index, serial);
    if (p->is_json) {
        printf("{\"generation\": %" PRIu64 ", \"issue_index\": %" PRIu64
               ", \"serial\": \"%s\", \"not_after\": %" PRId64 ", \"simulated\": %s}\n",
               r->generation, r->issue_index, serial, r->not_after,
               r->simulated ? "true" : "false");
    }
}

static void try_again(struct program *p);

static void on_pause_over(uv_timer_t *timer) {
    try_again(timer->data);
}

/* The pause doubles up to PAUSE_MOST_MS; each is drawn from its upper half, and comes after what
 * the other end advises. */
static void pause_then_retry(struct program *p, const struct err *why) {
    uint64_t half = p->pause_ms / 2;
    uint64_t pause = half + host_random_below(&host_system, half + 1);
    uint64_t advice = why->retry_ms < PAUSE_MOST_MS ? why->retry_ms : PAUSE_MOST_MS;
    pause += advice;
    log_warn("%s: %s; trying again in %" PRIu64 " ms", err_name(why->code), why->text, pause);
    p->pause_ms = p->pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : p->pause_ms * 2;
    uv_timer_start(&p->timer, on_pause_over, pause, 0);
}

static void on_enrolled(void *data, const struct enroll_receipt *receipt, const struct err *why) {
    struct program *p = data;
    if (receipt != NULL) {
        print_receipt(p, receipt);
        p->outcome.code = ERR_OK;
        close_all(p);
    } else if (p->is_stopping || !enroll_may_retry(why->code)) {
        p->outcome = *why;
        close_all(p);
    } else {
        pause_then_retry(p, why);
    }
}

static void try_again(struct program *p) {
    struct err err;
    if (!is_ok(enroll_start(p->enroll, on_enrolled, p, &err))) {
        on_enrolled(p, NULL, &err);
    }
}

static void on_signal(uv_signal_t *handle, int number) {
    struct program *p = handle->data;
    if (p->is_stopping || uv_is_closing((uv_handle_t *)handle)) {
        return;
    }
    p->is_stopping = true;
    log_info("signal %d: stopping", number);
    if (uv_is_active((uv_handle_t *)&p->timer)) {
        err_ignore(err_set(&p->outcome, ERR_CANCELED, "stopped by a signal"), "kept");
        close_all(p);
    } else {
        enroll_stop(p->enroll);
    }
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
    CHECK(uv_loop_init(&p->loop) == 0);
    return enroll_new(&p->loop, &p->config, &host_system, p->attester, &p->enroll, err);
}

static RESULT run(struct program *p, struct err *err) {
    struct result r = start(p, err);
    if (!is_ok(r)) {
        attester_free(p->attester);
        issuer_close(p->issuer);
        return r;
    }
    static const int numbers[2] = {SIGTERM, SIGINT};
    p->pause_ms = PAUSE_LEAST_MS;
    p->timer.data = p;
    CHECK(uv_timer_init(&p->loop, &p->timer) == 0);
    for (size_t i = 0; i < 2; i++) {
        p->signals[i].data = p;
        CHECK(uv_signal_init(&p->loop, &p->signals[i]) == 0);
        CHECK(uv_signal_start(&p->signals[i], on_signal, numbers[i]) == 0);
    }
    try_again(p);
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
            "the workload secret. Tries until it is done.\n\n%s\n"
            "Exit codes: 0 done; 1 stopped by a signal; 2 configuration; 3 denied; 4 rollback.\n",
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
