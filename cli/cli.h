/* The command line: what every subcommand of `contrast` shares.
 *
 *   contrast COMMAND [OPTION]... [ARGUMENT]...
 *
 * A command is one row of the table in main.c: name (one or two words), function, summary, help.
 * Its function parses its own options with cli_parse, which also takes the common ones (--output,
 * --log-level, --workspace), does the work, prints its one document on stdout and returns RESULT.
 * main prints "contrast COMMAND: text" on stderr for a failure, with --output json also
 * {"error": {"code": …, "text": …}} on stdout unless the command printed its document already, and
 * exits as err_exit_code says: 0 done, 1 could not, 2 usage, 3 verified and false, 4 fork.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CLI_H
#define CONTRAST_CLI_H

#include <jansson.h>

#include "lib/base/bytes.h"
#include "lib/base/log.h"

#define CLI_LIST_MAX 256
#define CLI_OPTIONS_MAX 40

struct cli {
    const char *command;   /* "evidence verify": for messages */
    bool json;             /* --output json */
    bool printed;          /* the JSON document is on stdout already */
    const char *workspace; /* --workspace DIR; "." unless given */
    enum log_level log_level;
};

struct cli_command {
    const char *name; /* "generate" or "evidence verify" */
    RESULT (*run)(struct cli *cli, int argc, char **argv, struct err *err);
    const char *summary; /* one line for the list */
    const char *help;    /* usage, options and examples */
};

/* Runs the command that argv names; returns the exit code. */
int cli_run(const struct cli_command *commands, size_t count, int argc, char **argv);

struct cli_list {
    const char *items[CLI_LIST_MAX]; /* borrowed from argv */
    size_t count;
};

enum cli_option_kind {
    CLI_FLAG,   /* target: bool */
    CLI_STRING, /* target: const char *; twice is an error */
    CLI_NUMBER, /* target: int64_t, decimal */
    CLI_STRINGS /* target: struct cli_list */
};

struct cli_option {
    const char *name; /* without "--" */
    char letter;      /* 'c' for -c; 0 = none */
    enum cli_option_kind kind;
    void *target;
};

/* Parses argv[1..]: the command's options, the common ones, and the rest into `arguments`. Options
 * and arguments may be mixed; "--" ends the options. USAGE names the option. */
RESULT cli_parse(struct cli *cli, const struct cli_option *options, size_t count, int argc,
                 char **argv, struct cli_list *arguments, struct err *err);

/* Prints `document` on stdout, indented, keys in insertion order, and takes its reference. */
void cli_print_json(struct cli *cli, json_t *document);
/* Prints the text on stdout. */
void cli_print_text(struct span text);

#endif
