/* Log: see log.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_SIZE 2048

static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

static struct {
    const char *program;
    enum log_level least;
    void (*sink)(void *data, enum log_level level, const char *line);
    void *data;
} state = {"contrast", LOG_INFO, NULL, NULL};

void log_init(const char *program, enum log_level least) {
    state.program = program;
    state.least = least;
}

struct result log_level_parse(const char *text, enum log_level *level, struct err *err) {
    static const char *const words[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(text, words[i]) == 0) {
            *level = (enum log_level)i;
            return OK;
        }
    }
    return err_set(err, ERR_USAGE, "log level '%s': want debug, info, warn or error", text);
}

void log_set_sink(void (*sink)(void *data, enum log_level level, const char *line), void *data) {
    state.sink = sink;
    state.data = data;
}

static size_t put_prefix(char *line, enum log_level level) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    int m = snprintf(line + n, 128, ".%03ldZ %s %.64s: ", now.tv_nsec / 1000000, names[level],
                     state.program);
    return n + (size_t)m;
}

/* A line stays one line whatever a peer put into it. */
static void flatten(char *text) {
    for (; *text != 0; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = ' ';
        }
    }
}

void log_at(enum log_level level, const char *format, ...) {
    if (level < state.least) {
        return;
    }
    char line[LOG_LINE_SIZE];
    size_t n = put_prefix(line, level);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    flatten(line);
    if (state.sink != NULL) {
        state.sink(state.data, level, line);
        return;
    }
    size_t size = strlen(line);
    line[size] = '\n';
    ssize_t written = write(STDERR_FILENO, line, size + 1);
    (void)written; /* nobody is left to tell */
}
