/* Recovery desk: the recovery sessions of one replica (docs/recovery.md), shared by its session
 * threads, a mutex inside.
 *
 *              enough contributions, the file whole
 *   OPEN ------------------------------------------> STARTING ----> DONE
 *    ^  |                                             |   |
 *    |  '--- nothing happened for too long: gone      |   '-------> FAILED  (false: a new session
 *    '---- could not, retry may help -----------------'                      with a higher epoch)
 *
 * Anybody may open a session on a replica that has nothing to lose yet, so everything is bounded:
 * LIMIT_RECOVERIES sessions, LIMIT_CHECKPOINT bytes of files in all, a pace of opening, a lapse
 * without progress and one in all. A session without a contribution gives way to a new one when it
 * rests. The same offer again is the same session: an upload goes on where it stopped.
 *
 * What a contribution says is checked by whoever brings it here (session_recover.c), outside the
 * mutex; the desk keeps shares in locked memory and wipes them when the session ends.
 * Errors: NOT_FOUND (no such session, or it lapsed), BUSY (with advice), and what each says.
 * No I/O, no clock of its own. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVERY_DESK_H
#define CONTRAST_RECOVERY_DESK_H

#include "lib/base/bytes.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/secret.h"
#include "lib/manifest/recovery.h"

#define RECOVERY_SESSION_SIZE 16 /* bytes of an id */

struct recovery_desk;

/* `host` is borrowed. */
struct recovery_desk *recovery_desk_new(const struct host *host);
/* Wipes; accepts NULL. No thread may use it any more. */
void recovery_desk_free(struct recovery_desk *d);

/* What a session is about. All borrowed. */
struct recovery_offer {
    struct recovery recovery;    /* what owners sign */
    uint64_t last_term;          /* of the state's last entry */
    uint64_t threshold;          /* contributions needed, 1..owner_count */
    const uint8_t (*owners)[32]; /* digests of the share owners, each once */
    size_t owner_count;          /* 1..LIMIT_SHARE_OWNERS */
    struct span header;          /* of the file, up to its ciphertext; empty for a survivor */
    uint64_t size;               /* of the whole file, more than the header's; 0 for a survivor */
};

enum recovery_stage { RECOVERY_OPEN, RECOVERY_STARTING, RECOVERY_DONE, RECOVERY_FAILED };
const char *recovery_stage_name(enum recovery_stage stage); /* "open" ... */

/* How a session stands: a copy. Zeroed is valid; deinit in every case. */
struct recovery_standing {
    uint8_t session[RECOVERY_SESSION_SIZE];
    struct recovery recovery;
    uint64_t last_term;
    uint64_t threshold;
    uint8_t owners[LIMIT_SHARE_OWNERS][32];
    bool has_given[LIMIT_SHARE_OWNERS];
    size_t owner_count;
    size_t given; /* contributions */
    struct buf header;
    uint64_t received; /* bytes of the file, the header's included */
    uint64_t size;
    enum recovery_stage stage;
    struct err why;      /* FAILED: why; OPEN: the last try's failure, code OK = none */
    uint64_t expires_ms; /* from now, without progress; 0 once it has ended */
};
void recovery_standing_deinit(struct recovery_standing *s);

/* May one more session be asked for now? BUSY with advice: the pace of opening, whatever it costs
 * this replica to find out what would be recovered. */
RESULT recovery_desk_may_open(struct recovery_desk *d, struct err *err);

/* A new session, or the one that has this very offer. BUSY: all seats are taken. TOO_LARGE,
 * INVALID: what the offer says cannot be. */
RESULT recovery_desk_open(struct recovery_desk *d, const struct recovery_offer *offer,
                          uint8_t session[RECOVERY_SESSION_SIZE], struct err *err);

RESULT recovery_desk_show(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                          struct recovery_standing *out, struct err *err);

/* The next bytes of the file. A piece that begins before what is here is taken as it is if it
 * brings nothing else than what is here already; DIFFERS otherwise. PROTOCOL: a gap, or behind the
 * end. */
RESULT recovery_desk_upload(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                            uint64_t offset, struct span data, struct err *err);

/* One share owner's part, checked already. `share` is empty for a survivor. */
struct recovery_gift {
    uint8_t owner[32];     /* digest of `key` */
    struct span key;       /* PKCS#1 DER, at most LIMIT_PKCS1 */
    struct span share;     /* secret, at most LIMIT_SHARE */
    struct span signature; /* at most LIMIT_RSA_SIGNATURE */
};

/* Keeps it; the same owner again is success. *may_start: exactly one caller gets true when the
 * session has all it needs: that caller starts it (recovery_desk_case ... recovery_desk_finish).
 * DENIED: not one of its owners. UNAVAILABLE: the file is not whole yet. FAILED sessions answer
 * with their reason. */
RESULT recovery_desk_give(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                          const struct recovery_gift *gift, bool *may_start, struct err *err);

/* What a session that STARTs has. Borrowed from the desk, which leaves the session alone until
 * recovery_desk_finish. */
struct recovery_case {
    const struct recovery *recovery;
    struct span file; /* empty for a survivor */
    const struct secret *shares[LIMIT_SHARE_OWNERS];
    size_t share_count;
    struct recovery_signature signatures[LIMIT_SHARE_OWNERS];
    uint8_t owners[LIMIT_SHARE_OWNERS][32]; /* of the whole offer */
    size_t owner_count;
    uint64_t threshold;
    size_t signature_count;
};
void recovery_desk_case(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                        struct recovery_case *out);
/* OK: DONE. Class RETRY: OPEN again, contributions kept, any of their owners may try again. Else
 * FAILED. `err` says why, unless OK. What is secret is wiped in DONE and FAILED. */
void recovery_desk_finish(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                          struct result r, const struct err *err);

/* --- Checkpoints being fetched: each is a file in memory */

/* One more. BUSY with advice: LIMIT_CHECKPOINTS of this process, or the pace of making them. */
RESULT recovery_desk_seal_begin(struct recovery_desk *d, struct err *err);
void recovery_desk_seal_end(struct recovery_desk *d);

#endif
