/* Reads documents from standard input (u32 size, big-endian, then the bytes) and prints one line
 * for each: "-" when it is refused, else its values in a form that test_toml_peer.py also makes
 * from what Python's tomllib reads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "installer/toml/toml.h"
#include "lib/base/limits.h"

static void print_hex(struct span bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        printf("%02x", bytes.data[i]);
    }
}

static void print_number(double number) {
    uint64_t bits = 0;
    memcpy(&bits, &number, sizeof bits);
    if (isnan(number)) {
        printf("nan");
    } else {
        printf("f%016llx", (unsigned long long)bits);
    }
}

static void print_node(const struct toml_file *file, const struct toml_node *node);

static void print_entries(const struct toml_file *file, const struct toml_node *node) {
    for (const struct toml_entry *e = node->first; e != NULL; e = e->next) {
        if (e->key != NULL) {
            print_hex(span_of(e->key, e->key_size));
            printf(":");
        }
        print_node(file, e->value);
        printf(",");
    }
}

static void print_node(const struct toml_file *file, const struct toml_node *node) {
    switch (node->kind) {
    case TOML_KIND_STRING:
        printf("s");
        print_hex(span_of(node->string, node->size));
        return;
    case TOML_KIND_INTEGER:
        printf("i%lld", (long long)node->integer);
        return;
    case TOML_KIND_FLOAT:
        print_number(node->number);
        return;
    case TOML_KIND_BOOL:
        printf(node->boolean ? "true" : "false");
        return;
    case TOML_KIND_TIME:
        printf("t");
        print_hex(
            span_of(file->text.data + node->range.start, node->range.end - node->range.start));
        return;
    case TOML_KIND_ARRAY:
        printf("[");
        print_entries(file, node);
        printf("]");
        return;
    case TOML_KIND_TABLE:
        printf("{");
        print_entries(file, node);
        printf("}");
        return;
    }
}

static bool read_document(struct buf *out) {
    uint8_t head[4];
    buf_clear(out);
    if (fread(head, 1, sizeof head, stdin) != sizeof head) {
        return false;
    }
    size_t size = load_u32be(head);
    return size <= LIMIT_TOML_FILE &&
           (size == 0 || fread(buf_extend(out, size), 1, size, stdin) == size);
}

int main(void) {
    AUTO(buf_deinit)
    struct buf document = {0};
    while (read_document(&document)) {
        struct toml_file file = {0};
        if (is_ok(toml_parse("in", buf_span(&document), &file, NULL))) {
            print_node(&file, file.root);
        } else {
            printf("-");
        }
        printf("\n");
        toml_file_deinit(&file);
    }
    return 0;
}
