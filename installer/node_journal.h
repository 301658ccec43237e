/* Journal: what the installer did to this node, and what it was doing when it was killed.
 *
 *   /opt/edgeless/.contrast/journal.json      replaced as a whole, synced before each next phase
 *   /opt/edgeless/.contrast/backup/<sha256>   every configuration that was ever replaced, once
 *
 *   idle -> staging -> swapping -> restarting -> idle (confirmed)
 *                         \            \-> rolled back
 *                          \-> (killed: the next run goes on)
 *
 * "edits" are the files of containerd with their content before and after, so that a run that finds
 * the runtime unusable can put back what was there. "runtimes" are those that are installed, with
 * what their files were when they were written: a file whose inode, size and time are the same is
 * not read again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_JOURNAL_H
#define CONTRAST_NODE_JOURNAL_H

#include "installer/node_root.h"
#include "installer/sri.h"
#include "lib/base/mem.h"

#define NODE_JOURNAL_VERSION 1
#define NODE_STATE_FOLDER "/opt/edgeless/.contrast"
#define NODE_JOURNAL_PATH NODE_STATE_FOLDER "/journal.json"
#define NODE_BACKUP_FOLDER NODE_STATE_FOLDER "/backup"

enum node_phase {
    NODE_PHASE_IDLE,
    NODE_PHASE_STAGING,    /* files of the runtime are being written */
    NODE_PHASE_SWAPPING,   /* containerd's files are being replaced */
    NODE_PHASE_RESTARTING, /* a restart was asked for, or is about to be */
    NODE_PHASE_ROLLING_BACK,
};

struct node_edit {
    const char *path; /* on the host */
    bool existed;     /* before */
    bool exists;      /* after */
    uint8_t before[32];
    uint8_t after[32]; /* SHA-256; zero where there is no file */
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

struct node_installed_file {
    const char *path; /* on the host */
    struct sri digest;
    uint64_t size;
    uint64_t mtime_ns;
    uint64_t inode;
};

struct node_runtime {
    const char *handler;
    int64_t installed_unix; /* s */
    struct node_installed_file *files;
    size_t file_count;
};

struct node_journal {
    struct arena arena; /* owns what the members point to, but what callers put there */
    bool is_uninstall;
    const char *handler; /* that the phase is about; "" when idle */
    enum node_phase phase;
    int64_t restart_ms; /* since 1970, when a restart was asked for; 0 = not */
    struct node_edit *edits;
    size_t edit_count;
    struct node_runtime *runtimes; /* the oldest first */
    size_t runtime_count;
};

/* A zeroed journal is that of a node without a runtime. */
void node_journal_deinit(struct node_journal *j);

/* CONFIG for a journal of a newer installer, or one that is damaged; the text says what to do. */
RESULT node_journal_parse(struct span json, struct node_journal *out, struct err *err);
void node_journal_encode(const struct node_journal *j, struct buf *out);

/* Missing: the zeroed one. Saving: CONFIG when it would be more than LIMIT_NODE_JOURNAL bytes or
 * LIMIT_NODE_RUNTIMES runtimes, which nobody could read again. */
RESULT node_journal_load(const struct node_root *root, struct node_journal *out, struct err *err);
RESULT node_journal_save(const struct node_root *root, const struct node_journal *j,
                         struct err *err);

/* The runtime of a handler; NULL = none. */
struct node_runtime *node_journal_runtime(const struct node_journal *j, const char *handler);
/* Adds or replaces; texts and files are copied. What is installed now counts as the newest of its
 * kind: a downgrade moves behind what it replaces. */
void node_journal_put(struct node_journal *j, const struct node_runtime *runtime);
void node_journal_drop(struct node_journal *j, const char *handler);

const char *node_phase_name(enum node_phase phase);

#endif
