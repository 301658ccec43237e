/* Docker's config.json: who we are to which registry (docker login, docker/cli "config file").
 *
 *   {"auths": {"ghcr.io": {"auth": base64("user:password")}},
 *    "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass"}
 *
 * A helper for the registry comes first, then the store, then `auths`; nothing means anonymous.
 * Keys may be spelled as addresses ("https://index.docker.io/v1/").
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_DOCKER_CONFIG_H
#define CONTRAST_DOCKER_CONFIG_H

#include "cli/registry/cred_helper.h"

struct docker_config;

/* FOLDER/config.json; NULL: $DOCKER_CONFIG, else ~/.docker. No file is an empty config. CONFIG with
 * the path for a file that is not one. */
RESULT docker_config_read(const char *folder, struct docker_config **out, struct err *err);
RESULT docker_config_parse(struct span text, struct docker_config **out, struct err *err);
void docker_config_free(struct docker_config *c); /* accepts NULL */

/* What the user has for `host` (as in image_ref: "docker.io", "127.0.0.1:5000"), without running a
 * helper: *helper names the one to run, or is NULL and *out is filled. CONFIG. */
RESULT docker_config_find(const struct docker_config *c, const char *host, const char **helper,
                          struct cred *out, struct err *err);

/* The same, with the helper run. *out is the caller's. */
RESULT docker_config_cred(const struct docker_config *c, const char *host, struct cred *out,
                          struct err *err);

#endif
