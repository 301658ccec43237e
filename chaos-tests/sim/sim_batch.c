/* Sim, many seeds: see sim_batch.h.
 *
 * Each process writes two records for a seed into its pipe: when it begins, and the result. Its end
 * of the pipe closes with it, whatever ended it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_batch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED_CPU_S 300  /* of processor time: then it spins, and SIGPROF ends it */
#define WORDS_MAX 16384 /* bytes of stderr that are looked at */

struct record {
    uint64_t seed;
    bool is_begin;
    struct sim_result result;
};

/* One process after the other: every jobs-th seed. */
struct lane {
    const struct sim_batch *batch;
    uint64_t next;
    uint64_t running; /* the seed that it is at */
    pid_t pid;
    int pipe;  /* read end; -1 = none */
    int words; /* what the process writes to stderr */
    bool is_running;
};

/* --- In the process */

static void write_all(int fd, const void *data, size_t size) {
    const uint8_t *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno != EINTR) {
            _exit(1); /* nobody reads any more */
        }
        p += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static void limit_cpu(void) {
    const struct itimerval limit = {.it_value = {.tv_sec = SEED_CPU_S}};
    CHECK(setitimer(ITIMER_PROF, &limit, NULL) == 0);
}

/* A seed can be run again: nobody needs its memory. */
static void leave_no_core(void) {
    const struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
}

static _Noreturn void work(const struct lane *lane, int out) {
    const struct sim_batch *b = lane->batch;
    struct sim_options options = b->run;
    struct record r = {0};
    leave_no_core();
    for (uint64_t seed = lane->next; seed < b->first + b->count; seed += b->jobs) {
        r = (struct record){.seed = seed, .is_begin = true};
        write_all(out, &r, sizeof r);
        limit_cpu();
        options.seed = seed;
        sim_run(&options, &r.result);
        r.is_begin = false;
        write_all(out, &r, sizeof r);
    }
    exit(0); /* not _exit: leaks are looked for */
}

/* --- Around it */

static void start(struct lane *lane) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    lane->words = memfd_create("stderr", MFD_CLOEXEC);
    CHECK(lane->words >= 0);
    fflush(NULL);
    lane->pid = fork();
    CHECK(lane->pid >= 0);
    if (lane->pid == 0) {
        close(ends[0]);
        if (!lane->batch->run.is_verbose) {
            CHECK(dup2(lane->words, STDERR_FILENO) >= 0);
        }
        work(lane, ends[1]);
    }
    close(ends[1]);
    lane->pipe = ends[0];
}

static bool is_telling(const char *line) {
    static const char *const words[] = {"invariant broken", "ERROR:", "runtime error", "Assert",
                                        "assert"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(line, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* The line that says most, or the first one. */
static void find_words(int fd, char out[200]) {
    char text[WORDS_MAX + 1];
    ssize_t size = pread(fd, text, WORDS_MAX, 0);
    text[size > 0 ? size : 0] = 0;
    out[0] = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        bool tells = is_telling(line);
        if (out[0] == 0 || tells) {
            snprintf(out, 200, "%s", line);
        }
        if (tells) {
            return;
        }
    }
}

static void describe_end(struct lane *lane, int status, struct sim_result *out) {
    char words[200];
    *out = (struct sim_result){.is_good = false};
    find_words(lane->words, words);
    if (WIFSIGNALED(status)) {
        snprintf(out->why, sizeof out->why, "stopped by signal %d: %s", WTERMSIG(status), words);
    } else {
        snprintf(out->why, sizeof out->why, "%s with status %d: %s",
                 lane->is_running ? "ended" : "this seed or one before it: the process ended",
                 WEXITSTATUS(status), words);
    }
}

static void end(struct lane *lane) {
    const struct sim_batch *b = lane->batch;
    struct sim_result result;
    int status = 0;
    CHECK(waitpid(lane->pid, &status, 0) == lane->pid);
    close(lane->pipe);
    lane->pipe = -1;
    if (status != 0) {
        describe_end(lane, status, &result);
        b->done(b->data, lane->running, &result);
    }
    close(lane->words);
    lane->is_running = false;
    if (status != 0 && lane->next < b->first + b->count) {
        start(lane);
    }
}

static bool read_record(int fd, struct record *out) {
    size_t have = 0;
    while (have < sizeof *out) {
        ssize_t n = read(fd, (uint8_t *)out + have, sizeof *out - have);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void take(struct lane *lane) {
    const struct sim_batch *b = lane->batch;
    struct record r;
    if (!read_record(lane->pipe, &r)) {
        end(lane);
        return;
    }
    lane->running = r.seed;
    lane->is_running = r.is_begin;
    lane->next = r.seed + b->jobs;
    if (!r.is_begin) {
        b->done(b->data, r.seed, &r.result);
    }
}

static void run_here(const struct sim_batch *b) {
    struct sim_options options = b->run;
    for (uint64_t n = 0; n < b->count; n++) {
        struct sim_result result;
        options.seed = b->first + n;
        sim_run(&options, &result);
        b->done(b->data, options.seed, &result);
    }
}

static bool wait_for_any(struct lane *lanes, unsigned count) {
    struct pollfd fds[SIM_JOBS_MAX];
    unsigned live = 0;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = lanes[i].pipe, .events = POLLIN};
        live += lanes[i].pipe >= 0 ? 1 : 0;
    }
    if (live == 0) {
        return false;
    }
    if (poll(fds, count, -1) > 0) {
        for (unsigned i = 0; i < count; i++) {
            if (fds[i].revents != 0) {
                take(&lanes[i]);
            }
        }
    }
    return true;
}

void sim_batch_run(const struct sim_batch *batch) {
    struct lane lanes[SIM_JOBS_MAX];
    if (batch->jobs == 0) {
        run_here(batch);
        return;
    }
    CHECK(batch->jobs <= SIM_JOBS_MAX);
    for (unsigned i = 0; i < batch->jobs; i++) {
        lanes[i] = (struct lane){.batch = batch, .pipe = -1, .next = batch->first + i};
        if (i < batch->count) {
            start(&lanes[i]);
        }
    }
    while (wait_for_any(lanes, batch->jobs)) {
    }
}

static void keep(void *data, uint64_t seed, const struct sim_result *result) {
    struct sim_result *out = data;
    (void)seed;
    if (out->is_good) { /* of two, the first one counts */
        *out = *result;
    }
}

void sim_batch_one(const struct sim_options *options, struct sim_result *out) {
    const struct sim_batch batch = {
        .run = *options, .first = options->seed, .count = 1, .jobs = 1, .done = keep, .data = out};
    *out = (struct sim_result){.is_good = true};
    sim_batch_run(&batch);
}
