/* Settings: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_settings.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/setting.h"

#define TARGET_FILE_MAX 4096 /* bytes of a file of TARGET_CONFIG_DIR */

/* --- Environment */

static const char *text_or(const char *name, const char *preset) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : preset;
}

static RESULT read_number(const char *name, unsigned long preset, unsigned long least,
                          unsigned long most, unsigned long *out, struct err *err) {
    const char *value = getenv(name);
    *out = preset;
    return value != NULL && value[0] != '\0' ? setting_number(name, value, least, most, out, err)
                                             : OK;
}

static RESULT parse_bool(const char *name, const char *value, bool *out, struct err *err) {
    *out = strcmp(value, "true") == 0;
    ENSURE(*out || strcmp(value, "false") == 0, err, CONFIG,
           "%s: want true or false, got \"%.64s\"", name, value);
    return OK;
}

RESULT node_settings_read(struct node_settings *out, struct err *err) {
    const char *command = getenv("NODE_COMMAND");
    struct node_settings s = {
        .host_mount = text_or("HOST_MOUNT", "/host"),
        .config_folder = text_or("CONFIG_DIR", "/config"),
        .target_folder = text_or("TARGET_CONFIG_DIR", "/target-config"),
        .node_command = command != NULL ? command : "nsenter --target 1 --mount --",
        .restart_command = text_or("RESTART_COMMAND", NULL),
        .cri_socket = text_or("CRI_SOCKET", NULL),
        .health_address = text_or("HEALTH_ADDRESS", NULL),
        .termination_log = text_or("TERMINATION_LOG", "/dev/termination-log"),
    };
    unsigned long confirm = 0;
    unsigned long lock = 0;
    unsigned long keep = 0;
    TRY(read_number("CONFIRM_TIMEOUT_S", 120, 1, 3600, &confirm, err));
    TRY(read_number("LOCK_TIMEOUT_S", 600, 1, 86400, &lock, err));
    TRY(read_number("KEEP_RUNTIMES", 2, 1, 32, &keep, err));
    TRY(parse_bool("DISCARD_EDITS", text_or("DISCARD_EDITS", "false"), &s.discard_edits, err));
    TRY(parse_bool("ACCEPT_OLD_CONTAINERD", text_or("ACCEPT_OLD_CONTAINERD", "false"),
                   &s.accept_old_daemon, err));
    s.confirm_ms = (unsigned)confirm * 1000;
    s.lock_s = (unsigned)lock;
    s.keep = keep;
    *out = s;
    return OK;
}

/* --- TARGET_CONFIG_DIR */

static RESULT read_value(const char *path, struct buf *text, struct err *err) {
    TRY(file_read(path, TARGET_FILE_MAX, text, err));
    while (text->size > 0 && strchr(" \t\r\n", text->data[text->size - 1]) != NULL) {
        text->size--;
    }
    ENSURE(text->size > 0, err, CONFIG, "%s: empty; give it a value or remove it", path);
    bool is_line = memchr(text->data, '\n', text->size) == NULL &&
                   memchr(text->data, '\0', text->size) == NULL;
    ENSURE(is_line, err, CONFIG, "%s: want one line", path);
    return OK;
}

static RESULT take_path(struct node_settings *s, const char *path, const char *value,
                        struct err *err) {
    size_t size = strlen(value);
    ENSURE(value[0] == '/' && size < PATH_MAX && value[size - 1] != '/', err, CONFIG,
           "%s: want the absolute path of a file on the host, got \"%.200s\"", path, value);
    (void)snprintf(s->containerd_path, sizeof s->containerd_path, "%s", value);
    return OK;
}

static RESULT take_units(struct node_settings *s, const char *path, const char *value,
                         struct err *err) {
    ENSURE(strlen(value) < sizeof s->units, err, CONFIG, "%s: too long", path);
    (void)snprintf(s->units, sizeof s->units, "%s", value);
    return OK;
}

static RESULT take_file(struct node_settings *s, const char *name, struct err *err) {
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", s->target_folder, name);
    ENSURE(size > 0 && (size_t)size < sizeof path, err, CONFIG, "%.200s: path too long", name);
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(read_value(path, &text, err));
    const char *value = buf_cstr(&text);
    if (strcmp(name, "containerd-config-path") == 0) {
        return take_path(s, path, value, err);
    }
    if (strcmp(name, "systemd-unit-name") == 0) {
        return take_units(s, path, value, err);
    }
    if (strcmp(name, "restart-systemd-unit") == 0) {
        bool is_wanted = true;
        TRY(parse_bool(path, value, &is_wanted, err));
        s->no_restart = !is_wanted;
        return OK;
    }
    ENSURE(strcmp(name, "kata-config-path") == 0, err, CONFIG,
           "%s: unknown; there are containerd-config-path, systemd-unit-name and "
           "restart-systemd-unit",
           path);
    log_info("%s: not used: each runtime has a Kata configuration of its own", path);
    return OK;
}

RESULT node_settings_read_target(struct node_settings *s, struct err *err) {
    struct dirent **entries = NULL;
    int count = scandir(s->target_folder, &entries, NULL, alphasort);
    if (count < 0 && errno == ENOENT) {
        return OK;
    }
    ENSURE(count >= 0, err, CONFIG, "TARGET_CONFIG_DIR: %s: %s", s->target_folder, strerror(errno));
    struct result r = OK;
    for (int i = 0; i < count; i++) {
        if (is_ok(r) && entries[i]->d_name[0] != '.') { /* a ConfigMap's volume has "..data" */
            r = take_file(s, entries[i]->d_name, err);
        }
        free(entries[i]);
    }
    free((void *)entries);
    return r;
}

/* --- containerd on this node */

struct flavor {
    enum containerd_flavor flavor;
    const char *platform; /* how its platforms' names begin */
    const char *config;
    const char *socket;
    const char *units;
};

static const struct flavor FLAVORS[] = {
    {CONTAINERD_K3S, "K3s-", "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
     "/run/k3s/containerd/containerd.sock", "k3s.service,k3s-agent.service"},
    {CONTAINERD_RKE2, "RKE2-", "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
     "/run/k3s/containerd/containerd.sock", "rke2-server.service,rke2-agent.service"},
    {CONTAINERD_PLAIN, "", "/etc/containerd/config.toml", "/run/containerd/containerd.sock",
     "containerd.service"},
};
#define FLAVOR_COUNT (sizeof FLAVORS / sizeof FLAVORS[0])

static const struct flavor *flavor_of_path(const char *path) {
    return strstr(path, "/rancher/k3s/") != NULL    ? &FLAVORS[0]
           : strstr(path, "/rancher/rke2/") != NULL ? &FLAVORS[1]
                                                    : &FLAVORS[2];
}

static RESULT choose_flavor(const struct node_settings *s, const struct node_root *root,
                            const struct kata_platform *platform, const struct flavor **out,
                            struct err *err) {
    if (s->containerd_path[0] != '\0') {
        *out = flavor_of_path(s->containerd_path);
        return OK;
    }
    for (size_t i = 0; i < FLAVOR_COUNT; i++) {
        const char *begin = FLAVORS[i].platform;
        struct node_stat stat = {0};
        TRY(node_root_stat(root, FLAVORS[i].config, &stat, err));
        bool is_named = platform != NULL && begin[0] != '\0' &&
                        strncasecmp(platform->name, begin, strlen(begin)) == 0;
        if (is_named || stat.exists) {
            *out = &FLAVORS[i];
            return OK;
        }
    }
    *out = &FLAVORS[FLAVOR_COUNT - 1];
    return OK;
}

static RESULT split_units(struct node_place *place, struct err *err) {
    size_t count = 0;
    char *rest = NULL;
    for (char *unit = strtok_r(place->unit_names, ", ", &rest); unit != NULL;
         unit = strtok_r(NULL, ", ", &rest)) {
        ENSURE(count < NODE_UNITS_MAX - 1, err, CONFIG, "systemd-unit-name: more than %d units",
               NODE_UNITS_MAX - 1);
        place->units[count++] = unit;
    }
    return OK;
}

/* "config.toml.tmpl" in the configuration means the file that it renders. */
static void strip_template(char *path) {
    static const char *const ends[] = {"/config-v3.toml.tmpl", "/config.toml.tmpl"};
    size_t size = strlen(path);
    for (size_t i = 0; i < 2; i++) {
        size_t end = strlen(ends[i]);
        if (size > end && strcmp(path + size - end, ends[i]) == 0) {
            memcpy(path + size - end, "/config.toml", sizeof "/config.toml");
        }
    }
}

RESULT node_place_find(const struct node_settings *s, const struct node_root *root,
                       const struct kata_platform *platform, struct node_place *out,
                       struct err *err) {
    const struct flavor *flavor = NULL;
    TRY(choose_flavor(s, root, platform, &flavor, err));
    *out = (struct node_place){.flavor = flavor->flavor};
    (void)snprintf(out->config, sizeof out->config, "%s",
                   s->containerd_path[0] != '\0' ? s->containerd_path : flavor->config);
    strip_template(out->config);
    /* connect(2) would follow the links of /var/run in this container, not on the host. */
    const char *socket = s->cri_socket != NULL ? s->cri_socket : flavor->socket;
    struct result r = node_root_resolve(root, socket, out->socket, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "CRI_SOCKET");
    }
    (void)snprintf(out->unit_names, sizeof out->unit_names, "%s",
                   s->units[0] != '\0' ? s->units : flavor->units);
    return split_units(out, err);
}

struct node_service_config node_place_service(const struct node_settings *s,
                                              const struct node_root *root,
                                              const struct node_place *place, unsigned timeout_ms) {
    struct node_service_config config = {
        .root = root,
        .node_command = s->node_command,
        .restart_command = s->restart_command,
        .timeout_ms = timeout_ms,
    };
    memcpy((void *)config.units, (const void *)place->units, sizeof config.units);
    return config;
}
