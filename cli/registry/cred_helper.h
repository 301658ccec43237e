/* Credential helpers: programs that keep a user's passwords (docker-credential-helpers, "get").
 *
 *   docker-credential-NAME get   <- the registry's name     -> {"Username": ..., "Secret": ...}
 *
 * The program gets LIMIT_REGISTRY_HELPER_MS and LIMIT_REGISTRY_TOKEN bytes; one that takes more is
 * ended. Its complaints go to our standard error.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CRED_HELPER_H
#define CONTRAST_CRED_HELPER_H

#include "lib/base/bytes.h"

struct cred {
    struct buf user;     /* empty for none; every buf of it wipes its bytes */
    struct buf password; /* of the user */
    struct buf identity; /* a refresh token in place of user and password; empty = none */
    struct buf bearer;   /* a token to be sent as it is; empty = none */
};
void cred_deinit(struct cred *c); /* accepts zeroed */
bool cred_is_empty(const struct cred *c);

/* Runs the helper `name` for `server`; an empty *out when it has nothing. `timeout_ms` 0 =
 * LIMIT_REGISTRY_HELPER_MS. CONFIG: no such program, a bad name, a failure, an answer that is no
 * credential; TIMEOUT. */
RESULT cred_helper_get(const char *name, const char *server, uint64_t timeout_ms, struct cred *out,
                       struct err *err);

/* What a helper that succeeded says, for the fuzz target too. CONFIG. */
RESULT cred_helper_parse(struct span answer, struct cred *out, struct err *err);

#endif
