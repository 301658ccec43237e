/* Image configs: how a container of an image starts (OCI image spec 1.1, "Image Configuration").
 *
 * Unknown members are allowed, as the specification wants; those below must have their types.
 * Pure. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OCI_CONFIG_H
#define CONTRAST_OCI_CONFIG_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

struct oci_texts {
    char **items; /* owned, each NUL-terminated */
    size_t count;
};

struct oci_config {
    char *user;                       /* config.User, "" when absent; owned as all of it */
    char *working_dir;                /* config.WorkingDir, "" when absent */
    struct oci_texts env;             /* config.Env, in its order */
    struct oci_texts entrypoint;      /* config.Entrypoint */
    struct oci_texts cmd;             /* config.Cmd */
    struct oci_texts volumes;         /* the keys of config.Volumes, sorted by bytes */
    uint8_t (*diff_ids)[SHA256_SIZE]; /* rootfs.diff_ids, bottom first */
    size_t diff_id_count;
};

/* MALFORMED, TOO_LARGE; INVALID for an image that is not for linux/amd64. */
RESULT oci_config_parse(struct span text, struct oci_config *out, struct err *err);
/* Bytes that it holds. */
size_t oci_config_memory(const struct oci_config *c);
void oci_config_deinit(struct oci_config *c); /* accepts zeroed */

#endif
