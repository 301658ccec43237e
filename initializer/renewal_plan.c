/* Renewal plan: see renewal_plan.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/renewal_plan.h"

static int64_t begin_of(const struct renewal_life *life) {
    return life->issued_at > life->not_before ? life->issued_at : life->not_before;
}

uint64_t renewal_plan_life_ms(const struct renewal_life *life) {
    int64_t begin = begin_of(life);
    return life->not_after > begin ? (uint64_t)(life->not_after - begin) * 1000 : 0;
}

bool renewal_plan_is_expired(const struct renewal_life *life, uint64_t now_ms, int64_t now) {
    uint64_t age_ms = now_ms > life->issued_ms ? now_ms - life->issued_ms : 0;
    return now >= life->not_after || age_ms >= renewal_plan_life_ms(life);
}

static uint64_t shake(uint64_t ms, unsigned jitter) {
    CHECK(jitter < RENEWAL_JITTER);
    return ms / 1000 * (900 + jitter) + ms % 1000 * (900 + jitter) / 1000;
}

void renewal_plan_renew(struct renewal_plan *p, const struct renewal_life *life, unsigned jitter) {
    uint64_t after_ms = shake(renewal_plan_life_ms(life) / 2, jitter);
    after_ms = after_ms > RENEWAL_LEAST_MS ? after_ms : RENEWAL_LEAST_MS;
    p->has_certificate = true;
    p->is_outdated = false;
    p->renew_ms = life->issued_ms + after_ms;
    p->renew_at = begin_of(life) + (int64_t)(after_ms / 1000);
}

uint64_t renewal_plan_interval_ms(uint64_t check_s, unsigned jitter) {
    return shake(check_s * 1000, jitter);
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

struct renewal_step renewal_plan_next(const struct renewal_plan *p, uint64_t now_ms, int64_t now) {
    bool is_due =
        !p->has_certificate || p->is_outdated || now_ms >= p->renew_ms || now >= p->renew_at;
    if (is_due && now_ms >= p->hold_ms) {
        return (struct renewal_step){.action = RENEWAL_ISSUE};
    }
    if (p->has_certificate && now_ms >= p->check_ms) {
        return (struct renewal_step){.action = RENEWAL_CHECK};
    }
    uint64_t next = is_due ? p->hold_ms : p->renew_ms;
    next = p->has_certificate ? least(next, p->check_ms) : next;
    return (struct renewal_step){RENEWAL_WAIT, least(next - now_ms, RENEWAL_WAKE_MS)};
}

/* A pod that lost its security processor gets no certificate until it restarts. A manifest that
 * changes while it is read looks different for a moment. */
bool renewal_plan_may_retry(enum err_code code) {
    enum err_class class = err_class_of(code);
    return code == ERR_CHANGED ||
           (class != ERR_CLASS_DENIED && class != ERR_CLASS_PROOF && code != ERR_LOST);
}

uint64_t renewal_plan_pause_ms(enum renewal_patience patience, unsigned failures) {
    static const struct {
        uint64_t least_ms;
        uint64_t most_ms;
    } pauses[] = {
        [RENEWAL_EAGER] = {200, 5000},
        [RENEWAL_PATIENT] = {200, 30000},
        [RENEWAL_SLOW] = {60000, 900000},
    };
    uint64_t pause = pauses[patience].least_ms;
    for (unsigned i = 1; i < failures && pause < pauses[patience].most_ms; i++) {
        pause *= 2;
    }
    return least(pause, pauses[patience].most_ms);
}
