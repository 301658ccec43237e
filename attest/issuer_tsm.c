/* Issuer driver for configfs-tsm (Documentation/ABI/testing/configfs-tsm-report, Linux 6.7).
 *
 *   mkdir ENTRY     provider, privlevel_floor     generation g
 *   inblob <- 64 bytes     privlevel <- 0     outblob, auxblob     generation g + our writes
 *   rmdir ENTRY, whatever came before
 *
 * The kernel makes the report when outblob is read, and drops what goes wrong with inblob: it is
 * taken when the file is closed. So the generation is what counts. It grows by one with each write;
 * another sum than our own writes means that somebody else wrote to the entry, or that ours was not
 * taken, and the report may be over other data: then everything is done again, after a short,
 * growing pause with jitter, at most LIMIT_ISSUER_TRIES times; then it is BUSY, as is an entry that
 * the kernel calls busy so often. Every read is bounded. ENOTTY and ENODEV are LOST for ever
 * (issuer_guest.c says why).
 *
 * An entry has the name contrast-PIDNS-PID-START-NUMBER: the number of our PID namespace, our
 * process id in it, when the process started, and a count. configfs keeps an entry when its maker
 * is killed. So whoever opens the driver removes entries of its own PID namespace whose process is
 * gone, or is another one by now; what another namespace made is left alone, for nobody here can
 * tell whether its process lives.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/issuer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define DEFAULT_DIR "/sys/kernel/config/tsm/report"
#define PROVIDER "sev_guest"
#define NAME_SIZE 128
#define LEVEL_MOST 3 /* VMPL, AMD 56860 table 23 */
#define LEVEL_NONE (-1)
#define PAUSE_FIRST_MS 4 /* between two tries; doubles */

/* Who we are, as an entry's name says it. */
struct maker {
    uint64_t namespace; /* inode of our PID namespace */
    uint64_t pid;
    uint64_t start; /* clock ticks since boot */
};

struct tsm {
    char *dir; /* owned */
    struct maker self;
    uint64_t count; /* entries made */
    int level;      /* privlevel to ask for, LEVEL_NONE = the kernel has no such attribute */
    bool is_lost;
};

/* One entry, while it is used. Closed and removed by entry_end. */
struct entry {
    char name[NAME_SIZE];
    int root;          /* the directory of the entries, -1 = not open */
    int dir;           /* the entry itself, -1 = not made */
    bool is_contended; /* it failed because somebody else was at it: worth another try now */
};

static void close_fd(const int *fd) {
    if (*fd >= 0) {
        close(*fd);
    }
}

/* --- Attributes */

static RESULT fail(struct entry *e, const char *what, int error, struct err *err) {
    ENSURE(error != ENOTTY && error != ENODEV, err, LOST, ISSUER_LOST_TEXT);
    e->is_contended = error == EBUSY || error == EWOULDBLOCK || error == EINTR;
    bool is_busy = e->is_contended || error == ETIMEDOUT; /* the host throttled for a minute */
    return err_set(err, is_busy ? ERR_BUSY : ERR_UNAVAILABLE, "configfs-tsm, %s: %s", what,
                   strerror(error));
}

/* Appends up to `limit` bytes. What is not there, or has no data, is empty if it `may_lack`. */
static RESULT read_attribute(struct entry *e, const char *name, size_t limit, bool may_lack,
                             struct buf *out, struct err *err) {
    AUTO(close_fd)
    int fd = openat(e->dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return may_lack && errno == ENOENT ? OK : fail(e, name, errno, err);
    }
    AUTO(buf_deinit)
    struct buf bytes = {0};
    uint8_t *at = buf_extend(&bytes, limit + 1);
    size_t size = 0;
    ssize_t n = 1;
    while (n > 0 && size <= limit) {
        n = read(fd, at + size, limit + 1 - size);
        size += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        return may_lack && errno == ENODATA ? OK : fail(e, name, errno, err);
    }
    ENSURE(size <= limit, err, TOO_LARGE, "configfs-tsm, %s: more than %zu bytes", name, limit);
    buf_append(out, at, size);
    return OK;
}

/* One line of text without its line feed; "" when the attribute may lack and does. */
static RESULT read_text(struct entry *e, const char *name, bool may_lack,
                        char out[LIMIT_TSM_TEXT + 1], struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(read_attribute(e, name, LIMIT_TSM_TEXT, may_lack, &text, err));
    size_t size = text.size > 0 && text.data[text.size - 1] == '\n' ? text.size - 1 : text.size;
    memcpy(out, buf_cstr(&text), size);
    out[size] = 0;
    return OK;
}

static bool parse_number(const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789");
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (digits == 0 || text[digits] != 0 || errno != 0) {
        return false;
    }
    *out = value;
    return true;
}

static RESULT read_number(struct entry *e, const char *name, uint64_t *out, struct err *err) {
    char text[LIMIT_TSM_TEXT + 1];
    TRY(read_text(e, name, false, text, err));
    ENSURE(parse_number(text, out), err, MALFORMED,
           "configfs-tsm, %s: want a decimal number, got '%s'", name, text);
    return OK;
}

/* In one write, as the kernel wants it. */
static RESULT write_attribute(struct entry *e, const char *name, const void *data, size_t size,
                              struct err *err) {
    AUTO(close_fd)
    int fd = openat(e->dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(e, name, errno, err);
    }
    ssize_t n = write(fd, data, size);
    if (n < 0) {
        return fail(e, name, errno, err);
    }
    ENSURE((size_t)n == size, err, UNAVAILABLE, "configfs-tsm, %s: took %zd bytes of %zu", name, n,
           size);
    return OK;
}

/* --- Entries */

static void entry_end(const struct entry *e) {
    if (e->dir >= 0) {
        close(e->dir);
        if (unlinkat(e->root, e->name, AT_REMOVEDIR) != 0) {
            log_warn("configfs-tsm: %s cannot be removed: %s", e->name, strerror(errno));
        }
    }
    close_fd(&e->root);
}

static RESULT entry_begin(struct tsm *t, struct entry *e, struct err *err) {
    snprintf(e->name, sizeof e->name, "contrast-%" PRIu64 "-%" PRIu64 "-%" PRIu64 "-%" PRIu64,
             t->self.namespace, t->self.pid, t->self.start, t->count++);
    e->root = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ENSURE(e->root >= 0, err, UNAVAILABLE, "%s: %s", t->dir, strerror(errno));
    if (mkdirat(e->root, e->name, 0700) != 0) {
        ENSURE(errno != ENXIO, err, UNAVAILABLE,
               "%s: the kernel has no provider of reports (is sev-guest loaded?)", t->dir);
        return err_set(err, ERR_UNAVAILABLE, "%s: mkdir: %s", t->dir, strerror(errno));
    }
    e->dir = openat(e->root, e->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->dir < 0) {
        struct result r = fail(e, "the new entry", errno, err);
        unlinkat(e->root, e->name, AT_REMOVEDIR);
        return r;
    }
    return OK;
}

/* "contrast-1-2-3-4" and nothing else. */
static bool parse_name(const char *name, struct maker *out) {
    static const char prefix[] = "contrast-";
    uint64_t parts[4];
    char copy[NAME_SIZE];
    size_t size = strlen(name);
    if (size >= sizeof copy || strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    memcpy(copy, name + sizeof prefix - 1, size + 1 - (sizeof prefix - 1));
    char *at = copy;
    for (size_t i = 0; i < 4; i++) {
        char *end = strchr(at, '-');
        if ((end == NULL) != (i == 3)) {
            return false;
        }
        if (end != NULL) {
            *end = 0;
        }
        if (!parse_number(at, &parts[i])) {
            return false;
        }
        at = end == NULL ? at : end + 1;
    }
    *out = (struct maker){parts[0], parts[1], parts[2]};
    return true;
}

/* When the process started: field 22 of its stat, proc(5). False when there is no such process. */
static bool read_start(uint64_t pid, uint64_t *out) {
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    AUTO(close_fd)
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0) {
        return false;
    }
    text[n] = 0;
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return false;
    }
    at[1 + strcspn(at + 1, " ")] = 0;
    return parse_number(at + 1, out);
}

static RESULT find_self(struct maker *out, struct err *err) {
    struct stat s;
    out->pid = (uint64_t)getpid();
    ENSURE(stat("/proc/self/ns/pid", &s) == 0 && read_start(out->pid, &out->start), err,
           UNAVAILABLE, "/proc is not mounted: configfs-tsm needs it to name its entries");
    out->namespace = (uint64_t)s.st_ino;
    return OK;
}

/* Made by a process of our namespace that is no more. */
static bool is_stale(const struct tsm *t, const char *name) {
    struct maker maker;
    uint64_t start = 0;
    if (!parse_name(name, &maker) || maker.namespace != t->self.namespace || maker.pid == 0 ||
        maker.pid > INT32_MAX) {
        return false;
    }
    bool is_gone = kill((pid_t)maker.pid, 0) != 0 && errno == ESRCH;
    return is_gone || (read_start(maker.pid, &start) && start != maker.start);
}

static void clean_up(const struct tsm *t) {
    DIR *dir = opendir(t->dir);
    if (dir == NULL) {
        return; /* the first use says why */
    }
    for (int i = 0; i < LIMIT_TSM_ENTRIES; i++) {
        const struct dirent *d = readdir(dir);
        if (d == NULL) {
            break;
        }
        if (is_stale(t, d->d_name) && unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR) == 0) {
            log_info("configfs-tsm: removed %s, which an ended process left", d->d_name);
        }
    }
    closedir(dir);
}

/* --- One report */

static RESULT use_entry(const struct tsm *t, struct entry *e, const uint8_t *report_data,
                        struct buf *report, struct buf *table, struct err *err) {
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t writes = 1;
    TRY(read_number(e, "generation", &before, err));
    TRY(write_attribute(e, "inblob", report_data, ISSUER_DATA_SIZE, err));
    if (t->level != LEVEL_NONE) {
        char level = (char)('0' + t->level);
        TRY(write_attribute(e, "privlevel", &level, 1, err));
        writes++;
    }
    TRY(read_attribute(e, "outblob", LIMIT_SNP_REPORT, false, report, err));
    TRY(read_attribute(e, "auxblob", LIMIT_SNP_CERTTABLE, true, table, err));
    TRY(read_number(e, "generation", &after, err));
    e->is_contended = after - before != writes;
    ENSURE(!e->is_contended, err, BUSY,
           "configfs-tsm: generation went from %" PRIu64 " to %" PRIu64 ", our own writes are "
           "%" PRIu64 ": somebody else writes to %s",
           before, after, writes, e->name);
    return OK;
}

static RESULT try_fetch(struct tsm *t, const uint8_t *report_data, struct buf *report,
                        struct buf *table, bool *again, struct err *err) {
    AUTO(entry_end)
    struct entry e = {.root = -1, .dir = -1};
    TRY(entry_begin(t, &e, err));
    struct result r = use_entry(t, &e, report_data, report, table, err);
    *again = e.is_contended;
    return r;
}

/* There is no event to wait for: the kernel does not tell when another writer is done. */
static void pause_for(uint64_t ms) {
    uint64_t jittered = ms / 2 + host_random_below(&host_system, ms + 1);
    struct timespec t = {.tv_sec = 0, .tv_nsec = (long)jittered * 1000000};
    nanosleep(&t, NULL); /* cut short by a signal, it is only jitter */
}

static RESULT fetch_report(void *state, const uint8_t report_data[ISSUER_DATA_SIZE],
                           struct buf *report, struct buf *table, struct err *err) {
    struct tsm *t = state;
    ENSURE(!t->is_lost, err, LOST, ISSUER_LOST_TEXT);
    for (int i = 0;; i++) {
        buf_clear(report);
        buf_clear(table);
        bool again = false;
        struct result r = try_fetch(t, report_data, report, table, &again, err);
        if (r.code == ERR_LOST) {
            t->is_lost = true;
            log_error(ISSUER_LOST_TEXT " (configfs-tsm)");
        }
        if (!again || i + 1 == LIMIT_ISSUER_TRIES) {
            return r;
        }
        pause_for((uint64_t)PAUSE_FIRST_MS << i);
    }
}

/* --- The driver */

/* A guest that does not run at VMPL 0 says so by its floor: then no report can be of VMPL 0. */
static RESULT choose_level(struct tsm *t, struct entry *e, struct err *err) {
    char text[LIMIT_TSM_TEXT + 1];
    uint64_t floor = 0;
    if (faccessat(e->dir, "privlevel", F_OK, 0) != 0) {
        t->level = LEVEL_NONE;
        return OK;
    }
    TRY(read_text(e, "privlevel_floor", true, text, err));
    ENSURE(text[0] == 0 || (parse_number(text, &floor) && floor <= LEVEL_MOST), err, MALFORMED,
           "configfs-tsm, privlevel_floor: want 0 to %d, got '%s'", LEVEL_MOST, text);
    t->level = (int)floor;
    if (floor > 0) {
        log_warn("the guest runs below VMPL 0: reports say VMPL %d, and the manifest's reference "
                 "values must say so too, or every verifier refuses them",
                 t->level);
    }
    return OK;
}

/* Whose reports these are, and at which level; asks the security processor for nothing. */
static RESULT probe(struct tsm *t, struct err *err) {
    char provider[LIMIT_TSM_TEXT + 1];
    AUTO(entry_end)
    struct entry e = {.root = -1, .dir = -1};
    TRY(entry_begin(t, &e, err));
    TRY(read_text(&e, "provider", false, provider, err));
    ENSURE(strcmp(provider, PROVIDER) == 0, err, UNAVAILABLE,
           "%s: the provider is '%s', want '" PROVIDER "': this guest is not an AMD SEV-SNP one",
           t->dir, provider);
    return choose_level(t, &e, err);
}

static void close_tsm(void *state) {
    struct tsm *t = state;
    mem_free(t->dir);
    mem_free(t);
}

static RESULT open_tsm(const char *rest, void **state, struct err *err) {
    ENSURE(rest[0] == 0 || rest[0] == '/', err, CONFIG,
           "the path of the directory must be absolute");
    struct tsm *t = mem_zalloc(sizeof *t);
    t->dir = mem_strdup(rest[0] == 0 ? DEFAULT_DIR : rest);
    t->count = host_random_below(&host_system, UINT32_MAX); /* a process may open several */
    struct result r = find_self(&t->self, err);
    if (is_ok(r)) {
        clean_up(t);
        r = probe(t, err);
    }
    if (!is_ok(r)) {
        close_tsm(t);
        return r;
    }
    *state = t;
    return OK;
}

const struct issuer_driver issuer_tsm = {
    .prefix = "configfs:",
    .usage = "configfs:[/DIR] (configfs-tsm, " DEFAULT_DIR ")",
    .open = open_tsm,
    .fetch = fetch_report,
    .keys = &issuer_guest,
    .close = close_tsm,
};
