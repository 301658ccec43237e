/* Files of a run: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"

#define FOLDER_DEPTH 16
#define STREAM "-"

void gen_files_deinit(struct gen_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        mem_free(files->items[i].name);
        mem_free(files->items[i].path);
        buf_deinit(&files->items[i].before);
        buf_deinit(&files->items[i].after);
    }
    mem_free(files->items);
    *files = (struct gen_files){0};
}

static struct gen_file *add(struct gen_files *files, const char *name, const char *path) {
    files->items = mem_realloc(files->items, (files->count + 1) * sizeof *files->items);
    struct gen_file *file = &files->items[files->count++];
    *file = (struct gen_file){.name = mem_strdup(name), .path = mem_strdup(path)};
    return file;
}

static bool has_path(const struct gen_files *files, const char *path) {
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(files->items[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static void set_owner(struct gen_file *file, const struct stat *st) {
    file->mode = st->st_mode & 07777;
    file->uid = st->st_uid;
    file->gid = st->st_gid;
}

/* "<(command)" of a shell: read it here and now, nobody else will. */
static RESULT read_pipe(struct gen_files *files, const char *name, size_t limit, struct err *err) {
    struct buf text = {0};
    TRY(file_read(name, limit, &text, err));
    struct gen_file *file = add(files, name, name);
    file->before = text;
    file->is_pipe = true;
    return OK;
}

static RESULT read_stdin(struct gen_files *files, size_t limit, struct err *err) {
    ENSURE(!has_path(files, STREAM), err, USAGE, "-: standard input can be read only once");
    struct buf text = {0};
    TRY(file_read("-", limit, &text, err));
    if (text.size == 0) {
        return err_set(err, ERR_INVALID,
                       GEN_FILES_STDIN ": nothing came in; did the command before the pipe fail?");
    }
    struct gen_file *file = add(files, GEN_FILES_STDIN, STREAM);
    file->before = text;
    file->is_stream = true;
    return OK;
}

static RESULT read_file(struct gen_files *files, const char *name, const struct stat *st,
                        size_t limit, struct err *err) {
    if (!S_ISREG(st->st_mode)) {
        return read_pipe(files, name, limit, err);
    }
    char path[PATH_MAX];
    ENSURE(realpath(name, path) != NULL, err, IO, "%s: %s", name, strerror(errno));
    if (has_path(files, path)) {
        return OK;
    }
    struct buf text = {0};
    TRY(file_read(path, limit, &text, err));
    struct gen_file *file = add(files, name, path);
    file->before = text;
    set_owner(file, st);
    return OK;
}

static RESULT read_path(struct gen_files *files, const char *path, size_t limit, int depth,
                        struct err *err);

static bool is_yaml(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0);
}

static RESULT read_entry(struct gen_files *files, const char *folder, const char *name,
                         size_t limit, int depth, struct err *err) {
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", folder, name);
    ENSURE(size > 0 && (size_t)size < sizeof path, err, INVALID, "%s/%s: path too long", folder,
           name);
    struct stat st;
    ENSURE(stat(path, &st) == 0, err, IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        return read_path(files, path, limit, depth + 1, err);
    }
    if (!is_yaml(name)) {
        return OK;
    }
    ENSURE(S_ISREG(st.st_mode), err, INVALID,
           "%s: a pipe or device, of which this might wait for ever; remove it, or name it on the "
           "command line",
           path);
    return read_path(files, path, limit, depth + 1, err);
}

static RESULT read_folder(struct gen_files *files, const char *folder, size_t limit, int depth,
                          struct err *err) {
    ENSURE(depth < FOLDER_DEPTH, err, INVALID, "%s: more than %d folders deep", folder,
           FOLDER_DEPTH);
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    ENSURE(count >= 0, err, IO, "%s: %s", folder, strerror(errno));
    struct result r = OK;
    for (int i = 0; i < count; i++) {
        if (is_ok(r) && entries[i]->d_name[0] != '.') {
            r = read_entry(files, folder, entries[i]->d_name, limit, depth, err);
        }
        free(entries[i]);
    }
    free((void *)entries);
    return r;
}

static RESULT read_path(struct gen_files *files, const char *path, size_t limit, int depth,
                        struct err *err) {
    struct stat st;
    ENSURE(stat(path, &st) == 0, err, NOT_FOUND, "%s: %s", path, strerror(errno));
    return S_ISDIR(st.st_mode) ? read_folder(files, path, limit, depth, err)
                               : read_file(files, path, &st, limit, err);
}

RESULT gen_files_read(struct gen_files *files, const char *path, size_t limit, struct err *err) {
    return strcmp(path, STREAM) == 0 ? read_stdin(files, limit, err)
                                     : read_path(files, path, limit, 0, err);
}

/* --- Outputs */

static void add_stream(struct gen_files *files, struct span bytes) {
    struct gen_file *file = add(files, STREAM, STREAM);
    file->is_stream = true;
    buf_append_span(&file->after, bytes);
}

static RESULT add_old(struct gen_files *files, const char *name, const struct stat *st, mode_t mode,
                      struct err *err) {
    ENSURE(S_ISREG(st->st_mode), err, INVALID,
           "%s: is no regular file; name a file, or - for standard output", name);
    char path[PATH_MAX];
    ENSURE(realpath(name, path) != NULL, err, IO, "%s: %s", name, strerror(errno));
    struct buf before = {0};
    TRY(file_read(path, LIMIT_YAML_FILE, &before, err));
    struct gen_file *file = add(files, name, path);
    file->before = before;
    set_owner(file, st);
    file->mode = (mode & 077) == 0 ? mode : file->mode;
    return OK;
}

RESULT gen_files_add(struct gen_files *files, const char *path, struct span bytes, mode_t mode,
                     struct err *err) {
    if (strcmp(path, STREAM) == 0) {
        add_stream(files, bytes);
        return OK;
    }
    struct stat st;
    if (stat(path, &st) == 0) {
        TRY(add_old(files, path, &st, mode, err));
    } else {
        ENSURE(errno == ENOENT, err, IO, "%s: %s", path, strerror(errno));
        ENSURE(lstat(path, &st) != 0, err, INVALID, "%s: a symbolic link to nowhere; remove it",
               path);
        struct gen_file *file = add(files, path, path);
        file->mode = mode;
        file->is_new = true;
    }
    buf_append_span(&files->items[files->count - 1].after, bytes);
    return OK;
}

/* --- Writing: see the header for the order */

struct staged {
    const struct gen_file *file;
    char temporary[PATH_MAX]; /* "" = renamed already, or not made yet */
    bool is_done;
};

struct writing {
    struct staged *items; /* owned */
    size_t count;
};

static bool is_changed(const struct gen_file *file) {
    return file->is_new || !span_equal(buf_span(&file->before), buf_span(&file->after));
}

static RESULT check_paths(const struct gen_files *files, struct err *err) {
    for (size_t i = 0; i < files->count; i++) {
        for (size_t k = 0; k < i; k++) {
            ENSURE(strcmp(files->items[i].path, files->items[k].path) != 0, err, USAGE,
                   "%s: two outputs have this name; give one of them another",
                   files->items[i].name);
        }
    }
    return OK;
}

static RESULT stage(const struct gen_file *file, struct staged *s, struct err *err) {
    ENSURE(!file->is_pipe, err, USAGE,
           "%s: is no regular file and cannot be edited; use --output-file", file->name);
    char temporary[PATH_MAX];
    TRY(file_stage(file->path, buf_span(&file->after), file->mode, temporary, err));
    memcpy(s->temporary, temporary, sizeof temporary);
    if (!file->is_new && chown(temporary, file->uid, file->gid) != 0) {
        return OK; /* only root may give a file away; the content matters more */
    }
    return OK;
}

static RESULT stage_all(const struct gen_files *files, struct writing *w, struct err *err) {
    w->items = mem_calloc(files->count + 1, sizeof *w->items);
    for (size_t i = 0; i < files->count; i++) {
        const struct gen_file *file = &files->items[i];
        if (!file->is_stream && is_changed(file)) {
            struct staged *s = &w->items[w->count++];
            s->file = file;
            TRY(stage(file, s, err));
        }
    }
    return OK;
}

static RESULT check_untouched(const struct gen_file *file, struct err *err) {
    if (file->is_new) {
        ENSURE(access(file->path, F_OK) != 0, err, CHANGED,
               "%s: somebody else made this file meanwhile; look at it and run again", file->name);
        return OK;
    }
    AUTO(buf_deinit)
    struct buf now = {0};
    struct result r = file_read(file->path, LIMIT_YAML_FILE, &now, NULL);
    ENSURE(is_ok(r) && span_equal(buf_span(&now), buf_span(&file->before)), err, CHANGED,
           "%s: somebody else changed this file meanwhile; run again", file->name);
    return OK;
}

static RESULT commit_all(struct writing *w, struct err *err) {
    for (size_t i = 0; i < w->count; i++) {
        TRY(check_untouched(w->items[i].file, err));
    }
    for (size_t i = 0; i < w->count; i++) {
        struct staged *s = &w->items[i];
        TRY(file_commit(s->temporary, s->file->path, err));
        s->is_done = true;
    }
    return OK;
}

static RESULT print_bytes(struct span bytes, struct err *err) {
    while (bytes.size > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes.data, bytes.size);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&ready, 1, -1);
            continue;
        }
        ENSURE(n > 0, err, IO, "standard output: %s", strerror(errno));
        bytes = span_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return OK;
}

/* A reader that went away is an error, not the end: the files must get their old content. */
static RESULT print_streams(const struct gen_files *files, struct err *err) {
    (void)fflush(stdout);
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    struct result r = OK;
    for (size_t i = 0; i < files->count && is_ok(r); i++) {
        if (files->items[i].is_stream) {
            r = print_bytes(buf_span(&files->items[i].after), err);
        }
    }
    (void)signal(SIGPIPE, old);
    return r;
}

static void roll_back(const struct writing *w) {
    for (size_t i = 0; i < w->count; i++) {
        const struct gen_file *file = w->items[i].file;
        if (!w->items[i].is_done) {
            (void)unlink(w->items[i].temporary);
        } else if (file->is_new) {
            (void)unlink(file->path);
        } else {
            err_ignore(file_write(file->path, buf_span(&file->before), file->mode, NULL),
                       "the first failure is the one to report");
        }
    }
}

RESULT gen_files_write(const struct gen_files *files, size_t *written, struct err *err) {
    TRY(check_paths(files, err));
    struct writing w = {0};
    struct result r = stage_all(files, &w, err);
    if (is_ok(r)) {
        r = commit_all(&w, err);
    }
    if (is_ok(r)) {
        r = print_streams(files, err);
    }
    if (is_ok(r)) {
        *written = w.count;
    } else {
        roll_back(&w);
    }
    mem_free(w.items);
    return r;
}
