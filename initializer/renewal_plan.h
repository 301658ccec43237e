/* Renewal plan: when a pod's certificate is renewed, as arithmetic.
 *
 *   issued |--------- half life, +-10 % ---------| renew ............ | expired
 *          |- check -|- check -|- check -| outdated: renew
 *
 * Two clocks are asked, and the earlier one counts: the host may set CLOCK_REALTIME back to keep an
 * old certificate alive, and monotonic time alone misses the hours for which it paused the machine.
 *
 * Pure: both times are arguments. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RENEWAL_PLAN_H
#define CONTRAST_RENEWAL_PLAN_H

#include "lib/base/err.h"

#define RENEWAL_JITTER 201     /* draws of jitter: 0..200, that is 900..1100 thousandths */
#define RENEWAL_LEAST_MS 60000 /* a certificate is not renewed for its age before that */
#define RENEWAL_WAKE_MS 60000  /* the longest sleep: then the host's clock is looked at again */
#define RENEWAL_TIME_MAX (INT64_C(1) << 40) /* unix seconds that are taken for a time at all */

/* The life of a certificate, by both clocks. */
struct renewal_life {
    int64_t not_before; /* unix seconds, of the certificate */
    int64_t not_after;
    int64_t issued_at;  /* unix seconds, by the host's clock when it came */
    uint64_t issued_ms; /* monotonic, at the same moment */
};

/* All zero: no certificate, everything is due at once. */
struct renewal_plan {
    bool has_certificate;
    bool is_outdated;  /* the Coordinator has another generation, epoch or mesh CA by now */
    uint64_t renew_ms; /* monotonic: half of its life is over ... */
    int64_t renew_at;  /* ... the same by the host's clock, unix seconds */
    uint64_t hold_ms;  /* monotonic: no renewal is tried before */
    uint64_t check_ms; /* monotonic: the next look at the Coordinator */
};

enum renewal_action { RENEWAL_WAIT, RENEWAL_CHECK, RENEWAL_ISSUE };

struct renewal_step {
    enum renewal_action action;
    uint64_t wait_ms; /* with RENEWAL_WAIT: 1..RENEWAL_WAKE_MS, then ask again */
};

/* Milliseconds that the certificate was good for when it came; 0 when it was not. A clock that was
 * behind not_before counts as not_before. Times are at most RENEWAL_TIME_MAX. */
uint64_t renewal_plan_life_ms(const struct renewal_life *life);
/* By either clock. A monotonic time before issued_ms (another boot) is no proof of anything. */
bool renewal_plan_is_expired(const struct renewal_life *life, uint64_t now_ms, int64_t now);

/* A certificate has come: plans its renewal. jitter < RENEWAL_JITTER. */
void renewal_plan_renew(struct renewal_plan *p, const struct renewal_life *life, unsigned jitter);
/* The interval of checks, with the same jitter. */
uint64_t renewal_plan_interval_ms(uint64_t check_s, unsigned jitter);

struct renewal_step renewal_plan_next(const struct renewal_plan *p, uint64_t now_ms, int64_t now);

/* What to do after an error: true = try again, false = a person must look (exit code of `code`). */
bool renewal_plan_may_retry(enum err_code code);

/* The longest pause after the n-th failure in a row, n >= 1; it doubles.
 *   nothing yet           200 ms ..  5 s    containers wait for this
 *   it may help to retry  200 ms .. 30 s
 *   checked, and false     60 s .. 15 min   time for a person */
enum renewal_patience { RENEWAL_EAGER, RENEWAL_PATIENT, RENEWAL_SLOW };
uint64_t renewal_plan_pause_ms(enum renewal_patience patience, unsigned failures);

#endif
