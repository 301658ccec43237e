/* CRL policy: see snp_crl_policy.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define DATE_SIZE 40 /* "2026-08-08" and whatever a year far off needs */
#define HOUR_S INT64_C(3600)

bool snp_crl_policy_holds(const struct snp_crl_demand *demand, const struct snp_revocation *r) {
    switch (demand->policy) {
    case CRL_OFF:
        return true;
    case CRL_REQUIRE:
        return r->state == SNP_CRL_CURRENT;
    case CRL_GRACE:
        return r->state == SNP_CRL_CURRENT ||
               (r->state == SNP_CRL_STALE &&
                demand->at - r->next_update <= HOUR_S * (int64_t)demand->grace_hours);
    }
    return false;
}

struct verdict_rule snp_crl_policy_rule(const struct snp_revocation *r, bool *is_false) {
    static const char fetch[] =
        "get the CRL of this product from AMD's key service again and pass it, or import it where "
        "the replicas find it";
    static const struct verdict_rule missing = {"revocation", "SNP-CRL-MISSING", "CRL", fetch};
    static const struct verdict_rule future = {
        "revocation", "SNP-CRL-DATE", "CRL.thisUpdate",
        "check the clock: the list begins after the time of judging"};
    static const struct verdict_rule stale = {"revocation", "SNP-CRL-DATE", "CRL.nextUpdate",
                                              fetch};
    *is_false = r->state == SNP_CRL_INVALID && !r->is_foreign;
    if (r->state == SNP_CRL_INVALID) {
        return (struct verdict_rule){
            "revocation", r->code, r->field,
            "this list is not the root's own: drop it and get the one of this product from AMD"};
    }
    return r->state == SNP_CRL_NONE ? missing : r->state == SNP_CRL_FUTURE ? future : stale;
}

static void format_date(int64_t at, char out[DATE_SIZE]) {
    time_t seconds = (time_t)at;
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, DATE_SIZE, "%Y-%m-%d", &tm) == 0) {
        (void)snprintf(out, DATE_SIZE, "an unreadable date");
    }
}

void snp_crl_policy_want(const struct snp_crl_demand *demand, char *out, size_t size) {
    char date[DATE_SIZE];
    format_date(demand->at, date);
    if (demand->policy == CRL_GRACE) {
        (void)snprintf(out, size, "a list valid on %s, or run out at most %" PRIu32 " hours before",
                       date, demand->grace_hours);
    } else {
        (void)snprintf(out, size, "a list valid on %s", date);
    }
}

void snp_crl_policy_state(const struct snp_revocation *r, char *out, size_t size) {
    char number[32] = "";
    char from[DATE_SIZE];
    char until[DATE_SIZE];
    if (r->number != 0) {
        (void)snprintf(number, sizeof number, " %" PRIu64, r->number);
    }
    format_date(r->this_update, from);
    format_date(r->next_update, until);
    switch (r->state) {
    case SNP_CRL_NONE:
        (void)snprintf(out, size, "no list");
        return;
    case SNP_CRL_INVALID:
        (void)snprintf(out, size, "a list that is not the root's (%s)", r->code);
        return;
    case SNP_CRL_FUTURE:
        (void)snprintf(out, size, "list%s begins only on %s", number, from);
        return;
    case SNP_CRL_STALE:
        (void)snprintf(out, size, "list%s ran out on %s", number, until);
        return;
    case SNP_CRL_CURRENT:
        (void)snprintf(out, size, "list%s of %s, valid to %s", number, from, until);
        return;
    }
}

void snp_crl_policy_text(const struct snp_crl_demand *demand, const struct snp_revocation *r,
                         char *out, size_t size) {
    char policy[32] = "off";
    char state[SNP_CRL_TEXT_SIZE];
    if (demand->policy == CRL_REQUIRE) {
        (void)snprintf(policy, sizeof policy, "require");
    } else if (demand->policy == CRL_GRACE) {
        (void)snprintf(policy, sizeof policy, "grace:%" PRIu32, demand->grace_hours);
    }
    snp_crl_policy_state(r, state, sizeof state);
    (void)snprintf(out, size, "%s: %s", policy, state);
}
