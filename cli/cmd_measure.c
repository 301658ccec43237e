/* contrast measure: see cmd_measure.h. This file: what the three share, and IGVM files.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_measure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/image_reference.h"
#include "lib/base/mem.h"

const char CMD_MEASURE_IGVM_HELP[] =
    "Usage: contrast measure igvm [OPTION]... FILE\n\n"
    "Computes the launch digest of a guest that starts from an IGVM file, and prints the fields "
    "of\n"
    "a set of reference values that the file determines. Nothing is started, nothing is fetched.\n"
    "If the file has an ID block, that must have been made for this digest (else exit 3).\n\n"
    "The digest follows the igvm crate's reading of the format. Where igvmmeasure reads the file "
    "in\n"
    "another way, a warning says why and which digest it gets.\n\n"
    "  --mask N   compatibility mask of the SEV-SNP platform to measure, if the file has "
    "several\n\n"
    "Examples:\n"
    "  contrast measure igvm pod-vm.igvm\n"
    "  contrast measure igvm --output json pod-vm.igvm\n"
    "  contrast generate --reference-values pod-vm.igvm --reference-values milan.json web.yaml\n";

/* ---- what the commands share ---- */

RESULT cmd_measure_number(const char *option, const char *text, uint64_t max, uint64_t *out,
                          struct err *err) {
    if (text == NULL) {
        return OK;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 0);
    ENSURE(errno == 0 && end != text && *end == '\0' && text[0] >= '0' && text[0] <= '9', err,
           USAGE, "--%s: '%s' is not a number such as 4 or 0x30000", option, text);
    ENSURE(n <= max, err, USAGE, "--%s: %s is more than 0x%" PRIx64, option, text, max);
    *out = n;
    return OK;
}

RESULT cmd_measure_hex(const char *option, const char *text, uint8_t *out, size_t size,
                       struct err *err) {
    if (text == NULL) {
        return OK;
    }
    ENSURE(is_ok(hex_decode(span_str(text), out, size, NULL)), err, USAGE,
           "--%s: want %zu hexadecimal digits", option, 2 * size);
    return OK;
}

void cmd_measure_put_hex(json_t *object, const char *key, struct span bytes) {
    char *text = mem_alloc(2 * bytes.size + 1);
    hex_encode(bytes, text);
    CHECK(json_object_set_new(object, key, json_string(text)) == 0);
    mem_free(text);
}

void cmd_measure_put_number(json_t *object, const char *key, uint64_t value) {
    CHECK(json_object_set_new(object, key, json_sprintf("0x%" PRIx64, value)) == 0);
}

static void print_line(struct buf *out, const char *key, const json_t *value) {
    if (json_is_string(value)) {
        buf_appendf(out, "%-20s %s\n", key, json_string_value(value));
    } else if (json_is_integer(value)) {
        buf_appendf(out, "%-20s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
    } else if (json_is_boolean(value)) {
        buf_appendf(out, "%-20s %s\n", key, json_is_true(value) ? "yes" : "no");
    }
}

static void print_text(json_t *document) {
    AUTO(buf_deinit)
    struct buf out = {0};
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(document, key, value) {
        print_line(&out, key, value);
    }
    const json_t *set = json_object_get(document, "reference_values");
    if (set != NULL) {
        char *text = json_dumps(set, JSON_INDENT(2));
        CHECK(text != NULL);
        buf_appendf(&out, "\nReference values, to complete with ProductName and MinimumTCB:\n%s\n",
                    text);
        free(text); /* jansson's */
    }
    cli_print_text(buf_span(&out));
}

void cmd_measure_print(struct cli *cli, json_t *document) {
    const json_t *warnings = json_object_get(document, "warnings");
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        log_warn("%s", json_string_value(json_array_get(warnings, i)));
    }
    if (cli->json) {
        cli_print_json(cli, document);
        return;
    }
    print_text(document);
    json_decref(document);
}

/* ---- igvm ---- */

static void put_id_block(json_t *document, const struct igvm_id_block *id) {
    uint8_t digest[48];
    cmd_measure_put_hex(document, "id_block_digest", SPAN(id->block.launch_digest));
    json_object_set_new(document, "guest_svn", json_integer(id->block.guest_svn));
    cmd_measure_put_hex(document, "family_id", SPAN(id->block.family_id));
    cmd_measure_put_hex(document, "image_id", SPAN(id->block.image_id));
    json_object_set_new(document, "id_block_signed", json_boolean(id->is_signed));
    if (id->is_signed) {
        id_block_key_digest(id->auth.id_key, digest);
        cmd_measure_put_hex(document, "id_key_digest", SPAN(digest));
        struct result r = id_block_verify(&id->block, &id->auth, NULL);
        json_object_set_new(document, "id_signature_valid", json_boolean(is_ok(r)));
    }
    if (id->is_signed && id->auth.has_author) {
        id_block_key_digest(id->auth.author_key, digest);
        cmd_measure_put_hex(document, "author_key_digest", SPAN(digest));
    }
}

static json_t *describe(const struct igvm_measurement *m) {
    json_t *document = json_object();
    cmd_measure_put_hex(document, "launch_digest", SPAN(m->digest.value));
    cmd_measure_put_hex(document, "igvmmeasure_digest", SPAN(m->other_digest.value));
    cmd_measure_put_number(document, "policy", m->policy);
    cmd_measure_put_number(document, "compatibility_mask", m->mask);
    json_object_set_new(document, "vcpus", json_integer(m->vcpus));
    json_object_set_new(document, "pages", json_integer((json_int_t)m->pages));
    if (m->has_id_block) {
        put_id_block(document, &m->id_block);
    }
    json_object_set_new(document, "reference_values", image_reference_make(m));
    json_object_set_new(document, "warnings", image_reference_warnings(m));
    return document;
}

RESULT cmd_measure_igvm(struct cli *cli, int argc, char **argv, struct err *err) {
    const char *mask_text = NULL;
    struct cli_list paths = {.count = 0};
    const struct cli_option options[] = {{"mask", 0, CLI_STRING, (void *)&mask_text}};
    TRY(cli_parse(cli, options, 1, argc, argv, &paths, err));
    ENSURE(paths.count == 1, err, USAGE, "name one IGVM file; see --help");
    uint64_t mask = 0;
    TRY(cmd_measure_number("mask", mask_text, UINT32_MAX, &mask, err));
    struct igvm_measurement m;
    struct result r = image_reference_measure(paths.items[0], (uint32_t)mask, &m, err);
    if (is_ok(r) || r.code == ERR_DIFFERS) {
        cmd_measure_print(cli, describe(&m));
    }
    return r;
}
