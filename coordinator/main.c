/* contrast-coordinator: configuration from the environment, then server_run.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/config.h"
#include "coordinator/server.h"
#include "lib/base/process.h"

static const char *read_environment(const char *name) {
    return getenv(name);
}

static int usage(const char *word) {
    if (strcmp(word, "--version") == 0) {
        printf("contrast-coordinator %s\n", CONTRAST_VERSION);
        return 0;
    }
    bool is_help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    fprintf(
        is_help ? stdout : stderr,
        "Usage: contrast-coordinator\n"
        "One replica of the Coordinator. It starts empty: `contrast set` founds a cluster, or\n"
        "it joins one that its peers belong to. State lives in memory alone.\n\n%s\n"
        "Exit codes: 0 stopped by a signal; 1 the replica's life ended, start it again as a new\n"
        "member; 2 configuration; 3 denied.\n",
        config_help);
    return is_help ? 0 : 2;
}

int main(int argc, char **argv) {
    if (argc > 1) {
        return usage(argv[1]);
    }
    static struct config config;
    static struct server *server; /* reachable until the process ends */
    struct err err;
    log_init("coordinator", LOG_INFO);
    struct result r = config_read(read_environment, &config, &err);
    if (is_ok(r)) {
        log_init("coordinator", config.log_level);
        process_harden();
        server = server_new(&config);
        r = server_run(server, &err);
    }
    if (!is_ok(r)) {
        log_error("%s: %s", err_name(r.code), err.text);
    }
    return err_exit_code(r.code);
}
