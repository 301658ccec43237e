/* Challenges: what a registry wants before it serves (RFC 9110 section 11.6.1, WWW-Authenticate).
 *
 *   Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull"
 *   Basic realm="registry"
 *
 * Several may stand in one header, parted by commas. Total and pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_AUTH_CHALLENGE_H
#define CONTRAST_AUTH_CHALLENGE_H

#include "lib/base/bytes.h"

enum auth_scheme { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

#define AUTH_CHALLENGE_TEXT 2048

struct auth_challenge {
    enum auth_scheme scheme;
    char realm[AUTH_CHALLENGE_TEXT];   /* "" when absent */
    char service[AUTH_CHALLENGE_TEXT]; /* Bearer alone, as scope */
    char scope[AUTH_CHALLENGE_TEXT];
};

/* The best challenge of one header that we can answer: Bearer before Basic. *out is changed only
 * when it is better than what stands there, so that several headers can be read in turn; AUTH_NONE
 * stays when there is none. MALFORMED. */
RESULT auth_challenge_parse(struct span header, struct auth_challenge *out, struct err *err);

#endif
