/* Verdicts: see verdict.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/verdict.h"

#include <stdio.h>
#include <string.h>

void verdict_init(struct verdict *v) {
    memset(v, 0, sizeof *v);
    v->reference = VERDICT_NO_REFERENCE;
}

void verdict_add_check(struct verdict *v, const char *name, bool ok) {
    CHECK(v->check_count < VERDICT_CHECKS_MAX);
    v->checks[v->check_count++] = (struct verdict_check){name, ok};
}

/* Texts may quote certificates and manifests, and are cut to their room: they stay UTF-8. */
static void put(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
    err_clean(out);
}

static void fill(struct verdict *v, const struct verdict_rule *rule, const char *expected,
                 const char *actual) {
    put(v->code, sizeof v->code, rule->code);
    put(v->field, sizeof v->field, rule->field);
    put(v->expected, sizeof v->expected, expected);
    put(v->actual, sizeof v->actual, actual);
    put(v->remedy, sizeof v->remedy, rule->remedy);
    verdict_add_check(v, rule->check, false);
}

static struct result conclude(enum verdict_kind kind, enum err_code code, struct verdict *v,
                              struct err *err, const struct verdict_rule *rule,
                              const char *expected, const char *actual) {
    if (v != NULL) {
        v->kind = kind;
        fill(v, rule, expected, actual);
    }
    return err_set(err, code, "%s: %s: expected %s, actual %s; %s", rule->code, rule->field,
                   expected, actual, rule->remedy);
}

struct result verdict_deny(struct verdict *v, struct err *err, const struct verdict_rule *rule,
                           const char *expected, const char *actual) {
    return conclude(VERDICT_DENIED, ERR_DENIED, v, err, rule, expected, actual);
}

struct result verdict_lack(struct verdict *v, struct err *err, const struct verdict_rule *rule,
                           const char *expected, const char *actual) {
    return conclude(VERDICT_UNVERIFIABLE, ERR_UNVERIFIABLE, v, err, rule, expected, actual);
}

const char *verdict_kind_name(enum verdict_kind kind) {
    switch (kind) {
    case VERDICT_ACCEPTED:
        return "accepted";
    case VERDICT_DENIED:
        return "denied";
    case VERDICT_UNVERIFIABLE:
        break;
    }
    return "unverifiable";
}

/* Empty text becomes null: there is nothing to say. */
static json_t *text_or_null(const char *text) {
    return *text == '\0' ? json_null() : json_string(text);
}

static json_t *checks_to_json(const struct verdict *v) {
    json_t *checks = json_array();
    for (size_t i = 0; i < v->check_count; i++) {
        json_array_append_new(
            checks, json_pack("{s:s,s:b}", "name", v->checks[i].name, "ok", (int)v->checks[i].ok));
    }
    return checks;
}

/* Every TCB as text; null before the product was known. */
static json_t *tcbs_to_json(const struct verdict_tcbs *t) {
    if (!t->is_known) {
        return json_null();
    }
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "reported", text_or_null(t->reported),
                     "committed", text_or_null(t->committed), "current", text_or_null(t->current),
                     "launch", text_or_null(t->launch), "certificate", text_or_null(t->certificate),
                     "minimum", text_or_null(t->minimum), "compared",
                     text_or_null(t->compared != NULL ? t->compared : ""));
}

json_t *verdict_to_json(const struct verdict *v, json_t *report) {
    json_t *reference =
        v->reference == VERDICT_NO_REFERENCE ? json_null() : json_integer(v->reference);
    json_t *document = json_pack(
        "{s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "verdict", verdict_kind_name(v->kind),
        "simulated", (int)v->simulated, "code", text_or_null(v->code), "field",
        text_or_null(v->field), "expected", text_or_null(v->expected), "actual",
        text_or_null(v->actual), "remedy", text_or_null(v->remedy), "reference", reference, "tcb",
        tcbs_to_json(&v->tcbs), "revocation", text_or_null(v->revocation), "report",
        report != NULL ? report : json_null(), "checks", checks_to_json(v));
    CHECK(document != NULL);
    return document;
}

/* The compared one is marked. A minimum is of no report, so it is never the one. */
static void tcbs_to_text(const struct verdict_tcbs *t, struct buf *out) {
    const struct {
        const char *label;
        const char *name;
        const char *text;
    } rows[] = {
        {"reported", "REPORTED_TCB", t->reported}, {"committed", "COMMITTED_TCB", t->committed},
        {"current", "CURRENT_TCB", t->current},    {"launch", "LAUNCH_TCB", t->launch},
        {"certified", "", t->certificate},         {"minimum", "", t->minimum},
    };
    const char *compared = t->compared != NULL ? t->compared : "";
    buf_append_str(out, "TCB\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_compared = *compared != '\0' && strcmp(rows[i].name, compared) == 0;
        if (*rows[i].text != '\0') {
            buf_appendf(out, "  %-9s %s%s\n", rows[i].label, rows[i].text,
                        is_compared ? "  <- compared" : "");
        }
    }
}

void verdict_to_text(const struct verdict *v, struct buf *out) {
    buf_appendf(out, "verdict   %s%s\n", verdict_kind_name(v->kind),
                v->simulated ? " (SIMULATED: the root is not AMD's)" : "");
    if (*v->code != '\0') {
        buf_appendf(out, "code      %s\nfield     %s\nexpected  %s\nactual    %s\nremedy    %s\n",
                    v->code, v->field, v->expected, v->actual, v->remedy);
    }
    if (v->reference != VERDICT_NO_REFERENCE) {
        buf_appendf(out, "%s ReferenceValues.snp[%d]\n",
                    v->kind == VERDICT_ACCEPTED ? "matches  " : "nearest  ", v->reference);
    }
    if (*v->revocation != '\0') {
        buf_appendf(out, "CRL       %s\n", v->revocation);
    }
    if (v->tcbs.is_known) {
        tcbs_to_text(&v->tcbs, out);
    }
    buf_append_str(out, "checks\n");
    for (size_t i = 0; i < v->check_count; i++) {
        buf_appendf(out, "  %-4s %s\n", v->checks[i].ok ? "ok" : "FAIL", v->checks[i].name);
    }
}
