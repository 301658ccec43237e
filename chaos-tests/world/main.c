/* contrast-world: runs of the whole-service simulation.
 *
 *   contrast-world [--seed N] [--seeds COUNT] [--jobs J] [--chaos-ms MS] [--verbose]
 *                  [--faults LIST] [--plan] [--shrink] [--twice] [--kept FILE] [--without RULE]
 *
 * Each seed runs in a process of its own, so that an aborted one is a finding like any other. A
 * failing seed prints one line that reproduces it. --twice: each runs twice and must be the same.
 * --kept: the seeds of a file, the first word of each line. --without: contrast-world-mutable alone
 * knows rules (chaos-tests/sim/sim_mutation.h). Exit 1 when one fails, 2 for wrong
 * usage.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "chaos-tests/sim/sim_mutation.h"
#include "chaos-tests/world/world.h"

#define JOBS_MAX 64
#define SEED_SECONDS 120 /* a run that takes longer spins */

struct arguments {
    struct world_options options;
    uint64_t seeds;
    uint64_t jobs;
    bool wants_plan;
    bool wants_shrink;
    bool wants_twice;
    const char *kept; /* file; NULL: none */
    uint64_t only[WORLD_FAULTS];
    size_t only_count;
    bool has_only;
};

/* --- Words */

static bool parse_number(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && text[0] != '-';
}

/* "3,7,12", rising; "" = none. */
static bool parse_list(const char *text, struct arguments *a) {
    a->has_only = true;
    a->only_count = 0;
    while (*text != 0) {
        char *end = NULL;
        uint64_t number = strtoull(text, &end, 10);
        if (end == text || (*end != ',' && *end != 0) || a->only_count == WORLD_FAULTS) {
            return false;
        }
        a->only[a->only_count++] = number;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static uint64_t *find_number(struct arguments *a, const char *word) {
    return strcmp(word, "--seed") == 0       ? &a->options.seed
           : strcmp(word, "--seeds") == 0    ? &a->seeds
           : strcmp(word, "--jobs") == 0     ? &a->jobs
           : strcmp(word, "--chaos-ms") == 0 ? &a->options.chaos_ms
                                             : NULL;
}

static bool *find_flag(struct arguments *a, const char *word) {
    return strcmp(word, "--verbose") == 0  ? &a->options.is_verbose
           : strcmp(word, "--plan") == 0   ? &a->wants_plan
           : strcmp(word, "--shrink") == 0 ? &a->wants_shrink
           : strcmp(word, "--twice") == 0  ? &a->wants_twice
                                           : NULL;
}

static bool read_arguments(struct arguments *a, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        bool *flag = find_flag(a, argv[i]);
        uint64_t *number = find_number(a, argv[i]);
        if (flag != NULL) {
            *flag = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--without") == 0) {
            if (!sim_mutation_set(argv[++i])) {
                return false;
            }
        } else if (strcmp(argv[i], "--kept") == 0) {
            a->kept = argv[++i];
        } else if (strcmp(argv[i], "--faults") == 0) {
            if (!parse_list(argv[++i], a)) {
                return false;
            }
        } else if (number == NULL || !parse_number(argv[++i], number)) {
            return false;
        }
    }
    return a->jobs >= 1 && a->jobs <= JOBS_MAX && a->seeds >= 1;
}

/* --- One seed, in a process of its own */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void run_here(const struct world_options *given, const char *folder, int out) {
    struct world_result r;
    struct world_options o = *given;
    o.folder = folder;
    alarm(SEED_SECONDS);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO); /* what the commands print */
    world_run(&o, &r);
    ssize_t n = write(out, &r, sizeof r);
    _exit(n == (ssize_t)sizeof r ? 0 : 1);
}

struct job {
    pid_t pid; /* 0 = free */
    int in;
    uint64_t seed;
    char folder[32]; /* its files; removed here, for it may end by a signal */
};

static void begin_job(struct job *job, const struct world_options *o) {
    int ends[2];
    *job = (struct job){.seed = o->seed, .folder = "/dev/shm/contrast-world.XXXXXX"};
    if (mkdtemp(job->folder) == NULL) {
        perror("contrast-world: /dev/shm");
        exit(2);
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        perror("contrast-world: pipe");
        exit(2);
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run_here(o, job->folder, ends[1]);
    }
    close(ends[1]);
    job->pid = pid;
    job->in = ends[0];
}

static void end_job(struct job *job, struct world_result *r) {
    int status = 0;
    ssize_t n = read(job->in, r, sizeof *r);
    close(job->in);
    waitpid(job->pid, &status, 0);
    nftw(job->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (n != (ssize_t)sizeof *r) {
        *r = (struct world_result){.is_good = false};
        snprintf(r->why, sizeof r->why, "the run ended by %s %d, see above",
                 WIFSIGNALED(status) ? "signal" : "exit code",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    job->pid = 0;
}

static void run_one(const struct world_options *o, struct world_result *r) {
    struct job job = {0};
    begin_job(&job, o);
    end_job(&job, r);
}

/* --- What is printed */

static void print_faults(const struct world_options *o, char *out, size_t size) {
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < o->only_count && n < size; i++) {
        n += (size_t)snprintf(out + n, size - n, "%s%llu", i > 0 ? "," : "",
                              (unsigned long long)o->only[i]);
    }
}

static void print(const struct world_options *o, const struct world_result *r) {
    char faults[WORLD_FAULTS * 4] = "";
    char digest[65];
    if (!r->is_good) {
        struct world_fault plan[WORLD_FAULTS];
        uint64_t numbers[WORLD_FAULTS];
        struct world_options shown = *o;
        shown.only_count = world_plan(o, plan);
        for (size_t i = 0; i < shown.only_count; i++) {
            numbers[i] = plan[i].number;
        }
        shown.only = numbers;
        print_faults(&shown, faults, sizeof faults);
        printf("seed %llu: %s (reproduce: contrast-world --seed %llu --chaos-ms %llu --faults "
               "\"%s\")\n",
               (unsigned long long)o->seed, r->why, (unsigned long long)o->seed,
               (unsigned long long)o->chaos_ms, faults);
        return;
    }
    hex_encode(SPAN(r->digest), digest);
    printf("seed %llu: ok  steps=%llu faults=%llu sets=%llu certificates=%llu verifications=%llu "
           "denials=%llu restarts=%llu end=%llums digest=%.16s\n",
           (unsigned long long)o->seed, (unsigned long long)r->steps, (unsigned long long)r->faults,
           (unsigned long long)r->sets, (unsigned long long)r->certificates,
           (unsigned long long)r->verifications, (unsigned long long)r->denials,
           (unsigned long long)r->restarts, (unsigned long long)r->end_ms, digest);
}

static int show_plan(const struct world_options *o) {
    struct world_fault plan[WORLD_FAULTS];
    size_t count = world_plan(o, plan);
    for (size_t i = 0; i < count; i++) {
        char line[WORLD_TEXT];
        world_plan_print(&plan[i], line);
        puts(line);
    }
    return 0;
}

/* --- Shrinking: halves, quarters ... of the list are left out as long as it still fails */

/* The first words of two reasons, behind the time, are the same. */
static bool is_same_failure(const char *a, const char *b) {
    const char *x = strstr(a, "ms: ");
    const char *y = strstr(b, "ms: ");
    return strncmp(x == NULL ? a : x, y == NULL ? b : y, 16) == 0;
}

static bool still_fails(const struct world_options *o, const uint64_t *list, size_t count,
                        const char *why, struct world_result *r) {
    struct world_options tried = *o;
    tried.only = list;
    tried.only_count = count;
    run_one(&tried, r);
    return !r->is_good && is_same_failure(r->why, why);
}

static int shrink(const struct world_options *o) {
    struct world_fault plan[WORLD_FAULTS];
    uint64_t list[WORLD_FAULTS];
    struct world_result first;
    struct world_result r;
    size_t count = world_plan(o, plan);
    for (size_t i = 0; i < count; i++) {
        list[i] = plan[i].number;
    }
    run_one(o, &first);
    if (first.is_good) {
        print(o, &first);
        return 0;
    }
    for (size_t part = count; part >= 1; part = part / 2) {
        for (size_t at = 0; at < count;) {
            uint64_t rest[WORLD_FAULTS];
            size_t kept = 0;
            for (size_t i = 0; i < count; i++) {
                if (i < at || i >= at + part) {
                    rest[kept++] = list[i];
                }
            }
            if (still_fails(o, rest, kept, first.why, &r)) {
                memcpy(list, rest, kept * sizeof list[0]);
                count = kept;
                first = r;
            } else {
                at += part;
            }
        }
    }
    struct world_options least = *o;
    least.only = list;
    least.only_count = count;
    print(&least, &first);
    show_plan(&least);
    return 1;
}

/* --- All seeds */

static void check_same(const struct world_options *o, struct world_result *r) {
    struct world_result again;
    run_one(o, &again);
    if (r->is_good && memcmp(again.digest, r->digest, sizeof r->digest) != 0) {
        r->is_good = false;
        snprintf(r->why, sizeof r->why, "a second run was another one");
    }
}

static bool take_result(struct job *job, const struct arguments *a) {
    struct world_result r;
    struct world_options o = a->options;
    o.seed = job->seed;
    end_job(job, &r);
    if (a->wants_twice) {
        check_same(&o, &r);
    }
    print(&o, &r);
    return r.is_good;
}

static struct job *wait_job(struct job *jobs, size_t count) {
    struct pollfd fds[JOBS_MAX];
    for (size_t i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = jobs[i].pid == 0 ? -1 : jobs[i].in, .events = POLLIN};
    }
    if (poll(fds, count, -1) > 0) {
        for (size_t i = 0; i < count; i++) {
            if (fds[i].revents != 0) {
                return &jobs[i];
            }
        }
    }
    return NULL;
}

static int run_all(const struct arguments *a) {
    struct job jobs[JOBS_MAX] = {{0}};
    uint64_t begun = 0;
    uint64_t running = 0;
    int status = 0;
    while (begun < a->seeds || running > 0) {
        for (size_t i = 0; i < a->jobs && begun < a->seeds; i++) {
            if (jobs[i].pid == 0) {
                struct world_options o = a->options;
                o.seed += begun++;
                begin_job(&jobs[i], &o);
                running++;
            }
        }
        struct job *job = wait_job(jobs, a->jobs);
        if (job != NULL) {
            running--;
            status = take_result(job, a) ? status : 1;
        }
    }
    return status;
}

/* One after the other. */
static int run_kept(struct arguments *a) {
    char line[512];
    int status = 0;
    uint64_t count = 0;
    FILE *f = fopen(a->kept, "re");
    if (f == NULL) {
        perror(a->kept);
        return 2;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, " \t\n")] = 0;
        if (line[0] == '#' || line[0] == 0) {
            continue;
        }
        if (!parse_number(line, &a->options.seed)) {
            fprintf(stderr, "%s: '%s' is no seed\n", a->kept, line);
            status = 2;
            break;
        }
        a->seeds = 1;
        status = run_all(a) == 0 ? status : 1;
        count++;
    }
    fclose(f);
    return count == 0 ? 2 : status;
}

static int usage(void) {
    fprintf(stderr, "usage: contrast-world [--seed N] [--seeds COUNT] [--jobs J] [--chaos-ms MS]\n"
                    "                      [--faults LIST] [--plan] [--shrink] [--twice]\n"
                    "                      [--kept FILE] [--without RULE] [--verbose]\n");
    return 2;
}

int main(int argc, char **argv) {
    struct world_people people;
    struct err err;
    struct arguments a = {
        .options = {.seed = 1, .chaos_ms = WORLD_CHAOS_MS, .rest_ms = WORLD_REST_MS},
        .seeds = 1,
        .jobs = 1};
    if (!read_arguments(&a, argc, argv)) {
        return usage();
    }
    a.options.only = a.has_only ? a.only : NULL;
    a.options.only_count = a.only_count;
    if (a.wants_plan) {
        return show_plan(&a.options);
    }
    json_object_seed(1); /* no hash depends on the day */
    if (!is_ok(world_people_init(&people, &err))) {
        fprintf(stderr, "contrast-world: %s\n", err.text);
        return 1;
    }
    a.options.people = &people;
    machine_room_warm_up(WORLD_HOSTS); /* what all seeds share is made before they fork */
    int status = a.wants_shrink ? shrink(&a.options) : a.kept != NULL ? run_kept(&a) : run_all(&a);
    world_people_deinit(&people);
    return status;
}
