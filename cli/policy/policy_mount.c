/* Policy mounts: what containerd and the shim mount into a container, and the pod's volumes.
 *
 * One object per place: at, from ("shared": a copy of the host's file; "empty", "memory": volumes
 * of the guest; "cgroup"; else the source itself), type, options, name (of a shared one), volume,
 * optional.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/policy/policy_derive.h"
#include "lib/base/mem.h"

struct row {
    const char *at;
    const char *from;
    const char *type;
    const char *options;
};

static json_t *options_json(const char *text) {
    json_t *list = json_array();
    while (text[0] != '\0') {
        size_t size = strcspn(text, ",");
        json_array_append_new(list, json_stringn(text, size));
        text += text[size] == ',' ? size + 1 : size;
    }
    return list;
}

/* Replaces what stood at the same place. */
static json_t *put(json_t *places, const char *at, const char *from, const char *type,
                   const char *options) {
    json_t *mount = json_pack("{s:s, s:s, s:s, s:o}", "at", at, "from", from, "type", type,
                              "options", options_json(options));
    json_object_set_new(places, at, mount);
    return mount;
}

static void put_shared(json_t *places, const char *at, const char *options, bool is_optional) {
    const char *slash = strrchr(at, '/');
    json_t *mount = put(places, at, "shared", "bind", options);
    json_object_set_new(mount, "name", json_string(slash != NULL ? slash + 1 : at));
    if (is_optional) {
        json_object_set_new(mount, "optional", json_true());
    }
}

static void put_rows(json_t *places, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        (void)put(places, rows[i].at, rows[i].from, rows[i].type, rows[i].options);
    }
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_places(json_t *places, json_t *out) {
    size_t size = json_object_size(places);
    const char **keys = mem_calloc(size + 1, sizeof *keys);
    size_t count = 0;
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(places, key, value) {
        keys[count++] = key;
    }
    qsort(keys, count, sizeof *keys, compare);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append(list, json_object_get(places, keys[i]));
    }
    json_object_set_new(out, "mounts", list);
    mem_free(keys);
}

/* --- What every container has */

static const struct row common[] = {
    {"/proc", "proc", "proc", "nosuid,noexec,nodev"},
    {"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"},
    {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"},
    {"/dev/shm", "/run/kata-containers/sandbox/shm", "bind", "rbind"},
};

#define COMMON (sizeof common / sizeof common[0])

void policy_mount_sandbox(json_t *out) {
    json_t *places = json_object();
    put_rows(places, common, COMMON);
    (void)put(places, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
    put_shared(places, "/etc/resolv.conf", "rbind,ro,nosuid,nodev,noexec", false);
    write_places(places, out);
    json_decref(places);
}

static void put_defaults(const struct derive *d, json_t *places) {
    const json_t *context = json_object_get(d->container, "securityContext");
    bool is_privileged = policy_flag_of(context, "privileged", false);
    bool is_readonly = policy_flag_of(context, "readOnlyRootFilesystem", false);
    const char *files = is_readonly ? "rbind,rprivate,ro" : "rbind,rprivate,rw";
    put_rows(places, common, COMMON);
    (void)put(places, "/sys", "sysfs", "sysfs",
              is_privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro");
    (void)put(places, "/sys/fs/cgroup", "cgroup", "cgroup",
              is_privileged ? "nosuid,noexec,nodev,relatime" : "nosuid,noexec,nodev,relatime,ro");
    /* The cgroup mount is told by its name: its options depend on the kernel. */
    put_shared(places, "/etc/hosts", "rbind,rprivate,rw", false);
    put_shared(places, "/etc/hostname", files, false);
    put_shared(places, "/etc/resolv.conf", files, false);
    put_shared(places,
               policy_text_of(d->container, "terminationMessagePath", "/dev/termination-log"),
               "rbind,rprivate,rw", false);
    if (policy_flag_of(d->spec, "automountServiceAccountToken", true)) {
        put_shared(places, "/var/run/secrets/kubernetes.io/serviceaccount", "rbind,rprivate,ro",
                   true);
    }
}

static void put_image_volumes(const struct derive *d, json_t *places) {
    const json_t *list = d->image != NULL ? image_list_of(d->image, "Volumes") : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        put_shared(places, json_string_value(json_array_get(list, i)), "rbind,rprivate,rw", false);
    }
}

/* --- The pod's volumes */

static const json_t *find_volume(const struct derive *d, const char *name) {
    const json_t *list = json_object_get(d->spec, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *volume = json_array_get(list, i);
        if (strcmp(policy_text_of(volume, "name", ""), name) == 0) {
            return volume;
        }
    }
    return NULL;
}

static const char *propagation(const json_t *mount) {
    const char *text = policy_text_of(mount, "mountPropagation", "None");
    if (strcmp(text, "HostToContainer") == 0) {
        return "rslave";
    }
    return strcmp(text, "Bidirectional") == 0 ? "rshared" : "rprivate";
}

/* Kinds whose files the kubelet always mounts read-only. */
static bool is_always_readonly(const json_t *volume) {
    static const char *const kinds[] = {"configMap", "secret", "projected", "downwardAPI"};
    bool is_one = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        is_one = is_one || json_object_get(volume, kinds[i]) != NULL;
    }
    return is_one;
}

static RESULT put_volume(const struct derive *d, const json_t *mount, json_t *places,
                         struct err *err) {
    const char *name = policy_text_of(mount, "name", "");
    const char *at = policy_text_of(mount, "mountPath", "");
    const json_t *volume = find_volume(d, name);
    if (at[0] == '\0') {
        return policy_derive_fail(d, ".volumeMounts", err, "\"%.63s\" has no mountPath", name);
    }
    bool is_readonly =
        policy_flag_of(mount, "readOnly", false) || is_always_readonly(volume) ||
        policy_flag_of(json_object_get(volume, "persistentVolumeClaim"), "readOnly", false);
    AUTO(buf_deinit)
    struct buf options = {0};
    buf_appendf(&options, "rbind,%s,%s", propagation(mount), is_readonly ? "ro" : "rw");
    const json_t *empty = json_object_get(volume, "emptyDir");
    if (empty == NULL || json_object_get(mount, "subPath") != NULL ||
        json_object_get(mount, "subPathExpr") != NULL) {
        put_shared(places, at, buf_cstr(&options), false);
        return OK;
    }
    bool is_memory = strcmp(policy_text_of(empty, "medium", ""), "Memory") == 0;
    json_t *placed = put(places, at, is_memory ? "memory" : "empty", "bind", buf_cstr(&options));
    json_object_set_new(placed, "volume", json_string(name));
    return OK;
}

RESULT policy_mount_derive(const struct derive *d, json_t *out, struct err *err) {
    json_t *places = json_object();
    const json_t *list = json_object_get(d->container, "volumeMounts");
    put_defaults(d, places);
    put_image_volumes(d, places);
    struct result r = OK;
    for (size_t i = 0; i < json_array_size(list) && is_ok(r); i++) {
        r = put_volume(d, json_array_get(list, i), places, err);
    }
    if (is_ok(r)) {
        write_places(places, out);
    }
    json_decref(places);
    return r;
}
