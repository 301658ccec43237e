/* Log: one line per event on stderr, for people and for machines.
 *
 *   2026-11-22T02:11:09.120Z INFO coordinator: founded cluster=3f.. voters=3
 *
 * Never pass a secret: struct secret has no formatter, and a test greps every log for secrets.
 * Thread-safe; a line is one write(2).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LOG_H
#define CONTRAST_LOG_H

#include "lib/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* The program's name stands in every line; borrowed for ever. */
void log_init(const char *program, enum log_level least);
/* "debug", "info", "warn" or "error". */
RESULT log_level_parse(const char *text, enum log_level *level, struct err *err);
void log_at(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
/* Receives every line (without the line feed) in place of stderr; NULL restores stderr. */
void log_set_sink(void (*sink)(void *data, enum log_level level, const char *line), void *data);

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

#endif
