/* Authorizations: from a challenge and a user's credentials to the header that a registry wants.
 *
 *   Bearer: GET realm?service&scope (with Basic, when there is a user), or POST with the refresh
 *           token of an identity (the distribution project's token and OAuth2 specifications)
 *   Basic:  user and password
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_AUTH_H
#define CONTRAST_REGISTRY_AUTH_H

#include "cli/registry/cred_helper.h"
#include "cli/registry/registry_http.h"

/* Who asks for what. */
struct registry_auth {
    const char *host;        /* for messages and `docker login` */
    const char *repository;  /* what is pulled, when the challenge does not say */
    const struct cred *cred; /* may be empty: anonymous */
    bool is_plain;           /* the registry itself is spoken to over http */
};

/* Fills *header (a value for Authorization). CONFIG: no way to log in, or refused; UNAVAILABLE and
 * BUSY: the token server, `*answer` then holds its Retry-After; MALFORMED: its answer. */
RESULT registry_auth_make(struct registry_http *http, const struct registry_auth *who,
                          const struct auth_challenge *challenge, struct buf *header,
                          struct registry_http_answer *answer, struct err *err);

/* The token of a token server's answer, appended. MALFORMED. */
RESULT registry_auth_parse_token(struct span answer, struct buf *out, struct err *err);

#endif
