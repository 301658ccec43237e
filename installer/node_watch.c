/* contrast-node-health: the long-running container of the installer's DaemonSet.
 *
 *   HEALTH_ADDRESS (0.0.0.0:9103) GET /healthz: node_health.h; until SIGTERM or SIGINT
 *
 * Writes nothing anywhere, and needs the host's root only for reading. A program of its own: what
 * listens on the network is not what may write to the host.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "installer/node_health.h"
#include "lib/base/log.h"

#define PROGRAM "contrast-node-health"

static const char HELP[] =
    "Usage: contrast-node-health\n\n"
    "Serves GET /healthz: 200 while the newest installed runtime is listed by CRI, else 503 and\n"
    "the reason. Ends at SIGTERM.\n\n"
    "Environment: HEALTH_ADDRESS=0.0.0.0:9103, and as contrast-node-installer: HOST_MOUNT,\n"
    "TARGET_CONFIG_DIR, CRI_SOCKET.\n\n"
    "Example:\n  HOST_MOUNT=/ contrast-node-health & curl http://127.0.0.1:9103/healthz\n";

static int serve(void) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL); /* also in the thread that serves */
    struct node_settings settings = {0};
    struct node_health *health = NULL;
    struct err err = {0};
    struct result r = node_settings_read(&settings, &err);
    r = is_ok(r) ? node_settings_read_target(&settings, &err) : r;
    const char *address =
        settings.health_address != NULL ? settings.health_address : "0.0.0.0:9103";
    r = is_ok(r) ? node_health_open(address, &settings, &health, &err) : r;
    if (!is_ok(r)) {
        log_error("%s", err.text);
        return err_exit_code(r.code);
    }
    log_info("listening on port %u", node_health_port(health));
    int number = 0;
    (void)sigwait(&signals, &number);
    log_info("signal %d: stopping", number);
    node_health_close(health);
    return 0;
}

int main(int argc, char **argv) {
    log_init(PROGRAM, LOG_INFO);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(HELP, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts(PROGRAM " " CONTRAST_VERSION);
        return 0;
    }
    if (argc != 1) {
        log_error("%s: unknown; see --help", argv[1]);
        return 2;
    }
    return serve();
}
