/* Logins: who we are to which registry, kept for a whole run and shared by its threads.
 *
 *   get: what is known for host and repository  ->  a request  ->  401  ->  renew: challenge in,
 *   new header out, made once however many threads ask
 *
 * A renewal names the generation that was refused: when another thread has been faster, its header
 * is given at once. A helper is run once for each host. Credentials that were refused are not sent
 * again in this run: accounts get locked by such things.
 *
 * Thread-safe. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_LOGIN_H
#define CONTRAST_REGISTRY_LOGIN_H

#include "cli/registry/registry_auth.h"

struct registry_login;

/* `docker_folder`: of config.json; NULL = docker_config.h says where. CONFIG: config.json. */
RESULT registry_login_open(const char *docker_folder, struct registry_login **out, struct err *err);
void registry_login_close(struct registry_login *l); /* accepts NULL */

/* To whom. */
struct registry_login_place {
    const char *host; /* whose credentials are used */
    const char *repository;
    bool is_plain; /* http */
};

/* Replaces *header by a value for Authorization, empty when nothing is known; returns its
 * generation, for registry_login_renew. */
unsigned registry_login_get(struct registry_login *l, const struct registry_login_place *at,
                            struct buf *header);

/* After a 401 for what `seen` stands for. `http` is the caller's own. Errors as
 * registry_auth_make, whose Retry-After stands in *answer then. */
RESULT registry_login_renew(struct registry_login *l, struct registry_http *http,
                            const struct registry_login_place *at,
                            const struct auth_challenge *challenge, unsigned seen,
                            struct buf *header, struct registry_http_answer *answer,
                            struct err *err);

#endif
