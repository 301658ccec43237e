/* contrast policy: rules, hash, show, diff and check.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_policy.h"

#include <stdio.h>
#include <string.h>

#include "cli/policy/policy_cases.h"
#include "cli/policy/policy_diff.h"
#include "cli/policy/policy_text.h"
#include "cli/policy_check.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

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

static RESULT read_path(const char *path, struct policy_document_list *list, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(path, LIMIT_YAML_FILE, &text, err));
    return policy_read(strcmp(path, "-") == 0 ? "standard input" : path, buf_span(&text), list,
                       err);
}

/* --- hash and show */

static const char *profile_of(const struct policy_document *d) {
    return d->is_initdata ? "initdata" : "annotation";
}

static json_t *describe(const struct policy_document *d, bool with_text) {
    json_t *entry = json_pack("{s:s, s:s, s:s, s:s}", "kind", d->kind, "name", d->name, "hash",
                              d->host_data, "profile", profile_of(d));
    CHECK(entry != NULL);
    if (with_text) {
        json_t *text = json_stringn((const char *)d->document.data, d->document.size);
        json_object_set_new(entry, "policy", text != NULL ? text : json_null());
    }
    return entry;
}

static void print_json(struct cli *cli, const struct policy_document_list *list, bool with_text) {
    json_t *entries = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(entries, describe(&list->items[i], with_text));
    }
    cli_print_json(cli, json_pack("{s:o}", "policies", entries));
}

static void print_text(struct policy_document_list *list, bool with_text) {
    AUTO(buf_deinit)
    struct buf out = {0};
    for (size_t i = 0; i < list->count; i++) {
        const struct policy_document *d = &list->items[i];
        if (!with_text) {
            buf_appendf(&out, "%s  %s/%s\n", d->host_data, d->kind, d->name);
            continue;
        }
        buf_appendf(&out, "# %s/%s %s, profile %s\n", d->kind, d->name, d->host_data,
                    profile_of(d));
        buf_append_span(&out, buf_span(&d->document));
    }
    cli_print_text(buf_span(&out));
}

static RESULT run_list(struct cli *cli, int argc, char **argv, bool with_text, struct err *err) {
    struct cli_list paths = {0};
    TRY(cli_parse(cli, NULL, 0, argc, argv, &paths, err));
    ENSURE(paths.count > 0, err, USAGE, "name a file, or - for standard input; see --help");
    AUTO(policy_document_list_deinit)
    struct policy_document_list list = {0};
    for (size_t i = 0; i < paths.count; i++) {
        TRY(read_path(paths.items[i], &list, err));
    }
    if (cli->json) {
        print_json(cli, &list, with_text);
    } else {
        print_text(&list, with_text);
    }
    return OK;
}

RESULT cmd_policy_hash(struct cli *cli, int argc, char **argv, struct err *err) {
    return run_list(cli, argc, argv, false, err);
}

RESULT cmd_policy_show(struct cli *cli, int argc, char **argv, struct err *err) {
    return run_list(cli, argc, argv, true, err);
}

/* --- diff */

RESULT cmd_policy_print_changes(struct cli *cli, json_t *changes, struct err *err) {
    size_t count = json_array_size(changes);
    if (cli->json) {
        cli_print_json(cli, json_pack("{s:b, s:o}", "same", count == 0, "changes", changes));
    } else {
        AUTO(buf_deinit)
        struct buf out = {0};
        for (size_t i = 0; i < count; i++) {
            const json_t *text = json_object_get(json_array_get(changes, i), "text");
            buf_appendf(&out, "%s\n", json_string_value(text));
        }
        buf_append_str(&out, count == 0 ? "no difference\n" : "");
        cli_print_text(buf_span(&out));
        json_decref(changes);
    }
    ENSURE(count == 0, err, DIFFERS, "%zu difference%s", count, count == 1 ? "" : "s");
    return OK;
}

RESULT cmd_policy_diff(struct cli *cli, int argc, char **argv, struct err *err) {
    struct cli_list paths = {0};
    TRY(cli_parse(cli, NULL, 0, argc, argv, &paths, err));
    ENSURE(paths.count == 2, err, USAGE, "name two files: before and after; see --help");
    AUTO(policy_document_list_deinit)
    struct policy_document_list before = {0};
    AUTO(policy_document_list_deinit)
    struct policy_document_list after = {0};
    TRY(read_path(paths.items[0], &before, err));
    TRY(read_path(paths.items[1], &after, err));
    return cmd_policy_print_changes(cli, policy_diff(&before, &after), err);
}

/* --- check */

static RESULT choose(struct policy_document_list *list, const char *path, const char *pod,
                     struct policy_document **out, struct err *err) {
    AUTO(buf_deinit)
    struct buf names = {0};
    struct policy_document *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct policy_document *d = &list->items[i];
        buf_appendf(&names, "%s%s/%s", i > 0 ? ", " : "", d->kind, d->name);
        AUTO(buf_deinit)
        struct buf full = {0};
        buf_appendf(&full, "%s/%s", d->kind, d->name);
        if (pod == NULL || strcmp(pod, d->name) == 0 || strcmp(pod, buf_cstr(&full)) == 0) {
            found = d;
            count++;
        }
    }
    ENSURE(count > 0, err, USAGE, "--pod: %s has no %s; it has %s", path, pod, buf_cstr(&names));
    ENSURE(count == 1, err, USAGE, "%s has several policies: choose one with --pod: %s", path,
           buf_cstr(&names));
    *out = found;
    return OK;
}

static void print_report(struct cli *cli, json_t *report) {
    if (cli->json) {
        cli_print_json(cli, report);
        return;
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    const json_t *cases = json_object_get(report, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *description = json_string_value(json_object_get(c, "description"));
        const char *why = json_string_value(json_object_get(c, "why"));
        bool is_allowed = json_is_true(json_object_get(c, "allowed"));
        bool is_right = is_allowed == json_is_true(json_object_get(c, "expected"));
        buf_appendf(&out, "%-5s %-7s %s%s%s\n", is_right ? "ok" : "WRONG",
                    is_allowed ? "allowed" : "denied",
                    json_string_value(json_object_get(c, "kind")), *description != '\0' ? ": " : "",
                    description);
        if (why != NULL) {
            buf_appendf(&out, "      %s\n", why);
        }
    }
    buf_appendf(&out, "%lld as expected, %lld not\n",
                (long long)json_integer_value(json_object_get(report, "passed")),
                (long long)json_integer_value(json_object_get(report, "failed")));
    cli_print_text(buf_span(&out));
    json_decref(report);
}

struct check {
    const char *policy;
    const char *requests;
    const char *pod;
    bool is_partial;
};

static RESULT judge(const struct check *options, json_t **report, struct err *err) {
    AUTO(policy_document_list_deinit)
    struct policy_document_list list = {0};
    struct policy_document *document = NULL;
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf partial = {0};
    TRY(read_path(options->policy, &list, err));
    TRY(choose(&list, options->policy, options->pod, &document, err));
    CHECK(document != NULL);
    struct span rego = buf_span(&document->rego);
    if (options->is_partial) {
        TRY(policy_check_partial(rego, &partial, err));
        rego = buf_span(&partial);
    }
    TRY(file_read(options->requests, LIMIT_POLICY_CASES, &text, err));
    json_t *cases = NULL;
    TRY(policy_cases_read(options->requests, buf_span(&text), &cases, err));
    struct result r = policy_check_ask(rego, cases, report, err);
    json_decref(cases);
    return r;
}

RESULT cmd_policy_check(struct cli *cli, int argc, char **argv, struct err *err) {
    struct check options = {0};
    const struct cli_option table[] = {
        {"policy", 0, CLI_STRING, (void *)&options.policy},
        {"requests", 0, CLI_STRING, (void *)&options.requests},
        {"pod", 0, CLI_STRING, (void *)&options.pod},
        {"partial", 0, CLI_FLAG, &options.is_partial},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, NULL, err));
    ENSURE(options.policy != NULL && options.requests != NULL, err, USAGE,
           "--policy and --requests are needed; see --help");
    json_t *report = NULL;
    TRY(judge(&options, &report, err));
    json_int_t failed = json_integer_value(json_object_get(report, "failed"));
    print_report(cli, report);
    ENSURE(failed == 0, err, DIFFERS, "%lld request%s judged otherwise than expected",
           (long long)failed, failed == 1 ? "" : "s");
    return OK;
}
