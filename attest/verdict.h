/* Verdicts: the answer of a verifier, as plain data that a person and a program can read.
 *
 *   accepted      everything was checked and holds
 *   denied        something was checked and is false: code, field, expected, actual, remedy
 *   unverifiable  something is missing to decide: code, field and remedy say what
 *
 * A zeroed verdict is "unverifiable". Every check that was made stands in `checks` in its order, so
 * a denial also shows what did hold. Codes are stable for ever; scripts match them. Nothing here
 * allocates but the renderings.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VERDICT_H
#define CONTRAST_VERDICT_H

#include <jansson.h>

#include "lib/base/bytes.h"

#define VERDICT_CHECKS_MAX 160 /* all rules together are some 100; more is a defect */
#define VERDICT_NO_REFERENCE (-1)

enum verdict_kind { VERDICT_UNVERIFIABLE, VERDICT_DENIED, VERDICT_ACCEPTED };

struct verdict_check {
    const char *name; /* static, kebab-case */
    bool ok;
};

/* What a check looks at, in static text. */
struct verdict_rule {
    const char *check;  /* name in checks[] */
    const char *code;   /* "SNP-POLICY-DEBUG" */
    const char *field;  /* "POLICY.DEBUG" */
    const char *remedy; /* one sentence: what a person can do */
};

/* The TCBs of a report, decoded for its product, and which of them the decisive check compared. */
struct verdict_tcbs {
    bool is_known;     /* the rest is filled */
    char reported[64]; /* "bootloader 4, TEE 0, SNP 24, microcode 219" */
    char committed[64];
    char current[64];
    char launch[64];
    char certificate[64]; /* "" without one */
    char minimum[64];     /* of the (nearest) reference value set; "" without one */
    const char *compared; /* "REPORTED_TCB" ...: that failed, or of an accepted report the one that
                             the certificate vouches for; "" when it did not come to that */
};

struct verdict {
    enum verdict_kind kind;
    bool simulated;     /* the root is not AMD's but one that configuration permits */
    int reference;      /* index of the reference value set that matched, or of the nearest one;
                           VERDICT_NO_REFERENCE when none was compared */
    char code[48];      /* empty when accepted, as the four below */
    char field[64];     /* AMD's name of the field, or the certificate's */
    char expected[200]; /* UTF-8, one line, like all text here */
    char actual[200];
    char remedy[480];
    struct verdict_tcbs tcbs;
    char revocation[160]; /* "require: list 9 of 2026-06-22, valid to 2026-08-08", "off: no list" */
    struct verdict_check checks[VERDICT_CHECKS_MAX];
    size_t check_count;
};

void verdict_init(struct verdict *v);

/* Adds a check; beyond VERDICT_CHECKS_MAX it aborts (the number of rules is fixed). */
void verdict_add_check(struct verdict *v, const char *name, bool ok);

/* Turns the verdict into "denied" (or "unverifiable"), records the failed check and fills *err with
 * "CODE: field: expected …, actual …; remedy". Returns DENIED (or UNVERIFIABLE). */
RESULT verdict_deny(struct verdict *v, struct err *err, const struct verdict_rule *rule,
                    const char *expected, const char *actual);
RESULT verdict_lack(struct verdict *v, struct err *err, const struct verdict_rule *rule,
                    const char *expected, const char *actual);

/* "accepted", "denied", "unverifiable" */
const char *verdict_kind_name(enum verdict_kind kind);

/* The document of `contrast evidence verify --output json`. `report` is the object under "report";
 * the reference passes to the result; NULL gives null. Beside the keys of docs/CLI.md: "reference"
 * (index or null), "tcb" (null before the product is known; else an object of texts or null:
 * reported, committed, current, launch, certificate, minimum, compared) and "revocation" (text or
 * null). The caller owns the result. */
json_t *verdict_to_json(const struct verdict *v, json_t *report);

/* Lines for a person, the verdict first; of the TCBs the compared one is marked. Appended to `out`.
 */
void verdict_to_text(const struct verdict *v, struct buf *out);

#endif
