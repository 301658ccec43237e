/* Policy user: user, groups, capabilities, as kubelet and containerd put them together.
 *
 *   uid    runAsUser of the container, else of the pod, else USER of the image (the kubelet passes
 *          its user alone, without the group behind the colon)
 *   gid    runAsGroup of the container, else of the pod, else that of the uid in etc/passwd, else 0
 *   gids   gid, supplementalGroups, fsGroup, and the groups of etc/group that list the user, but
 *          not the group with the user's own name
 *
 * Sources: kubelet pkg/securitycontext and kuberuntime/security_context.go, containerd
 * internal/cri/server/container_create.go and pkg/oci/spec_opts.go (WithUser, WithAdditionalGIDs).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/policy/inject_pieces.h"
#include "cli/policy/policy_derive.h"
#include "lib/base/mem.h"

/* --- Sets of group ids, sorted */

struct gids {
    int64_t *items; /* owned */
    size_t count;
};

static void gids_deinit(struct gids *g) {
    mem_free(g->items);
}

static void gids_add(void *context, int64_t gid) {
    struct gids *g = context;
    size_t at = 0;
    while (at < g->count && g->items[at] < gid) {
        at++;
    }
    if (at < g->count && g->items[at] == gid) {
        return;
    }
    g->items = mem_realloc(g->items, (g->count + 1) * sizeof *g->items);
    memmove(g->items + at + 1, g->items + at, (g->count - at) * sizeof *g->items);
    g->items[at] = gid;
    g->count++;
}

static json_t *gids_json(const struct gids *g) {
    json_t *list = json_array();
    for (size_t i = 0; i < g->count; i++) {
        json_array_append_new(list, json_integer(g->items[i]));
    }
    return list;
}

/* --- The user */

static const json_t *context_of(const json_t *object) {
    return json_object_get(object, "securityContext");
}

/* Kubernetes, IsValidUserID and IsValidGroupID. */
#define ID_MAX 2147483647

static RESULT check_id(const struct derive *d, const char *field, const json_t *value,
                       struct err *err) {
    json_int_t id = value != NULL ? json_integer_value(value) : 0;
    if (id < 0 || id > ID_MAX) {
        return policy_derive_fail(d, field, err,
                                  "%" JSON_INTEGER_FORMAT " is out of range; Kubernetes takes 0 "
                                  "to %d",
                                  id, ID_MAX);
    }
    return OK;
}

static RESULT check_keys(const struct derive *d, const json_t *context, struct err *err) {
    static const char *const keys[] = {"runAsUser", "runAsGroup", "fsGroup"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char field[64];
        (void)snprintf(field, sizeof field, ".securityContext.%s", keys[i]);
        TRY(check_id(d, field, json_object_get(context, keys[i]), err));
    }
    const json_t *more = json_object_get(context, "supplementalGroups");
    for (size_t i = 0; i < json_array_size(more); i++) {
        char field[64];
        (void)snprintf(field, sizeof field, ".securityContext.supplementalGroups[%zu]", i);
        TRY(check_id(d, field, json_array_get(more, i), err));
    }
    return OK;
}

static RESULT check_ids(const struct derive *d, struct err *err) {
    struct derive pod = *d;
    pod.at = d->w->spec;
    (void)snprintf(pod.path, sizeof pod.path, "spec");
    TRY(check_keys(&pod, context_of(d->spec), err));
    return check_keys(d, context_of(d->container), err);
}

/* The image's user, or the one that the pod sets instead, with his group of etc/passwd. */
static RESULT find_user(const struct derive *d, struct image_user *out, struct err *err) {
    const json_t *user = policy_number_of(d, "runAsUser");
    if (user != NULL) {
        *out = image_user_by_uid(d->image, json_integer_value(user));
        return OK;
    }
    struct err cause = {0};
    if (!is_ok(image_user_of_config(d->image, false, out, &cause))) {
        return policy_derive_fail(d, ".image", err, "%.300s", cause.text);
    }
    return OK;
}

/* What the kubelet passes for all containers of the pod. */
static void add_pod_groups(const struct derive *d, struct gids *gids) {
    const json_t *context = context_of(d->spec);
    const json_t *more = json_object_get(context, "supplementalGroups");
    const json_t *fs_group = json_object_get(context, "fsGroup");
    for (size_t i = 0; i < json_array_size(more); i++) {
        gids_add(gids, json_integer_value(json_array_get(more, i)));
    }
    if (fs_group != NULL) {
        gids_add(gids, json_integer_value(fs_group));
    }
}

/* supplementalGroupsPolicy Strict: those of etc/group do not count. */
static bool is_merged(const struct derive *d) {
    const char *policy = policy_text_of(context_of(d->spec), "supplementalGroupsPolicy", "Merge");
    return strcmp(policy, "Strict") != 0;
}

/* What of the user is known without the image. */
static void derive_without_image(const struct derive *d, json_t *out) {
    const json_t *user = policy_number_of(d, "runAsUser");
    const json_t *group = policy_number_of(d, "runAsGroup");
    if (user != NULL) {
        json_object_set_new(out, "uid", json_integer(json_integer_value(user)));
    }
    if (group != NULL) {
        json_object_set_new(out, "gid", json_integer(json_integer_value(group)));
    }
}

static bool is_injected(const struct derive *d) {
    const char *name = policy_text_of(d->container, "name", "");
    return strcmp(name, inject_pieces_name(INJECT_PIECES_INITIALIZER)) == 0 ||
           strcmp(name, inject_pieces_name(INJECT_PIECES_RENEWER)) == 0;
}

/* The file does not have that container, nor this text its lines: the pod's own field is named. */
static RESULT fail_injected(const struct derive *d, struct err *err) {
    return err_set(
        err, ERR_INVALID,
        "%s: %s/%s: %s%sspec.securityContext.runAsNonRoot: %s, which generate adds, would "
        "run as its image's user 0: set runAsUser beside it to the application's user, "
        "who then can read the keys",
        d->w->file->name, d->w->kind, d->w->name, d->place.item, d->place.pod,
        policy_text_of(d->container, "name", ""));
}

/* The kubelet's verifyRunAsNonRoot: it must know a number, and not 0. */
static RESULT check_root(const struct derive *d, const json_t *out, struct err *err) {
    bool is_forbidden = policy_flag_of(context_of(d->container), "runAsNonRoot",
                                       policy_flag_of(context_of(d->spec), "runAsNonRoot", false));
    const json_t *uid = json_object_get(out, "uid");
    if (!is_forbidden || uid == NULL) {
        return OK;
    }
    if (json_integer_value(uid) == 0 && is_injected(d)) {
        return fail_injected(d, err);
    }
    if (json_integer_value(uid) == 0) {
        return policy_derive_fail(d, "", err,
                                  "runAsNonRoot, but the user is 0: the kubelet would not start "
                                  "it; set runAsUser");
    }
    const char *user = d->image != NULL ? image_string(d->image, "User") : "";
    bool is_number = user[0] == '\0' || (user[0] >= '0' && user[0] <= '9');
    if (policy_number_of(d, "runAsUser") == NULL && !is_number) {
        return policy_derive_fail(
            d, "", err,
            "runAsNonRoot, but the image's user \"%.100s\" is a name, of which "
            "the kubelet knows no number; set runAsUser: %" JSON_INTEGER_FORMAT,
            user, json_integer_value(uid));
    }
    return OK;
}

static RESULT derive_ids(const struct derive *d, json_t *out, struct err *err) {
    TRY(check_ids(d, err));
    if (d->image == NULL) {
        derive_without_image(d, out);
        return check_root(d, out, err);
    }
    struct image_user user = {0};
    const json_t *group = policy_number_of(d, "runAsGroup");
    TRY(find_user(d, &user, err));
    AUTO(gids_deinit)
    struct gids gids = {0};
    int64_t gid = group != NULL ? json_integer_value(group) : user.gid;
    gids_add(&gids, gid);
    add_pod_groups(d, &gids);
    if (is_merged(d)) {
        image_each_group(d->image, user.name, gids_add, &gids);
    }
    json_object_set_new(out, "uid", json_integer(user.uid));
    json_object_set_new(out, "gid", json_integer(gid));
    json_object_set_new(out, "gids", gids_json(&gids));
    return check_root(d, out, err);
}

/* --- Capabilities: sorted. Sources: containerd's default set, linux/capability.h */

static const char *const all_caps[] = {
    "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
    "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
    "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "FOWNER",          "FSETID",       "IPC_LOCK",
    "IPC_OWNER",       "KILL",         "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
    "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
    "NET_BROADCAST",   "NET_RAW",      "PERFMON",
    "SETFCAP",         "SETGID",       "SETPCAP",
    "SETUID",          "SYSLOG",       "SYS_ADMIN",
    "SYS_BOOT",        "SYS_CHROOT",   "SYS_MODULE",
    "SYS_NICE",        "SYS_PACCT",    "SYS_PTRACE",
    "SYS_RAWIO",       "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG",  "WAKE_ALARM",
};
static const char *const usual_caps[] = {
    "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER", "FSETID",  "KILL",   "MKNOD",
    "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",      "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
};

#define CAPS (sizeof all_caps / sizeof all_caps[0])

static size_t find_cap(const char *name) {
    const char *bare = strncmp(name, "CAP_", 4) == 0 ? name + 4 : name;
    size_t i = 0;
    while (i < CAPS && strcmp(all_caps[i], bare) != 0) {
        i++;
    }
    return i;
}

static void set_caps(bool *set, bool value) {
    for (size_t i = 0; i < CAPS; i++) {
        set[i] = value;
    }
}

static RESULT change_caps(const struct derive *d, const char *key, bool value, bool *set,
                          struct err *err) {
    const json_t *list =
        json_object_get(json_object_get(context_of(d->container), "capabilities"), key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (strcmp(name, "ALL") == 0) {
            set_caps(set, value);
            continue;
        }
        size_t cap = find_cap(name);
        if (cap == CAPS) {
            return policy_derive_fail(d, ".securityContext.capabilities", err,
                                      "no capability is called \"%.100s\"", name);
        }
        set[cap] = value;
    }
    return OK;
}

static json_t *caps_json(const bool *set) {
    json_t *list = json_array();
    for (size_t i = 0; i < CAPS; i++) {
        if (set[i]) {
            json_array_append_new(list, json_sprintf("CAP_%s", all_caps[i]));
        }
    }
    return list;
}

static void usual(bool *set) {
    set_caps(set, false);
    for (size_t i = 0; i < sizeof usual_caps / sizeof usual_caps[0]; i++) {
        set[find_cap(usual_caps[i])] = true;
    }
}

RESULT policy_user_derive(const struct derive *d, json_t *out, struct err *err) {
    const json_t *context = context_of(d->container);
    bool is_privileged = policy_flag_of(context, "privileged", false);
    bool is_escalating = policy_flag_of(context, "allowPrivilegeEscalation", true);
    bool set[CAPS];
    usual(set);
    if (is_privileged) {
        set_caps(set, true);
    } else {
        TRY(change_caps(d, "drop", false, set, err));
        TRY(change_caps(d, "add", true, set, err));
    }
    json_object_set_new(out, "caps", caps_json(set));
    json_object_set_new(out, "privileged", json_boolean(is_privileged));
    json_object_set_new(out, "noNewPrivileges", json_boolean(!is_escalating));
    return derive_ids(d, out, err);
}

#define SANDBOX_USER 65535

void policy_user_sandbox(const struct derive *d, json_t *out) {
    const json_t *user = json_object_get(context_of(d->spec), "runAsUser");
    const json_t *group = json_object_get(context_of(d->spec), "runAsGroup");
    int64_t uid = user != NULL ? json_integer_value(user) : SANDBOX_USER;
    int64_t gid = user != NULL ? 0 : SANDBOX_USER;
    gid = group != NULL ? json_integer_value(group) : gid;
    bool set[CAPS];
    usual(set);
    json_object_set_new(out, "caps", caps_json(set));
    json_object_set_new(out, "privileged", json_false());
    json_object_set_new(out, "noNewPrivileges", json_true());
    json_object_set_new(out, "uid", json_integer(uid));
    json_object_set_new(out, "gid", json_integer(gid));
    json_object_set_new(out, "gids", json_pack("[I]", (json_int_t)gid));
}
