/* TSM over FUSE: see tsm_fuse.h. One thread; the high-level interface of libfuse 3, by paths.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define FUSE_USE_VERSION 31
#include "attest/test/tsm_fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attest/snp_certtable.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define ENTRIES_MOST 16
#define INBLOB_MOST 64

struct node {
    char name[256]; /* "" = free */
    uint64_t generation;
    uint8_t inblob[INBLOB_MOST];
    size_t inblob_size; /* 0 = never written */
    uint8_t pending[INBLOB_MOST];
    size_t pending_size; /* written, and not closed yet */
    uint64_t made_at;    /* generation of the report below */
    struct buf report;
};

/* Of the child process, which has one mount. */
struct server {
    struct tsm_fuse_shared *shared;
    const struct snp_fixture *machine;
    struct node nodes[ENTRIES_MOST];
};

/* --- Names */

enum file { F_NONE, F_PROVIDER, F_GENERATION, F_INBLOB, F_OUTBLOB, F_AUXBLOB, F_LEVEL, F_FLOOR };

static const struct {
    const char *name;
    mode_t mode;
} files[] = {
    [F_PROVIDER] = {"provider", 0444},     [F_GENERATION] = {"generation", 0444},
    [F_INBLOB] = {"inblob", 0200},         [F_OUTBLOB] = {"outblob", 0400},
    [F_AUXBLOB] = {"auxblob", 0400},       [F_LEVEL] = {"privlevel", 0200},
    [F_FLOOR] = {"privlevel_floor", 0444},
};
#define FILE_COUNT (sizeof files / sizeof files[0])

static struct server *server_of_call(void) {
    return fuse_get_context()->private_data;
}

static struct node *find_node(struct server *s, const char *name, size_t size) {
    for (size_t i = 0; i < ENTRIES_MOST; i++) {
        if (strlen(s->nodes[i].name) == size && memcmp(s->nodes[i].name, name, size) == 0) {
            return &s->nodes[i];
        }
    }
    return NULL;
}

static bool is_there(const struct server *s, enum file file) {
    const struct tsm_fuse_script *script = &s->shared->script;
    return !(file == F_LEVEL && script->has_no_privlevel) &&
           !(file == F_FLOOR && script->floor[0] == 0) &&
           !(file == F_AUXBLOB && script->has_no_auxblob);
}

/* "/ENTRY" or "/ENTRY/FILE"; NULL when there is no such entry or file. */
static struct node *find_path(struct server *s, const char *path, enum file *file) {
    const char *name = path + 1;
    size_t size = strcspn(name, "/");
    struct node *node = size == 0 ? NULL : find_node(s, name, size);
    *file = F_NONE;
    if (node == NULL || name[size] == 0) {
        return node;
    }
    for (size_t i = 1; i < FILE_COUNT; i++) {
        if (strcmp(name + size + 1, files[i].name) == 0 && is_there(s, (enum file)i)) {
            *file = (enum file)i;
            return node;
        }
    }
    return NULL;
}

/* --- Contents */

static void make_report(struct server *s, struct node *node) {
    static const uint8_t host_data[32] = {0x48};
    struct snp_report report;
    uint8_t report_data[ISSUER_DATA_SIZE] = {0};
    memcpy(report_data, node->inblob, node->inblob_size);
    snp_fixture_fill(s->machine, report_data, host_data, &report);
    buf_clear(&node->report);
    snp_fixture_sign(s->machine, &report, buf_extend(&node->report, SNP_REPORT_SIZE));
    node->made_at = node->generation;
    s->shared->seen.reports++;
}

/* Somebody else asks for a report of his own through our entry. */
static void interfere(struct tsm_fuse_script *script, struct node *node) {
    if (script->foreign_writes > 0) {
        script->foreign_writes--;
        node->generation++;
        node->inblob[0] ^= 0xFF;
    }
}

static int get_report(struct server *s, struct node *node, struct buf *out) {
    struct tsm_fuse_script *script = &s->shared->script;
    if (script->outblob_errors > 0) {
        script->outblob_errors--;
        return -script->outblob_error;
    }
    if (node->inblob_size == 0) {
        return -EINVAL;
    }
    if (node->report.size == 0 || node->made_at != node->generation) {
        interfere(script, node);
        make_report(s, node);
    }
    buf_append_span(out, buf_span(&node->report));
    while (script->outblob_size > 0 && out->size < script->outblob_size) {
        buf_append_u8(out, 0xEE);
    }
    out->size = script->outblob_size > 0 ? script->outblob_size : out->size;
    return 0;
}

static int get_table(const struct server *s, struct buf *out) {
    const struct tsm_fuse_script *script = &s->shared->script;
    const struct snp_certtable table = {.vcek = buf_span(&s->machine->vcek),
                                        .ask = buf_span(&s->machine->ask),
                                        .ark = buf_span(&s->machine->ark)};
    if (script->auxblob_error != 0) {
        return -script->auxblob_error;
    }
    snp_certtable_encode(&table, out);
    while (out->size < script->auxblob_size) {
        buf_append_u8(out, 0);
    }
    return 0;
}

static int get_content(struct server *s, struct node *node, enum file file, struct buf *out) {
    const struct tsm_fuse_script *script = &s->shared->script;
    switch (file) {
    case F_PROVIDER:
        buf_appendf(out, "%s\n", script->provider);
        return -script->provider_error;
    case F_GENERATION:
        if (script->generation[0] != 0) {
            buf_appendf(out, "%s", script->generation);
        } else {
            buf_appendf(out, "%llu\n", (unsigned long long)node->generation);
        }
        return 0;
    case F_FLOOR:
        buf_appendf(out, "%s\n", script->floor);
        return 0;
    case F_OUTBLOB:
        return get_report(s, node, out);
    case F_AUXBLOB:
        return get_table(s, out);
    case F_NONE:
    case F_INBLOB:
    case F_LEVEL:
        break;
    }
    return -EACCES;
}

/* --- Operations */

static int on_getattr(const char *path, struct stat *out, struct fuse_file_info *info) {
    enum file file;
    (void)info;
    bool is_root = strcmp(path, "/") == 0;
    if (!is_root && find_path(server_of_call(), path, &file) == NULL) {
        return -ENOENT;
    }
    *out = (struct stat){.st_mode = S_IFDIR | 0755, .st_nlink = 2};
    if (!is_root && file != F_NONE) {
        *out = (struct stat){.st_mode = S_IFREG | files[file].mode, .st_nlink = 1, .st_size = 4096};
    }
    return 0;
}

static int on_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *info, enum fuse_readdir_flags flags) {
    struct server *s = server_of_call();
    (void)offset;
    (void)info;
    (void)flags;
    bool is_root = strcmp(path, "/") == 0;
    for (size_t i = 0; is_root && i < ENTRIES_MOST; i++) {
        if (s->nodes[i].name[0] != 0) {
            fill(buffer, s->nodes[i].name, NULL, 0, (enum fuse_fill_dir_flags)0);
        }
    }
    for (size_t i = 1; !is_root && i < FILE_COUNT; i++) {
        fill(buffer, files[i].name, NULL, 0, (enum fuse_fill_dir_flags)0);
    }
    return 0;
}

static int on_mkdir(const char *path, mode_t mode) {
    struct server *s = server_of_call();
    struct tsm_fuse_seen *seen = &s->shared->seen;
    (void)mode;
    if (s->shared->script.mkdir_error != 0) {
        return -s->shared->script.mkdir_error;
    }
    struct node *node = find_node(s, "", 0);
    if (node == NULL || strchr(path + 1, '/') != NULL) {
        return node == NULL ? -ENOSPC : -EPERM;
    }
    *node = (struct node){0};
    snprintf(node->name, sizeof node->name, "%s", path + 1);
    snprintf(seen->name, sizeof seen->name, "%s", path + 1);
    seen->mkdirs++;
    seen->entries++;
    return 0;
}

static int on_rmdir(const char *path) {
    struct server *s = server_of_call();
    enum file file;
    struct node *node = find_path(s, path, &file);
    if (node == NULL || file != F_NONE) {
        return node == NULL ? -ENOENT : -ENOTDIR;
    }
    buf_deinit(&node->report);
    *node = (struct node){0};
    s->shared->seen.rmdirs++;
    s->shared->seen.entries--;
    return 0;
}

/* direct_io: each read comes here, whatever size the attributes claim. */
static int on_open(const char *path, struct fuse_file_info *info) {
    enum file file;
    struct node *node = find_path(server_of_call(), path, &file);
    if (node == NULL || file == F_NONE) {
        return node == NULL ? -ENOENT : -EISDIR;
    }
    bool writes = (info->flags & O_ACCMODE) != O_RDONLY;
    bool may_write = (files[file].mode & 0200) != 0;
    info->direct_io = 1;
    node->pending_size = 0;
    return writes == may_write ? 0 : -EACCES;
}

static int on_read(const char *path, char *out, size_t size, off_t offset,
                   struct fuse_file_info *info) {
    struct server *s = server_of_call();
    enum file file;
    AUTO(buf_deinit)
    struct buf content = {0};
    (void)info;
    struct node *node = find_path(s, path, &file);
    int rc = node == NULL ? -ENOENT : get_content(s, node, file, &content);
    if (rc != 0) {
        return rc;
    }
    size_t at = (size_t)offset < content.size ? (size_t)offset : content.size;
    size_t most = s->shared->script.read_most;
    size_t n = content.size - at < size ? content.size - at : size;
    n = most > 0 && n > most ? most : n;
    if (n > 0) {
        memcpy(out, content.data + at, n);
    }
    return (int)n;
}

static int write_level(struct server *s, struct node *node, const char *data, size_t size) {
    const struct tsm_fuse_script *script = &s->shared->script;
    int floor = atoi(script->floor); // NOLINT(cert-err34-c): the test's own text
    int level = size == 1 ? data[0] - '0' : -1;
    if (script->privlevel_error != 0) {
        return -script->privlevel_error;
    }
    if (level < floor || level > 3) {
        return -EINVAL;
    }
    s->shared->seen.levels++;
    s->shared->seen.privlevel = level;
    node->generation++;
    return (int)size;
}

static int on_write(const char *path, const char *data, size_t size, off_t offset,
                    struct fuse_file_info *info) {
    struct server *s = server_of_call();
    enum file file;
    (void)info;
    struct node *node = find_path(s, path, &file);
    if (node == NULL) {
        return -ENOENT;
    }
    if (file == F_LEVEL) {
        return write_level(s, node, data, size);
    }
    if (offset != 0 || size > INBLOB_MOST) {
        return -EFBIG;
    }
    memcpy(node->pending, data, size);
    node->pending_size = size;
    return (int)size;
}

/* close(2): the kernel takes inblob now and tells nobody when it does not. */
static int on_flush(const char *path, struct fuse_file_info *info) {
    struct server *s = server_of_call();
    enum file file;
    (void)info;
    struct node *node = find_path(s, path, &file);
    if (node == NULL || node->pending_size == 0) {
        return 0;
    }
    size_t size = node->pending_size;
    node->pending_size = 0;
    if (s->shared->script.inblobs_dropped > 0) {
        s->shared->script.inblobs_dropped--;
        return 0;
    }
    memcpy(node->inblob, node->pending, size);
    node->inblob_size = size;
    node->generation++;
    return 0;
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *info) {
    (void)path;
    (void)size;
    (void)info;
    return 0;
}

static void *on_init(struct fuse_conn_info *connection, struct fuse_config *config) {
    (void)connection;
    config->entry_timeout = 0; /* the script may change what is there */
    config->attr_timeout = 0;
    config->negative_timeout = 0;
    return server_of_call();
}

static const struct fuse_operations operations = {
    .getattr = on_getattr,
    .mkdir = on_mkdir,
    .rmdir = on_rmdir,
    .truncate = on_truncate,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .flush = on_flush,
    .readdir = on_readdir,
    .init = on_init,
};

/* --- The process */

/* Ends with SIGTERM, which libfuse answers by leaving its loop. A byte goes into the pipe when the
 * folder is mounted; without one it could not be. */
static void serve(const struct tsm_fuse *t, const struct snp_fixture *machine, int ready) {
    struct server *s = mem_zalloc(sizeof *s);
    static char name[] = "contrast-tsm";
    char *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    s->shared = t->shared;
    s->machine = machine;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof operations, s);
    if (fuse == NULL || fuse_mount(fuse, t->dir) != 0) {
        _exit(1);
    }
    CHECK(fuse_set_signal_handlers(fuse_get_session(fuse)) == 0);
    CHECK(write(ready, "", 1) == 1);
    fuse_loop(fuse);
    fuse_unmount(fuse);
    rmdir(t->dir);
    _exit(0);
}

bool tsm_fuse_start(struct tsm_fuse *t, const struct snp_fixture *machine, const char **why) {
    int ready[2];
    char byte = 0;
    *t = (struct tsm_fuse){.dir = "/tmp/contrast-tsm-XXXXXX"};
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        *why = "/dev/fuse cannot be opened";
        return false;
    }
    CHECK(mkdtemp(t->dir) != NULL && pipe2(ready, O_CLOEXEC) == 0);
    t->shared =
        mmap(NULL, sizeof *t->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(t->shared != MAP_FAILED);
    t->pid = fork();
    CHECK(t->pid >= 0);
    if (t->pid == 0) {
        serve(t, machine, ready[1]);
    }
    close(ready[1]);
    bool is_mounted = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!is_mounted) {
        *why = "FUSE may not be mounted here";
        tsm_fuse_stop(t);
    }
    return is_mounted;
}

void tsm_fuse_stop(struct tsm_fuse *t) {
    int status = 0;
    kill(t->pid, SIGTERM);
    waitpid(t->pid, &status, 0);
    umount2(t->dir, MNT_DETACH); /* what the process could not undo any more */
    rmdir(t->dir);
    CHECK(munmap(t->shared, sizeof *t->shared) == 0);
}
