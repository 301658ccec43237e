/* contrast policy rules, hash and show.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_policy.h"

#include <string.h>

#include "cli/policy/policy_text.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

RESULT cmd_policy_rules(struct cli *cli, int argc, char **argv, struct err *err) {
    TRY(cli_parse(cli, NULL, 0, argc, argv, NULL, err));
    if (cli->json) {
        struct span rules = policy_rules();
        cli_print_json(cli, json_pack("{s:s%}", "rules", rules.data, rules.size));
        return OK;
    }
    cli_print_text(policy_rules());
    return OK;
}

static RESULT parse_file_argument(struct cli *cli, int argc, char **argv, const char **path,
                                  struct err *err) {
    struct cli_list arguments = {0};
    TRY(cli_parse(cli, NULL, 0, argc, argv, &arguments, err));
    ENSURE(arguments.count == 1, err, USAGE, "name one file; see --help");
    *path = arguments.items[0];
    return OK;
}

static bool is_yaml(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot != NULL && (strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0);
}

/* One object {kind, name, hash, policy} per policy. */
static void append_policy(json_t *list, const char *kind, const char *name, struct span policy) {
    uint8_t digest[SHA256_SIZE];
    char hash[2 * SHA256_SIZE + 1];
    sha256(policy, digest);
    hex_encode(SPAN(digest), hash);
    json_t *text = json_stringn((const char *)policy.data, policy.size);
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:s, s:o}", "kind", kind, "name", name, "hash",
                                    hash, "policy", text != NULL ? text : json_null()));
}

static RESULT collect_yaml(const char *path, struct span text, json_t *list, struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    TRY(yaml_parse(path, text, &file, err));
    AUTO(workload_list_deinit)
    struct workload_list workloads = {0};
    TRY(workload_find(&file, &workloads, err));
    for (size_t i = 0; i < workloads.count; i++) {
        const struct workload *w = &workloads.items[i];
        if (w->policy == NULL) {
            continue;
        }
        AUTO(buf_deinit)
        struct buf policy = {0};
        TRY(policy_text_decode(w, &policy, err));
        append_policy(list, w->kind, w->name, buf_span(&policy));
    }
    ENSURE(json_array_size(list) > 0, err, NOT_FOUND,
           "%s: no pod with a policy; run contrast generate", path);
    return OK;
}

static RESULT collect(const char *path, bool takes_document, json_t *list, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(path, LIMIT_YAML_FILE, &text, err));
    if (takes_document && !is_yaml(path)) {
        append_policy(list, "document", path, buf_span(&text));
        return OK;
    }
    return collect_yaml(path, buf_span(&text), list, err);
}

static const char *get(const json_t *policy, const char *key) {
    const char *text = json_string_value(json_object_get(policy, key));
    return text != NULL ? text : "";
}

/* Takes the reference of `list`. */
static void print(struct cli *cli, json_t *list, bool with_text) {
    if (cli->json) {
        for (size_t i = 0; i < json_array_size(list) && !with_text; i++) {
            json_object_del(json_array_get(list, i), "policy");
        }
        cli_print_json(cli, json_pack("{s:o}", "policies", list));
        return;
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        if (with_text) {
            buf_appendf(&out, "# %s/%s %s\n", get(p, "kind"), get(p, "name"), get(p, "hash"));
            buf_append_str(&out, get(p, "policy"));
        } else {
            buf_appendf(&out, "%s  %s/%s\n", get(p, "hash"), get(p, "kind"), get(p, "name"));
        }
    }
    cli_print_text(buf_span(&out));
    json_decref(list);
}

static RESULT run(struct cli *cli, int argc, char **argv, bool is_show, struct err *err) {
    const char *path = "";
    TRY(parse_file_argument(cli, argc, argv, &path, err));
    json_t *list = json_array();
    struct result r = collect(path, !is_show, list, err);
    if (!is_ok(r)) {
        json_decref(list);
        return r;
    }
    print(cli, list, is_show);
    return OK;
}

RESULT cmd_policy_hash(struct cli *cli, int argc, char **argv, struct err *err) {
    return run(cli, argc, argv, false, err);
}

RESULT cmd_policy_show(struct cli *cli, int argc, char **argv, struct err *err) {
    return run(cli, argc, argv, true, err);
}
