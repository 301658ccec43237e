/* Replay: runs a fuzz target over every file of the folders and files named on the command line, so
 * that ctest keeps what fuzzing found without libFuzzer. Fails on an empty corpus.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long count;

static void replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    long size = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)size + 1);
    if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    /* Every prefix of a small input, too. */
    for (size_t n = 0; size <= 4096 && n < (size_t)size; n++) {
        uint8_t *prefix = malloc(n + 1);
        if (prefix == NULL) {
            exit(1);
        }
        for (size_t i = 0; i < n; i++) {
            prefix[i] = data[i];
        }
        LLVMFuzzerTestOneInput(prefix, n);
        free(prefix);
    }
    free(data);
    count++;
}

static void replay(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        exit(1);
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char child[4096];
        if (e->d_name[0] != '.') {
            snprintf(child, sizeof child, "%s/%s", path, e->d_name);
            replay(child);
        }
    }
    closedir(dir);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    printf("%lu inputs\n", count);
    return count > 0 ? 0 : 1;
}
