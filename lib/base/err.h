/* Errors: one code, one class and one sentence for everything that can go wrong.
 *
 * A function that can fail returns RESULT, a must-use one-word struct, and takes `struct err *err`
 * last. On failure it fills *err (if err is not NULL) and leaves its outputs untouched. A caller
 * that passes the failure on may add one layer of context with err_wrap:
 *
 *     set manifest: policy 3: digest is 31 bytes, want 32
 *
 * The wire number is stable for ever: it is what a peer or a script sees. The class says what to
 * do, and with it the exit code of a program.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ERR_H
#define CONTRAST_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, wire number, class, text */
#define ERR_TABLE(X)                                                                               \
    X(OK, 0, NONE, "no error")                                                                     \
    X(NOMEM, 1, LOCAL, "out of memory")                                                            \
    X(IO, 2, RETRY, "input or output failed")                                                      \
    X(UNAVAILABLE, 3, RETRY, "not available now")                                                  \
    X(BUSY, 4, RETRY, "busy, retry later")                                                         \
    X(TIMEOUT, 5, RETRY, "timed out")                                                              \
    X(CANCELED, 6, RETRY, "canceled")                                                              \
    X(CLOSED, 7, RETRY, "connection closed")                                                       \
    X(NOT_LEADER, 8, RETRY, "this replica does not lead")                                          \
    X(NO_QUORUM, 9, RETRY, "no quorum of replicas answers")                                        \
    X(NOT_FOUNDED, 10, RETRY, "no manifest is set yet")                                            \
    X(OUTCOME_UNKNOWN, 11, RETRY, "the outcome is unknown")                                        \
    X(STALE_GENERATION, 12, RETRY, "the manifest changed meanwhile")                               \
    X(UNVERIFIABLE, 13, RETRY, "could not verify")                                                 \
    X(MALFORMED, 20, PEER, "malformed")                                                            \
    X(PROTOCOL, 21, PEER, "not allowed at this point")                                             \
    X(TOO_LARGE, 22, PEER, "too large")                                                            \
    X(TLS, 23, PEER, "TLS failed")                                                                 \
    X(USAGE, 40, OPERATOR, "wrong usage")                                                          \
    X(CONFIG, 41, OPERATOR, "wrong configuration")                                                 \
    X(INVALID, 42, OPERATOR, "invalid input")                                                      \
    X(NOT_FOUND, 43, OPERATOR, "not found")                                                        \
    X(EXISTS, 44, OPERATOR, "exists already")                                                      \
    X(MANIFEST, 45, OPERATOR, "the manifest is invalid")                                           \
    X(DENIED, 60, DENIED, "denied")                                                                \
    X(CHANGED, 61, DENIED, "changed since you looked")                                             \
    X(SIGNATURE, 62, DENIED, "not signed by a permitted key")                                      \
    X(DIFFERS, 63, DENIED, "differs from what was expected")                                       \
    X(FOUNDED, 64, DENIED, "belongs to a cluster already")                                         \
    X(FORK, 80, PROOF, "fork detected")                                                            \
    X(ROLLBACK, 81, PROOF, "rollback detected")                                                    \
    X(INTERNAL, 90, LOCAL, "internal error")                                                       \
    X(DIVERGED, 91, LOCAL, "replicas diverged")                                                    \
    X(FROZEN, 92, LOCAL, "this replica is frozen")                                                 \
    X(LOST, 93, LOCAL, "lost until the pod restarts")

enum err_code {
#define X(name, number, class, text) ERR_##name = (number),
    ERR_TABLE(X)
#undef X
};

/* What to do about an error. */
enum err_class {
    ERR_CLASS_NONE,
    ERR_CLASS_RETRY,    /* the same call may succeed later: exit 1 */
    ERR_CLASS_PEER,     /* the peer broke the protocol, drop the connection: exit 1 */
    ERR_CLASS_LOCAL,    /* this process cannot go on with it: exit 1 */
    ERR_CLASS_OPERATOR, /* a person must change the input or configuration: exit 2 */
    ERR_CLASS_DENIED,   /* checked, and false: exit 3 */
    ERR_CLASS_PROOF,    /* proof of a fork or a rollback: exit 4 */
};

#define ERR_TEXT_SIZE 1024 /* bytes, with the NUL */

struct err {
    enum err_code code;
    uint32_t retry_ms;        /* advice of whoever failed: try again after so long; 0 = none */
    char text[ERR_TEXT_SIZE]; /* one line, UTF-8 whatever it quotes, no secret */
};

struct result {
    enum err_code code; /* ERR_OK or the code of the failure */
};

#define RESULT __attribute__((warn_unused_result)) struct result
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define AUTO(cleanup_fn) __attribute__((cleanup(cleanup_fn)))

#define OK ((struct result){ERR_OK})

/* Returns the failure of `expr` to the caller. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        struct result try_result = (expr);                                                         \
        if (try_result.code != ERR_OK) {                                                           \
            return try_result;                                                                     \
        }                                                                                          \
    } while (0)

/* Fails with ERR_<name> and a printf-style text unless `cond` holds. */
#define ENSURE(cond, err, name, ...)                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            return err_set((err), ERR_##name, __VA_ARGS__);                                        \
        }                                                                                          \
    } while (0)

/* An invariant: always on; prints place and condition, then aborts. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            err_check_failed(__FILE__, __LINE__, #cond);                                           \
        }                                                                                          \
    } while (0)

/* Fills *err (may be NULL; without advice) and returns the code. The text is cleaned (err_clean):
 * what a format quotes of a peer's words, or cuts in the middle of a character, is one valid line
 * all the same.
 */
RESULT err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Adds the advice to try again after `ms` (not 0) to what err_set filled; err may be NULL. */
void err_advise(struct err *err, uint64_t ms);

/* Puts "context: " before the text of *err and returns its code. err may be NULL: then `r`. */
RESULT err_wrap(struct result r, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);

/* Makes `text` one line of valid UTF-8 that a terminal only shows: what is no UTF-8 (RFC 3629
 * section 4) becomes '?', control characters (C0, DEL and C1) become spaces. In place, never
 * longer. */
void err_clean(char *text);

/* Spells out that a failure is ignored, and why. */
void err_ignore(struct result r, const char *why);

enum err_class err_class_of(enum err_code code);
const char *err_name(enum err_code code); /* "DENIED" */
const char *err_text(enum err_code code); /* the sentence of the table */
int err_exit_code(enum err_code code);    /* 0..4, docs of the exit codes: README */

/* The code with this wire number; ERR_INTERNAL for a number that this version does not know. */
enum err_code err_from_wire(unsigned number);

static inline bool is_ok(struct result r) {
    return r.code == ERR_OK;
}

_Noreturn void err_check_failed(const char *file, int line, const char *condition);

#endif
