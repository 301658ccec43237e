/* contrast layer hash: see cmd_layer.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/layer/layer.h"
#include "lib/base/mem.h"

#define READ_SIZE (128 * 1024)

const char CMD_LAYER_HASH_HELP[] =
    "Usage: contrast layer hash [--dialect upstream|msft] FILE\n"
    "\n"
    "The dm-verity root hash of a container image layer, as tardev-snapshotter serves it to a "
    "pod:\n"
    "the uncompressed tar and its index. FILE is a tar, a tar.gz or a tar.zst; what it is, its\n"
    "bytes tell. \"-\" reads standard input. Nothing is written to disk.\n"
    "\n"
    "Options:\n"
    "  --dialect upstream|msft  whose index: upstream kata's (default), or that of Microsoft's\n"
    "                           fork (AKS). They differ for links to more than 100 bytes only;\n"
    "                           a warning says so when they do.\n"
    "\n"
    "Examples:\n"
    "  contrast layer hash layer.tar.gz\n"
    "  contrast layer hash --output json --dialect msft layer.tar.zst\n"
    "  curl -sL URL | contrast layer hash -\n";

struct options {
    const char *path;
    enum layer_dialect dialect;
};

static RESULT parse(struct cli *cli, int argc, char **argv, struct options *out, struct err *err) {
    const char *dialect = NULL;
    struct cli_list files = {.count = 0};
    const struct cli_option options[] = {{"dialect", 0, CLI_STRING, (void *)&dialect}};
    TRY(cli_parse(cli, options, 1, argc, argv, &files, err));
    ENSURE(files.count == 1, err, USAGE,
           "name one layer file, or - for standard input; see --help");
    out->path = files.items[0];
    if (dialect != NULL && strcmp(dialect, "msft") == 0) {
        out->dialect = LAYER_MSFT;
    } else if (dialect != NULL && strcmp(dialect, "upstream") != 0) {
        return err_set(err, ERR_USAGE, "--dialect: '%s' is neither upstream nor msft", dialect);
    }
    return OK;
}

/* ---- reading ---- */

static RESULT open_file(const char *path, int *fd, struct err *err) {
    if (strcmp(path, "-") == 0) {
        *fd = STDIN_FILENO;
        return OK;
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(*fd >= 0 || errno != ENOENT, err, NOT_FOUND, "%s: no such file", path);
    ENSURE(*fd >= 0, err, IO, "%s: %s", path, strerrordesc_np(errno));
    return OK;
}

static RESULT feed_all(struct layer *l, int fd, const char *path, struct err *err) {
    uint8_t *buffer = mem_alloc(READ_SIZE);
    struct result r = OK;
    bool is_end = false;
    while (is_ok(r) && !is_end) {
        ssize_t n = read(fd, buffer, READ_SIZE);
        if (n < 0 && errno != EINTR) {
            r = err_set(err, errno == EISDIR ? ERR_INVALID : ERR_IO, "%s", strerrordesc_np(errno));
        } else if (n > 0) {
            r = layer_feed(l, span_of(buffer, (size_t)n), err);
        }
        is_end = n == 0;
    }
    mem_free(buffer);
    return is_ok(r) ? r : err_wrap(r, err, "%s", path);
}

static RESULT hash_file(const char *path, struct layer_result *out, struct err *err) {
    struct layer *l = NULL;
    int fd = -1;
    TRY(open_file(path, &fd, err));
    struct result r = layer_new(0, &l, err);
    if (is_ok(r)) {
        r = feed_all(l, fd, path, err);
    }
    if (is_ok(r)) {
        r = layer_finish(l, out, err);
        r = is_ok(r) ? r : err_wrap(r, err, "%s", path);
    }
    layer_free(l);
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    return r;
}

/* ---- warnings ---- */

static void put_hex(json_t *object, const char *key, struct span bytes) {
    char hex[2 * SHA256_SIZE + 1];
    CHECK(bytes.size == SHA256_SIZE);
    hex_encode(bytes, hex);
    json_object_set_new(object, key, json_string(hex));
}

static void add_text(json_t *list, struct buf *text) {
    json_array_append_new(list, json_string(buf_cstr(text)));
}

/* What neither tool says: that the other kind of node wants another policy. */
static void add_difference(const struct layer_result *r, enum layer_dialect d, json_t *list) {
    enum layer_dialect other = d == LAYER_UPSTREAM ? LAYER_MSFT : LAYER_UPSTREAM;
    char hex[2 * SHA256_SIZE + 1];
    AUTO(buf_deinit)
    struct buf text = {0};
    hex_encode(SPAN(r->roots[other].root_hash), hex);
    buf_appendf(&text,
                "the dialects differ: this layer has %" PRIu64 " symbolic links to more than the "
                "100 bytes of a tar header, which upstream leaves out and msft stores; a node of "
                "the dialect %s opens this layer by %s only",
                r->long_links, layer_dialect_name(other), hex);
    add_text(list, &text);
    if (r->long_links > 1) {
        buf_clear(&text);
        buf_appendf(&text,
                    "in the dialect msft these %" PRIu64 " links may get each other's targets, a "
                    "fault of that index that is kept here; shorten the targets to be rid of it",
                    r->long_links);
        add_text(list, &text);
    }
}

static json_t *list_warnings(const struct layer_result *r, enum layer_dialect d) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->warning_count; i++) {
        if ((r->warnings[i].dialects & 1U << d) != 0) {
            json_array_append_new(list, json_string(r->warnings[i].text));
        }
    }
    if (r->warnings_dropped > 0) {
        AUTO(buf_deinit)
        struct buf text = {0};
        buf_appendf(&text, "%" PRIu64 " more warnings are not shown", r->warnings_dropped);
        add_text(list, &text);
    }
    if (layer_dialects_differ(r)) {
        add_difference(r, d, list);
    }
    return list;
}

/* ---- output ---- */

static void print(struct cli *cli, const struct layer_result *r, enum layer_dialect d) {
    const struct layer_root *root = &r->roots[d];
    json_t *warnings = list_warnings(r, d);
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        log_warn("%s", json_string_value(json_array_get(warnings, i)));
    }
    json_t *document = json_object();
    put_hex(document, "root_hash", SPAN(root->root_hash));
    json_object_set_new(document, "size", json_integer((json_int_t)root->size));
    json_object_set_new(document, "inodes", json_integer((json_int_t)root->inodes));
    json_object_set_new(document, "dialect", json_string(layer_dialect_name(d)));
    json_object_set_new(document, "coding", json_string(layer_coding_name(r->coding)));
    put_hex(document, "diff_id", SPAN(r->diff_id));
    put_hex(document, "digest", SPAN(r->blob_sha256));
    json_object_set_new(document, "warnings", warnings);
    if (cli->json) {
        cli_print_json(cli, document);
        return;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "%s\n", json_string_value(json_object_get(document, "root_hash")));
    cli_print_text(buf_span(&text));
    json_decref(document);
}

RESULT cmd_layer_hash(struct cli *cli, int argc, char **argv, struct err *err) {
    struct options o = {.path = "-", .dialect = LAYER_UPSTREAM};
    struct layer_result r = {0};
    TRY(parse(cli, argc, argv, &o, err));
    TRY(hash_file(o.path, &r, err));
    print(cli, &r, o.dialect);
    layer_result_deinit(&r);
    return OK;
}
