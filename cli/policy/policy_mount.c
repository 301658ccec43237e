/* Policy mounts: what containerd and the shim mount into a container, and the pod's volumes.
 *
 * One object per place: at, from ("shared": a copy of the host's file; "empty", "memory",
 * "hugepages": volumes of the guest; "cgroup"; else the source itself), type, options, name (of a
 * shared one), volume, optional. Mounts of the pod replace those of the same place, however that is
 * spelt, and one at /dev those below (containerd: WithMounts).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
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

/* Without double slashes and slashes at the end. */
static void clean(const char *at, struct buf *out) {
    for (const char *p = at; *p != '\0'; p++) {
        if (p[0] != '/' || (p[1] != '/' && p[1] != '\0')) {
            buf_append(out, p, 1);
        }
    }
}

/* Replaces what stood at the same place. */
static json_t *put(json_t *places, const char *at, const char *from, const char *type,
                   const char *options) {
    json_t *mount = json_pack("{s:s, s:s, s:s, s:o}", "at", at, "from", from, "type", type,
                              "options", options_json(options));
    AUTO(buf_deinit)
    struct buf place = {0};
    clean(at, &place);
    json_object_set_new(places, buf_cstr(&place), mount);
    return mount;
}

static void put_shared(json_t *places, const char *at, const char *options, bool is_optional) {
    AUTO(buf_deinit)
    struct buf place = {0};
    clean(at, &place);
    const char *slash = strrchr(buf_cstr(&place), '/');
    json_t *mount = put(places, at, "shared", "bind", options);
    json_object_set_new(mount, "name", json_string(slash != NULL ? slash + 1 : buf_cstr(&place)));
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
    const char *message = policy_text_of(d->container, "terminationMessagePath", "");
    put_shared(places, message[0] != '\0' ? message : "/dev/termination-log", "rbind,rprivate,rw",
               false);
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

static const char *propagation(const json_t *mount) {
    const char *text = policy_text_of(mount, "mountPropagation", "None");
    if (strcmp(text, "HostToContainer") == 0) {
        return "rslave";
    }
    return strcmp(text, "Bidirectional") == 0 ? "rshared" : "rprivate";
}

/* Kinds whose files the kubelet always mounts read-only. */
static bool is_always_readonly(const struct policy_volume *volume) {
    static const char *const kinds[] = {"configMap", "secret", "projected", "downwardAPI"};
    bool is_one = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        is_one = is_one || strcmp(kinds[i], volume->kind) == 0;
    }
    return is_one;
}

static bool is_block(const struct policy_volume *volume) {
    return strcmp(policy_text_of(volume->claim, "volumeMode", "Filesystem"), "Block") == 0;
}

/* Where a volume of the guest lives; "shared" for all others. */
static const char *origin(const struct policy_volume *volume) {
    if (strcmp(volume->kind, "emptyDir") != 0) {
        return "shared";
    }
    const char *medium = policy_text_of(volume->source, "medium", "");
    if (strncmp(medium, "HugePages", 9) == 0) {
        return "hugepages";
    }
    return strcmp(medium, "Memory") == 0 ? "memory" : "empty";
}

static bool has_sub_path(const json_t *mount) {
    return policy_text_of(mount, "subPath", "")[0] != '\0' ||
           policy_text_of(mount, "subPathExpr", "")[0] != '\0';
}

static RESULT check_sub_path(const struct derive *d, const char *field, const json_t *mount,
                             const struct policy_volume *volume, struct err *err) {
    if (has_sub_path(mount) && strcmp(volume->kind, "emptyDir") == 0) {
        return policy_derive_fail(d, field, err,
                                  "subPath is refused for an emptyDir: the guest would get a copy "
                                  "of the node's folder, which no other container shares; give it "
                                  "an emptyDir of its own");
    }
    const char *path = policy_text_of(mount, "subPath", "");
    if (path[0] == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 ||
        strstr(path, "/../") != NULL) {
        return policy_derive_fail(d, field, err, "subPath: \"%.200s\" leaves the volume", path);
    }
    return OK;
}

static RESULT check_mount(const struct derive *d, const char *field, const json_t *mount,
                          struct policy_volume *volume, struct err *err) {
    const char *name = policy_text_of(mount, "name", "");
    const char *at = policy_text_of(mount, "mountPath", "");
    AUTO(buf_deinit)
    struct buf place = {0};
    clean(at, &place);
    if (place.size == 0 || strchr(at, ':') != NULL) {
        return policy_derive_fail(d, field, err,
                                  "mountPath: \"%.200s\" is no place to mount \"%.63s\"", at, name);
    }
    if (!policy_volume_find(d, name, volume)) {
        return policy_derive_fail(d, field, err, "the pod has no volume \"%.63s\"", name);
    }
    if (is_block(volume)) {
        return policy_derive_fail(
            d, field, err, "\"%.63s\" has volumeMode: Block; name it in volumeDevices", name);
    }
    return check_sub_path(d, field, mount, volume, err);
}

/* The kubelet puts a slash before a path that has none. */
static void absolute(const char *at, struct buf *out) {
    buf_appendf(out, "%s%s", at[0] == '/' ? "" : "/", at);
}

/* Kata puts the sandbox's shared memory at /dev/shm in place of any volume but one in memory
 * (kata_agent.go, handleShm). Versions differ in when they do it: either will do. */
static void keep_shm(json_t *places, const char *at) {
    AUTO(buf_deinit)
    struct buf place = {0};
    clean(at, &place);
    if (strcmp(buf_cstr(&place), "/dev/shm") == 0) {
        json_object_set(places, "/dev/shm of the sandbox", json_object_get(places, "/dev/shm"));
    }
}

static RESULT put_volume(const struct derive *d, const char *field, const json_t *mount,
                         json_t *seen, json_t *places, struct err *err) {
    struct policy_volume volume = {.kind = ""};
    TRY(check_mount(d, field, mount, &volume, err));
    AUTO(buf_deinit)
    struct buf at = {0};
    absolute(policy_text_of(mount, "mountPath", ""), &at);
    if (json_object_get(seen, buf_cstr(&at)) != NULL) {
        return policy_derive_fail(d, field, err, "mountPath: \"%.200s\" has a mount already",
                                  buf_cstr(&at));
    }
    json_object_set_new(seen, buf_cstr(&at), json_true());
    bool is_readonly = policy_flag_of(mount, "readOnly", false) || is_always_readonly(&volume) ||
                       policy_flag_of(volume.source, "readOnly", false);
    AUTO(buf_deinit)
    struct buf options = {0};
    buf_appendf(&options, "rbind,%s,%s", propagation(mount), is_readonly ? "ro" : "rw");
    const char *from = origin(&volume);
    if (strcmp(from, "memory") != 0) {
        keep_shm(places, buf_cstr(&at));
    }
    if (strcmp(from, "shared") == 0) {
        put_shared(places, buf_cstr(&at), buf_cstr(&options), false);
    } else {
        json_t *placed = put(places, buf_cstr(&at), from, "bind", buf_cstr(&options));
        json_object_set_new(placed, "volume", json_string(policy_text_of(mount, "name", "")));
    }
    return OK;
}

/* A mount at /dev replaces containerd's mounts below, but for /dev/shm, which the sandbox gives. */
static void drop_below_dev(json_t *seen, json_t *places) {
    if (json_object_get(seen, "/dev") == NULL) {
        return;
    }
    static const char *const below[] = {"/dev/pts", "/dev/mqueue"};
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        if (json_object_get(seen, below[i]) == NULL) {
            json_object_del(places, below[i]);
        }
    }
}

/* The root takes part in what its mounts ask for (containerd: WithMounts). */
static void set_propagation(const json_t *mounts, json_t *out) {
    const char *root = NULL;
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const char *one = propagation(json_array_get(mounts, i));
        if (strcmp(one, "rshared") == 0 || (root == NULL && strcmp(one, "rslave") == 0)) {
            root = one;
        }
    }
    if (root != NULL) {
        json_object_set_new(out, "rootPropagation", json_string(root));
    }
}

static RESULT put_volumes(const struct derive *d, json_t *places, struct err *err) {
    const json_t *list = json_object_get(d->container, "volumeMounts");
    json_t *seen = json_object();
    struct result r = OK;
    for (size_t i = 0; i < json_array_size(list) && is_ok(r); i++) {
        char field[64];
        (void)snprintf(field, sizeof field, ".volumeMounts[%zu]", i);
        r = put_volume(d, field, json_array_get(list, i), seen, places, err);
    }
    drop_below_dev(seen, places);
    json_decref(seen);
    return r;
}

/* --- Block devices */

static RESULT check_device(const struct derive *d, const char *field, const json_t *device,
                           struct err *err) {
    const char *name = policy_text_of(device, "name", "");
    struct policy_volume volume = {.kind = ""};
    if (!policy_volume_find(d, name, &volume)) {
        return policy_derive_fail(d, field, err, "the pod has no volume \"%.63s\"", name);
    }
    if (strcmp(volume.kind, "persistentVolumeClaim") != 0 &&
        strcmp(volume.kind, "ephemeral") != 0) {
        return policy_derive_fail(d, field, err,
                                  "\"%.63s\" is of kind %s; only a persistentVolumeClaim can be a "
                                  "device",
                                  name, volume.kind);
    }
    if (volume.claim != NULL && !is_block(&volume)) {
        return policy_derive_fail(d, field, err, "the claim \"%.63s\" needs volumeMode: Block",
                                  name);
    }
    if (policy_text_of(device, "devicePath", "")[0] == '\0') {
        return policy_derive_fail(d, field, err, "\"%.63s\" has no devicePath", name);
    }
    return OK;
}

/* Paths, sorted, each once. */
static RESULT put_devices(const struct derive *d, json_t *out, struct err *err) {
    const json_t *list = json_object_get(d->container, "volumeDevices");
    if (json_array_size(list) == 0) {
        return OK;
    }
    json_t *paths = json_array();
    json_object_set_new(out, "blocks", paths);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char field[64];
        (void)snprintf(field, sizeof field, ".volumeDevices[%zu]", i);
        TRY(check_device(d, field, json_array_get(list, i), err));
        const char *path = policy_text_of(json_array_get(list, i), "devicePath", "");
        size_t at = 0;
        while (at < json_array_size(paths) &&
               strcmp(json_string_value(json_array_get(paths, at)), path) < 0) {
            at++;
        }
        if (at < json_array_size(paths) &&
            strcmp(json_string_value(json_array_get(paths, at)), path) == 0) {
            return policy_derive_fail(d, field, err, "devicePath: \"%.200s\" has a device already",
                                      path);
        }
        json_array_insert_new(paths, at, json_string(path));
    }
    return OK;
}

RESULT policy_mount_derive(const struct derive *d, json_t *out, struct err *err) {
    json_t *places = json_object();
    put_defaults(d, places);
    put_image_volumes(d, places);
    struct result r = put_volumes(d, places, err);
    if (is_ok(r)) {
        write_places(places, out);
    }
    json_decref(places);
    TRY(r);
    set_propagation(json_object_get(d->container, "volumeMounts"), out);
    return put_devices(d, out, err);
}
