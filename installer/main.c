/* contrast-node-installer: puts the confidential runtime on a node, and takes it off again.
 *
 *   arguments, environment -> node_run -> log, termination message -> exit code
 *
 * SIGTERM and SIGINT: the step that runs is finished or undone, then exit 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "installer/node_run.h"
#include "lib/base/log.h"

#define PROGRAM "contrast-node-installer"
#define TERMINATION_SIZE                                                                           \
    1024 /* bytes that Kubernetes is sure to show: 4096 over all containers                        \
          */

static const char HELP[] =
    "Usage: contrast-node-installer [install|uninstall|status] [OPTION]... [PLATFORM]\n\n"
    "Puts the runtime that CONFIG_DIR/contrast-node-install.json describes on the host that is\n"
    "mounted at HOST_MOUNT, tells containerd of it, and confirms that it is there. Running it\n"
    "again changes nothing. Killed anywhere, the next run finishes the work.\n\n"
    "  install            the default\n"
    "  uninstall          take it off again; refused while a pod runs in it\n"
    "  status             what install would do; exit 3 if anything\n"
    "  --dry-run          print what would be done, with diffs, and do nothing\n"
    "  --handler NAME     uninstall: this one (default: the configuration's)\n"
    "  --output text|json of --dry-run and status\n"
    "  --log-level LEVEL  error, warn, info (default) or debug\n"
    "  --help, --version\n\n"
    "Environment:\n"
    "  HOST_MOUNT=/host            root of the host\n"
    "  CONFIG_DIR=/config          folder of contrast-node-install.json\n"
    "  TARGET_CONFIG_DIR=/target-config  optional files: containerd-config-path,\n"
    "                              systemd-unit-name, restart-systemd-unit\n"
    "  NODE_COMMAND=\"nsenter --target 1 --mount --\"  prefix for programs of the host\n"
    "  RESTART_COMMAND             shell line that restarts containerd, in place of systemd\n"
    "  CRI_SOCKET                  on the host (default: that of containerd, k3s or RKE2)\n"
    "  CONFIRM_TIMEOUT_S=120       for CRI to list the handler after a restart\n"
    "  LOCK_TIMEOUT_S=600          for another installer on this host to end\n"
    "  KEEP_RUNTIMES=2             newest runtimes that stay installed, besides those in use\n"
    "  DISCARD_EDITS=false         overwrite what somebody changed inside our text\n"
    "  ACCEPT_OLD_CONTAINERD=false  a warning, not an error, when containerd is too old for\n"
    "                              the snapshotter of a runtime\n"
    "  TERMINATION_LOG=/dev/termination-log\n\n"
    "Exit code: 0 done; 1 could not, a retry may help (also: rolled back); 2 configuration;\n"
    "3 differs (status, --dry-run), or a file of the payload has wrong bytes.\n\n"
    "Examples:\n"
    "  contrast-node-installer Metal-QEMU-SNP\n"
    "  contrast-node-installer --dry-run\n"
    "  contrast-node-installer uninstall --handler contrast-cc-metal-qemu-snp-0a1b2c3d\n";

static volatile sig_atomic_t stop_requested;

static void on_signal(int number) {
    if (number != SIGALRM) {
        stop_requested = 1;
    }
}

/* Without SA_RESTART: a wait ends. */
static void catch_signals(void) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGALRM};
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

/* --- Arguments */

static const char *next(int argc, char **argv, int *i) {
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static RESULT take_option(int argc, char **argv, int *i, struct node_request *request,
                          struct err *err) {
    const char *name = argv[*i];
    if (strcmp(name, "--dry-run") == 0) {
        request->is_dry = true;
        return OK;
    }
    ENSURE(strcmp(name, "--handler") == 0 || strcmp(name, "--output") == 0 ||
               strcmp(name, "--log-level") == 0,
           err, USAGE, "%s: unknown; see --help", name);
    const char *value = next(argc, argv, i);
    ENSURE(value != NULL, err, USAGE, "%s: want a value; see --help", name);
    if (strcmp(name, "--handler") == 0) {
        request->handler = value;
        return OK;
    }
    if (strcmp(name, "--output") == 0) {
        request->is_json = strcmp(value, "json") == 0;
        ENSURE(request->is_json || strcmp(value, "text") == 0, err, USAGE,
               "--output: want text or json");
        return OK;
    }
    enum log_level level = LOG_INFO;
    TRY(log_level_parse(value, &level, err));
    log_init(PROGRAM, level);
    return OK;
}

static RESULT take_word(const char *word, int index, struct node_request *request,
                        struct err *err) {
    static const char *const operations[] = {"install", "uninstall", "status"};
    for (int i = 0; i < 3 && index == 0; i++) {
        if (strcmp(word, operations[i]) == 0) {
            request->operation = (enum node_operation)i;
            return OK;
        }
    }
    ENSURE(request->platform == NULL, err, USAGE, "%s: there is one platform; see --help", word);
    request->platform = word;
    return OK;
}

/* The handler becomes a path. */
static RESULT check_handler(const char *handler, struct err *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    ENSURE(strncmp(handler, "contrast-cc-", 12) == 0 && strlen(handler) < 64 &&
               strspn(handler, letters) == strlen(handler),
           err, USAGE, "--handler: want contrast-cc-..., got \"%.64s\"", handler);
    return OK;
}

static RESULT parse(int argc, char **argv, struct node_request *request, struct err *err) {
    int words = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            TRY(take_option(argc, argv, &i, request, err));
        } else {
            TRY(take_word(argv[i], words++, request, err));
        }
    }
    ENSURE(request->handler == NULL || request->operation == NODE_UNINSTALL, err, USAGE,
           "--handler belongs to uninstall; see --help");
    return request->handler != NULL ? check_handler(request->handler, err) : OK;
}

static bool has(int argc, char **argv, const char *option) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], option) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Outcome */

/* One line for `kubectl describe pod`; the kubelet mounts the file, so it is written in place. */
static void write_termination(const char *path, const char *text) {
    char line[TERMINATION_SIZE];
    (void)snprintf(line, sizeof line, "%s\n", text);
    int fd = path[0] != '\0' ? open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    if (write(fd, line, strlen(line)) < 0) {
        log_debug("%s: not written", path);
    }
    (void)close(fd);
}

static int conclude(const struct node_settings *settings, const struct node_request *request,
                    const struct node_outcome *outcome, struct result r, const struct err *err) {
    static const char *const done[] = {"installed", "uninstalled", "looked at"};
    char text[ERR_TEXT_SIZE + 128];
    bool is_look = request->is_dry || request->operation == NODE_STATUS;
    if (!is_ok(r)) {
        (void)snprintf(text, sizeof text, "%s%s%s", outcome->handler,
                       outcome->handler[0] != '\0' ? ": " : "", err->text);
        log_error("%s", text);
    } else {
        (void)snprintf(text, sizeof text, "%s: %s%s", outcome->handler,
                       done[is_look ? NODE_STATUS : request->operation],
                       outcome->is_pending              ? "; containerd must be restarted"
                       : outcome->is_changed || is_look ? ""
                                                        : ", nothing to do");
        log_info("%s", text);
    }
    if (outcome->report.size > 0) {
        (void)fwrite(outcome->report.data, 1, outcome->report.size, stdout);
    }
    if (!is_look) {
        write_termination(settings->termination_log, text);
    }
    if (!is_ok(r)) {
        return err_exit_code(r.code);
    }
    return is_look && outcome->is_changed ? 3 : 0;
}

static int run(int argc, char **argv) {
    struct node_request request = {.stop = &stop_requested};
    struct node_settings settings = {0};
    struct err err = {0};
    struct result r = parse(argc, argv, &request, &err);
    r = is_ok(r) ? node_settings_read(&settings, &err) : r;
    r = is_ok(r) ? node_settings_read_target(&settings, &err) : r;
    if (!is_ok(r)) {
        log_error("%s", err.text);
        const char *log = getenv("TERMINATION_LOG"); /* the settings may be what is wrong */
        write_termination(log != NULL ? log : "/dev/termination-log", err.text);
        return err_exit_code(r.code);
    }
    AUTO(node_outcome_deinit)
    struct node_outcome outcome = {0};
    r = node_run(&settings, &request, &outcome, &err);
    return conclude(&settings, &request, &outcome, r, &err);
}

int main(int argc, char **argv) {
    log_init(PROGRAM, LOG_INFO);
    if (has(argc, argv, "--help")) {
        (void)fputs(HELP, stdout);
        return 0;
    }
    if (has(argc, argv, "--version")) {
        (void)puts(PROGRAM " " CONTRAST_VERSION);
        return 0;
    }
    catch_signals();
    return run(argc, argv);
}
