/* Files of a run: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"

#define FOLDER_DEPTH 16

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

static RESULT read_file(struct gen_files *files, const char *name, mode_t mode, size_t limit,
                        struct err *err) {
    char path[PATH_MAX];
    ENSURE(realpath(name, path) != NULL, err, IO, "%s: %s", name, strerror(errno));
    if (has_path(files, path)) {
        return OK;
    }
    struct buf text = {0};
    TRY(file_read(path, limit, &text, err));
    struct gen_file *file = add(files, name, path);
    file->before = text;
    file->mode = mode & 07777;
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
    if (S_ISDIR(st.st_mode) || is_yaml(name)) {
        return read_path(files, path, limit, depth + 1, err);
    }
    return OK;
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
                               : read_file(files, path, st.st_mode, limit, err);
}

RESULT gen_files_read(struct gen_files *files, const char *path, size_t limit, struct err *err) {
    return read_path(files, path, limit, 0, err);
}

RESULT gen_files_add(struct gen_files *files, const char *path, struct span bytes, mode_t mode,
                     struct err *err) {
    struct buf before = {0};
    bool is_new = access(path, F_OK) != 0;
    if (!is_new) {
        TRY(file_read(path, LIMIT_YAML_FILE, &before, err));
    }
    struct gen_file *file = add(files, path, path);
    file->before = before;
    file->mode = mode;
    file->is_new = is_new;
    buf_append_span(&file->after, bytes);
    return OK;
}

static bool is_changed(const struct gen_file *file) {
    return file->is_new || !span_equal(buf_span(&file->before), buf_span(&file->after));
}

static void roll_back(const struct gen_files *files, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct gen_file *file = &files->items[i];
        if (file->is_new) {
            (void)unlink(file->path);
        } else if (is_changed(file)) {
            err_ignore(file_write(file->path, buf_span(&file->before), file->mode, NULL),
                       "the first failure is the one to report");
        }
    }
}

RESULT gen_files_write(const struct gen_files *files, size_t *written, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < files->count; i++) {
        const struct gen_file *file = &files->items[i];
        if (!is_changed(file)) {
            continue;
        }
        struct result r = file_write(file->path, buf_span(&file->after), file->mode, err);
        if (!is_ok(r)) {
            roll_back(files, i);
            return r;
        }
        count++;
    }
    *written = count;
    return OK;
}
