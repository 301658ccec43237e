/* Image: what of a container image the runtime policy depends on.
 *
 * A registry client fills it: the image config (OCI image-spec, config.md, "Image JSON"), the files
 * etc/passwd and etc/group of the topmost layer that has them, and the layers' root hashes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IMAGE_H
#define CONTRAST_IMAGE_H

#include <jansson.h>

#include "lib/base/bytes.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

struct image_layer {
    char id[2 * SHA256_SIZE + 1];   /* hex: SHA-256 of the chain id, the snapshotter's name of it */
    char root[2 * SHA256_SIZE + 1]; /* hex: dm-verity root hash (cli/layer) */
};

struct image {
    char *reference; /* as the pod writes it; owned */
    json_t *config;  /* object of the checked fields below; owned */
    struct buf passwd;
    struct buf group;
    struct image_layer *layers; /* topmost first; owned */
    size_t layer_count;         /* 0: root hashes are not known */
};

struct image_list {
    struct image *items; /* owned */
    size_t count;
};

struct image_user {
    int64_t uid;
    int64_t gid;
    char name[LIMIT_IMAGE_NAME + 1]; /* "" when passwd has no entry for the uid */
};

void image_deinit(struct image *i); /* accepts zeroed */
void image_list_deinit(struct image_list *list);

/* The image with exactly this reference; NULL = none. */
const struct image *image_find(const struct image_list *list, const char *reference);

/* Reads an image config. Of its "config": User and WorkingDir (strings), Env (NAME=VALUE), Cmd and
 * Entrypoint (lists of strings or null), Volumes (an object, becomes a sorted list of its keys);
 * what is absent or null becomes "" or []. Other fields do not concern the policy. INVALID with the
 * path of the field for JSON that is something else or over LIMIT_IMAGE_CONFIG; *out is zeroed
 * then. passwd, group and layers are left to the caller. */
RESULT image_read(const char *reference, struct span config, struct image *out, struct err *err);

/* A string or list of the config; never NULL. */
const char *image_string(const struct image *i, const char *key);
json_t *image_list_of(const struct image *i, const char *key);

/* The user with this uid: its passwd entry, or gid 0 and no name (containerd does the same). */
struct image_user image_user_by_uid(const struct image *i, int64_t uid);

/* The user that the config names: "", "uid", "uid:gid", "name" or "name:group". The group part
 * counts only `with_group`: of a workload the kubelet passes on the user alone. INVALID for a name
 * that passwd or group has not, or a number above 2^32 - 1. */
RESULT image_user_of_config(const struct image *i, bool with_group, struct image_user *out,
                            struct err *err);

/* Calls `add` with each group that lists `user` as a member, except the group of the same name:
 * containerd issue 11937. */
void image_each_group(const struct image *i, const char *user,
                      void (*add)(void *context, int64_t gid), void *context);

#endif
