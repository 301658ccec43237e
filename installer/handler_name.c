/* Handler name: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/handler_name.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/crypto/digest.h"

struct entry {
    const struct node_file *file;
    const struct sri *digest;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->file->path, ((const struct entry *)b)->file->path);
}

static void append_files(const struct node_config *config, const struct sri *digests,
                         struct buf *text) {
    struct entry *entries = mem_calloc(config->file_count, sizeof *entries);
    for (size_t i = 0; i < config->file_count; i++) {
        entries[i] = (struct entry){&config->files[i], &digests[i]};
    }
    qsort(entries, config->file_count, sizeof *entries, compare);
    for (size_t i = 0; i < config->file_count; i++) {
        buf_appendf(text, "%s ", entries[i].file->path);
        sri_encode(entries[i].digest, text);
        buf_append_str(text, entries[i].file->is_executable ? " x\n" : " -\n");
    }
    mem_free(entries);
}

void handler_name_make(const struct node_config *config, const struct sri *digests,
                       char out[HANDLER_NAME_SIZE]) {
    if (config->handler != NULL) {
        (void)snprintf(out, HANDLER_NAME_SIZE, "%s", config->handler);
        return;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_append_str(&text, "contrast-runtime-v1\n");
    append_files(config, digests, &text);
    kata_config_make(config->platform, &config->kata, "@@runtimeBase@@", &text);
    uint8_t digest[SHA256_SIZE];
    sha256(buf_span(&text), digest);
    char hex[9];
    hex_encode(span_of(digest, 4), hex);
    (void)snprintf(out, HANDLER_NAME_SIZE, "contrast-cc-%s-%s", config->platform->name, hex);
    for (char *p = out; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
}

static size_t stem_size(const char *handler) {
    const char *hyphen = strrchr(handler, '-');
    return hyphen != NULL ? (size_t)(hyphen - handler) : strlen(handler);
}

bool handler_name_is_related(const char *a, const char *b) {
    size_t size = stem_size(a);
    return size == stem_size(b) && strncmp(a, b, size) == 0;
}
