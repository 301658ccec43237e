/* The unit that runs containerd: sd-bus first, systemctl on the host second.
 *
 *   open: HOST/run/systemd/private (a connection to systemd itself: no Hello, no names)
 *         HOST/run/dbus/system_bus_socket
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "installer/node_command.h"
#include "lib/base/host.h"
#include "lib/base/log.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define UNIT SYSTEMD ".Unit"
#define WAIT_MS 1000 /* of one wait: a signal may come just before it */

/* --- Connections */

struct bus_address {
    const char *path; /* on the host */
    bool is_bus;      /* a message bus: Hello, names */
};

static const struct bus_address ADDRESSES[] = {
    {"/run/systemd/private", false},
    {"/run/dbus/system_bus_socket", true},
};

/* D-Bus address strings escape all but [-0-9A-Za-z_/.\]: D-Bus Specification, "Server Addresses".
 */
static void append_escaped(struct buf *out, const char *path) {
    static const char plain[] =
        "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/.\\";
    for (const char *p = path; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL) {
            buf_append(out, p, 1);
        } else {
            buf_appendf(out, "%%%02x", (unsigned)(unsigned char)*p);
        }
    }
}

static int connect_to(const struct node_service_config *c, const struct bus_address *a,
                      sd_bus **out) {
    AUTO(buf_deinit)
    struct buf address = {0};
    char real[PATH_MAX];
    struct err err;
    if (!is_ok(node_root_resolve(c->root, a->path, real, &err))) {
        return -ENOENT;
    }
    buf_append_str(&address, "unix:path=");
    append_escaped(&address, c->root->path);
    append_escaped(&address, real);
    sd_bus *bus = NULL;
    int r = sd_bus_new(&bus);
    r = r >= 0 ? sd_bus_set_address(bus, buf_cstr(&address)) : r;
    r = r >= 0 ? sd_bus_set_bus_client(bus, a->is_bus) : r;
    r = r >= 0 ? sd_bus_set_method_call_timeout(bus, (uint64_t)c->timeout_ms * 1000) : r;
    r = r >= 0 ? sd_bus_start(bus) : r;
    if (r < 0) {
        sd_bus_unref(bus);
        return r;
    }
    *out = bus;
    return 0;
}

static void close_bus(sd_bus **bus) {
    if (*bus != NULL) {
        (void)sd_bus_flush(*bus);
        sd_bus_close(*bus);
        sd_bus_unref(*bus);
    }
}

/* --- Units */

/* The path of a unit that is loaded; "" when there is none. Negative errno: nobody answers. */
static int get_unit(sd_bus *bus, const char *unit, char *path, size_t size) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    const char *text = NULL;
    path[0] = '\0';
    int r = sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "GetUnit", &error, &reply, "s",
                               unit);
    if (r < 0 && sd_bus_error_has_name(&error, SYSTEMD ".NoSuchUnit")) {
        r = 0;
    } else if (r >= 0) {
        r = sd_bus_message_read(reply, "o", &text);
    }
    if (text != NULL) {
        (void)snprintf(path, size, "%s", text);
    }
    sd_bus_message_unref(reply);
    sd_bus_error_free(&error);
    return r;
}

static bool is_active(sd_bus *bus, const char *path) {
    char *state = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = sd_bus_get_property_string(bus, SYSTEMD, path, UNIT, "ActiveState", &error, &state);
    bool is_up = r >= 0 && (strcmp(state, "active") == 0 || strcmp(state, "reloading") == 0);
    sd_bus_error_free(&error);
    free(state);
    return is_up;
}

static uint64_t started_ns(sd_bus *bus, const char *path) {
    uint64_t us = 0;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = sd_bus_get_property_trivial(bus, SYSTEMD, path, UNIT, "ActiveEnterTimestamp", &error,
                                        't', &us);
    sd_bus_error_free(&error);
    return r >= 0 ? us * 1000 : 0;
}

/* The first active unit, else the first that is loaded. */
static int look(const struct node_service_config *c, sd_bus *bus, struct node_service *out) {
    for (size_t i = 0; i < NODE_UNITS_MAX && c->units[i] != NULL; i++) {
        char path[512];
        int r = get_unit(bus, c->units[i], path, sizeof path);
        if (r < 0) {
            return r;
        }
        bool is_up = path[0] != '\0' && is_active(bus, path);
        if (is_up || (path[0] != '\0' && out->unit[0] == '\0')) {
            (void)snprintf(out->unit, sizeof out->unit, "%s", c->units[i]);
            out->started_ns = is_up ? started_ns(bus, path) : 0;
        }
        if (is_up) {
            return 0;
        }
    }
    return 0;
}

RESULT node_service_look(const struct node_service_config *config, struct node_service *out,
                         struct err *err) {
    (void)err;
    *out = (struct node_service){0};
    for (size_t i = 0; i < sizeof ADDRESSES / sizeof ADDRESSES[0]; i++) {
        AUTO(close_bus)
        sd_bus *bus = NULL;
        struct node_service found = {0};
        int r = connect_to(config, &ADDRESSES[i], &bus);
        r = r >= 0 ? look(config, bus, &found) : r;
        if (r >= 0) {
            *out = found;
            return OK;
        }
        log_debug("%s: %s", ADDRESSES[i].path, strerror(-r));
    }
    return OK;
}

/* --- Restart */

struct job {
    char path[256];
    char result[64]; /* "" until it ended */
};

static int on_removed(sd_bus_message *m, void *data, sd_bus_error *error) {
    (void)error;
    struct job *job = data;
    uint32_t id = 0;
    const char *path = NULL;
    const char *unit = NULL;
    const char *result = NULL;
    if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) >= 0 &&
        strcmp(path, job->path) == 0) {
        (void)snprintf(job->result, sizeof job->result, "%s", result);
    }
    return 0;
}

static RESULT bus_fail(const char *what, int r, const sd_bus_error *error, struct err *err) {
    const char *text = error != NULL && error->message != NULL ? error->message : strerror(-r);
    enum err_code code = error != NULL && sd_bus_error_has_name(error, SYSTEMD ".NoSuchUnit")
                             ? ERR_NOT_FOUND
                             : ERR_UNAVAILABLE;
    return err_set(err, code, "%s: %s", what, text);
}

static RESULT start_job(sd_bus *bus, const char *unit, struct job *job, struct err *err) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    const char *path = NULL;
    int r = sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "RestartUnit", &error, &reply,
                               "ss", unit, "replace");
    r = r >= 0 ? sd_bus_message_read(reply, "o", &path) : r;
    struct result result = OK;
    if (r < 0) {
        result = bus_fail("RestartUnit", r, &error, err);
    } else {
        (void)snprintf(job->path, sizeof job->path, "%s", path);
    }
    sd_bus_message_unref(reply);
    sd_bus_error_free(&error);
    return result;
}

static RESULT wait_for_job(const struct node_service_config *c, sd_bus *bus, const struct job *job,
                           const volatile sig_atomic_t *stop, struct err *err) {
    uint64_t end_ms = host_monotonic_ms(&host_system) + c->timeout_ms;
    while (job->result[0] == '\0') {
        int r = sd_bus_process(bus, NULL);
        ENSURE(r >= 0, err, UNAVAILABLE, "systemd went away while it restarted the unit: %s",
               strerror(-r));
        if (r > 0) {
            continue;
        }
        uint64_t now = host_monotonic_ms(&host_system);
        ENSURE(now < end_ms, err, TIMEOUT, "the unit did not restart within %u s",
               c->timeout_ms / 1000);
        ENSURE(stop == NULL || *stop == 0, err, CANCELED, "stopped by a signal during the restart");
        uint64_t wait_ms = end_ms - now < WAIT_MS ? end_ms - now : WAIT_MS;
        r = sd_bus_wait(bus, wait_ms * 1000);
        ENSURE(r >= 0 || r == -EINTR, err, UNAVAILABLE, "systemd: %s", strerror(-r));
    }
    ENSURE(strcmp(job->result, "done") == 0, err, UNAVAILABLE,
           "the unit failed to restart: job %s; journalctl on the host tells why", job->result);
    return OK;
}

static RESULT restart_over(const struct node_service_config *c, sd_bus *bus, const char *unit,
                           const volatile sig_atomic_t *stop, struct err *err) {
    struct job job = {0};
    int r =
        sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER, "JobRemoved", on_removed, &job);
    r = r >= 0
            ? sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe", NULL, NULL, "")
            : r;
    if (r < 0) {
        return bus_fail("Subscribe", r, NULL, err);
    }
    TRY(start_job(bus, unit, &job, err));
    return wait_for_job(c, bus, &job, stop, err);
}

/* *is_asked: somebody was there, so that nobody else is to be asked. */
static RESULT restart_by_bus(const struct node_service_config *c, const char *unit,
                             const volatile sig_atomic_t *stop, bool *is_asked, struct err *err) {
    *is_asked = false;
    int r = -ENOENT;
    for (size_t i = 0; i < sizeof ADDRESSES / sizeof ADDRESSES[0]; i++) {
        AUTO(close_bus)
        sd_bus *bus = NULL;
        r = connect_to(c, &ADDRESSES[i], &bus);
        char path[512];
        r = r >= 0 ? get_unit(bus, unit, path, sizeof path) : r;
        if (r >= 0) {
            *is_asked = true;
            return restart_over(c, bus, unit, stop, err);
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "D-Bus: %s", strerror(-r));
}

static const char *unit_of(const struct node_service_config *c, const struct node_service *s) {
    return s->unit[0] != '\0' ? s->unit : c->units[0];
}

RESULT node_service_restart(const struct node_service_config *config,
                            const struct node_service *service, const volatile sig_atomic_t *stop,
                            struct err *err) {
    if (config->restart_command != NULL) {
        struct result r =
            node_command_shell(config->restart_command, config->timeout_ms, NULL, err);
        return is_ok(r) ? r : err_wrap(r, err, "RESTART_COMMAND");
    }
    const char *unit = unit_of(config, service);
    ENSURE(unit != NULL, err, CONFIG, "systemd-unit-name: names no unit");
    struct err first = {0};
    bool is_asked = false;
    struct result r = restart_by_bus(config, unit, stop, &is_asked, &first);
    if (is_ok(r) || is_asked) {
        return is_ok(r) ? r : err_set(err, r.code, "%s: %s", unit, first.text);
    }
    const char *const argv[] = {"systemctl", "restart", unit, NULL};
    struct err second = {0};
    r = node_command_run(config->node_command, argv, config->timeout_ms, NULL, &second);
    return is_ok(r) ? r : err_set(err, r.code, "%s: %s; %s", unit, first.text, second.text);
}
