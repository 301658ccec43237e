/* TSM over FUSE: configfs-tsm (Documentation/ABI/testing/configfs-tsm-report) in a process of its
 * own, for tests.
 *
 *   tsm_fuse_start -> a mounted folder: mkdir makes an entry, writes count, outblob is a report of
 *   the test's machine -> tsm_fuse_stop: the process is ended, nothing stays mounted
 *
 * What it does like the kernel: an entry's files are there at once; inblob and privlevel can only
 * be written; inblob is taken when it is closed, and what goes wrong then nobody hears; generation
 * counts what was taken; outblob is made when it is read, over what was taken last, and EINVAL
 * before that; text ends in a line feed. What it does on request stands in struct tsm_fuse_script.
 *
 * The process ends, and the folder is unmounted, when the test's process ends in whatever way.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TSM_FUSE_H
#define CONTRAST_TSM_FUSE_H

#include <sys/types.h>

#include "attest/test/snp_fixture.h"

#define TSM_FUSE_TEXT 64

/* Set by the test between two calls of the issuer; zeroed is a kernel that does everything well,
 * but for `provider`. */
struct tsm_fuse_script {
    char provider[TSM_FUSE_TEXT];
    char floor[TSM_FUSE_TEXT];      /* privlevel_floor; "" = there is no such file */
    char generation[TSM_FUSE_TEXT]; /* in place of the number; "" = the number */
    bool has_no_privlevel;
    bool has_no_auxblob;
    int mkdir_error;          /* errno, as those below */
    int provider_error;       /* of reading it */
    int outblob_error;        /* of reading it, while outblob_errors > 0 */
    unsigned outblob_errors;  /* counts down */
    int auxblob_error;        /* of reading it */
    int privlevel_error;      /* of writing it */
    unsigned inblobs_dropped; /* so many are not taken; counts down */
    unsigned foreign_writes;  /* so many reports see another writer come between; counts down */
    size_t outblob_size;      /* bytes; 0 = the report's own */
    size_t auxblob_size;      /* bytes; 0 = the table's own */
    size_t read_most;         /* bytes that one read gives; 0 = as asked */
};

/* What it saw. */
struct tsm_fuse_seen {
    unsigned mkdirs;
    unsigned rmdirs;
    unsigned reports; /* made */
    unsigned entries; /* there now */
    unsigned levels;  /* privlevel was written so often */
    int privlevel;    /* last written */
    char name[256];   /* of the last entry */
};

/* Shared by both processes; only one of them runs between two system calls of the issuer. */
struct tsm_fuse_shared {
    struct tsm_fuse_script script;
    struct tsm_fuse_seen seen;
};

struct tsm_fuse {
    char dir[64]; /* where it is mounted */
    struct tsm_fuse_shared *shared;
    pid_t pid;
};

/* Mounts over a new folder. The machine is copied into the process. False: nothing may be mounted
 * here (no /dev/fuse, or no right to); *why says so. Aborts when the test's own calls fail. */
bool tsm_fuse_start(struct tsm_fuse *t, const struct snp_fixture *machine, const char **why);
void tsm_fuse_stop(struct tsm_fuse *t);

#endif
