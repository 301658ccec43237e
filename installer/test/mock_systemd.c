/* systemd, as far as the installer talks to it; for tests.
 *
 *   mock_systemd private PATH UNIT=STATE,MICROSECONDS,OUTCOME...   listens there: no bus, no Hello
 *   mock_systemd bus PATH UNIT=...                                 takes its name on that bus
 *
 * OUTCOME of RestartUnit: a job's result ("done", "failed", ...), "masked" (the call is refused),
 * "silent" (no answer), "slow" (a job that never ends), "gone" (the connection closes with the job
 * under way), "early" (JobRemoved stands in front of the answer). Standard output: "ready" once,
 * then "subscribe" and "restart UNIT". Ends at SIGTERM.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNIT_PATH MANAGER_PATH "/unit/u"
#define JOB_PATH MANAGER_PATH "/job/"
#define UNITS_MAX 8

struct unit {
    char name[128];
    char state[32];
    uint64_t started_us;
    char outcome[32];
};

struct mock {
    struct unit units[UNITS_MAX];
    size_t count;
    bool is_gone; /* the connection is to be closed */
};

static int no_such_unit(sd_bus_message *m, const char *name) {
    return sd_bus_reply_method_errorf(m, SYSTEMD ".NoSuchUnit", "Unit %s not loaded.", name);
}

static struct unit *find(struct mock *mock, const char *name) {
    for (size_t i = 0; i < mock->count; i++) {
        if (strcmp(mock->units[i].name, name) == 0) {
            return &mock->units[i];
        }
    }
    return NULL;
}

static int get_unit(struct mock *mock, sd_bus_message *m) {
    const char *name = NULL;
    if (sd_bus_message_read(m, "s", &name) < 0) {
        return -EINVAL;
    }
    const struct unit *unit = find(mock, name);
    if (unit == NULL || strcmp(unit->state, "unloaded") == 0) {
        return no_such_unit(m, name);
    }
    char path[64];
    (void)snprintf(path, sizeof path, UNIT_PATH "%zu", (size_t)(unit - mock->units));
    return sd_bus_reply_method_return(m, "o", path);
}

static int get_property(struct mock *mock, sd_bus_message *m) {
    const char *interface = NULL;
    const char *name = NULL;
    const char *path = sd_bus_message_get_path(m);
    if (sd_bus_message_read(m, "ss", &interface, &name) < 0 ||
        strncmp(path, UNIT_PATH, sizeof UNIT_PATH - 1) != 0) {
        return -EINVAL;
    }
    size_t index = strtoul(path + sizeof UNIT_PATH - 1, NULL, 10);
    if (index >= mock->count) {
        return -EINVAL;
    }
    return strcmp(name, "ActiveState") == 0
               ? sd_bus_reply_method_return(m, "v", "s", mock->units[index].state)
               : sd_bus_reply_method_return(m, "v", "t", mock->units[index].started_us);
}

static int remove_job(sd_bus *bus, unsigned id, const char *unit, const char *result) {
    char path[64];
    (void)snprintf(path, sizeof path, JOB_PATH "%u", id);
    return sd_bus_emit_signal(bus, MANAGER_PATH, SYSTEMD ".Manager", "JobRemoved", "uoss", id, path,
                              unit, result);
}

static int restart(struct mock *mock, sd_bus_message *m) {
    const char *name = NULL;
    const char *mode = NULL;
    if (sd_bus_message_read(m, "ss", &name, &mode) < 0 || strcmp(mode, "replace") != 0) {
        return -EINVAL;
    }
    (void)printf("restart %s\n", name);
    const struct unit *unit = find(mock, name);
    if (unit == NULL) {
        return no_such_unit(m, name);
    }
    const char *outcome = unit->outcome;
    if (strcmp(outcome, "masked") == 0) {
        return sd_bus_reply_method_errorf(m, SYSTEMD ".UnitMasked", "Unit %s is masked.", name);
    }
    if (strcmp(outcome, "silent") == 0) {
        return 1;
    }
    sd_bus *bus = sd_bus_message_get_bus(m);
    if (strcmp(outcome, "early") == 0 && remove_job(bus, 7, name, "done") < 0) {
        return -EIO;
    }
    int r = sd_bus_reply_method_return(m, "o", JOB_PATH "7");
    mock->is_gone = strcmp(outcome, "gone") == 0;
    bool is_open = mock->is_gone || strcmp(outcome, "slow") == 0 || strcmp(outcome, "early") == 0;
    if (r < 0 || is_open) {
        return r;
    }
    r = remove_job(bus, 6, name, "canceled"); /* another's job: not ours to heed */
    return r < 0 ? r : remove_job(bus, 7, name, outcome);
}

static int on_message(sd_bus_message *m, void *data, sd_bus_error *error) {
    (void)error;
    struct mock *mock = data;
    int r = 0;
    if (sd_bus_message_is_method_call(m, SYSTEMD ".Manager", "GetUnit")) {
        r = get_unit(mock, m);
    } else if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get")) {
        r = get_property(mock, m);
    } else if (sd_bus_message_is_method_call(m, SYSTEMD ".Manager", "RestartUnit")) {
        r = restart(mock, m);
    } else if (sd_bus_message_is_method_call(m, SYSTEMD ".Manager", "Subscribe")) {
        (void)puts("subscribe");
        r = sd_bus_reply_method_return(m, "");
    } else {
        return 0;
    }
    (void)fflush(stdout);
    return r < 0 ? r : 1;
}

/* Until the other side closes, or the outcome says so. */
static void serve(struct mock *mock, sd_bus *bus) {
    mock->is_gone = false;
    while (!mock->is_gone) {
        int r = sd_bus_process(bus, NULL);
        if (r < 0 || (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)) {
            break;
        }
    }
    (void)sd_bus_flush(bus);
    sd_bus_close(bus);
}

static int start(struct mock *mock, sd_bus *bus) {
    int r = sd_bus_add_filter(bus, NULL, on_message, mock);
    return r < 0 ? r : sd_bus_start(bus);
}

static int serve_private(struct mock *mock, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 4) != 0) {
        return -errno;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_bus *bus = NULL;
        sd_id128_t id =
            SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f, 10);
        int r = client < 0 ? -errno : sd_bus_new(&bus);
        r = r < 0 ? r : sd_bus_set_fd(bus, client, client);
        r = r < 0 ? r : sd_bus_set_server(bus, 1, id);
        r = r < 0 ? r : start(mock, bus);
        if (r < 0) {
            return r;
        }
        serve(mock, bus);
        sd_bus_unref(bus);
    }
}

static int serve_bus(struct mock *mock, const char *path) {
    char address[256];
    (void)snprintf(address, sizeof address, "unix:path=%s", path);
    sd_bus *bus = NULL;
    int r = sd_bus_new(&bus);
    r = r < 0 ? r : sd_bus_set_address(bus, address);
    r = r < 0 ? r : sd_bus_set_bus_client(bus, 1);
    r = r < 0 ? r : start(mock, bus);
    r = r < 0 ? r : sd_bus_request_name(bus, SYSTEMD, 0);
    if (r < 0) {
        return r;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    serve(mock, bus);
    sd_bus_unref(bus);
    return 0;
}

static bool parse(const char *text, struct unit *out) {
    char started[32];
    if (sscanf(text, "%127[^=]=%31[^,],%31[^,],%31s", out->name, out->state, started,
               out->outcome) != 4) {
        return false;
    }
    out->started_us = strtoull(started, NULL, 10);
    return true;
}

int main(int argc, char **argv) {
    struct mock mock = {0};
    for (int i = 3; i < argc && mock.count < UNITS_MAX; i++) {
        if (!parse(argv[i], &mock.units[mock.count++])) {
            (void)fprintf(stderr, "%s: want UNIT=STATE,MICROSECONDS,OUTCOME\n", argv[i]);
            return 2;
        }
    }
    if (argc < 3) {
        (void)fputs("usage: mock_systemd private|bus PATH UNIT=STATE,MICROSECONDS,OUTCOME...\n",
                    stderr);
        return 2;
    }
    int r = strcmp(argv[1], "bus") == 0 ? serve_bus(&mock, argv[2]) : serve_private(&mock, argv[2]);
    (void)fprintf(stderr, "mock_systemd: %s\n", strerror(-r));
    return 1;
}
