/* The command line: see cli.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

#define COMMON_COUNT 3
#define OPTION_BASE 1000 /* getopt values beyond any letter: OPTION_BASE + index */

static const char COMMON_HELP[] =
    "\nCommon options:\n"
    "  --output text|json   how to print the result (default text)\n"
    "  --log-level LEVEL    debug, info, warn or error (default warn); logs go to stderr\n"
    "  --workspace DIR      where manifest.json, keys and verify/ are (default .)\n"
    "  --help, --version\n"
    "\nExit codes: 0 done or verified; 1 could not, retrying may help; 2 usage or configuration;\n"
    "3 verified and false; 4 fork or rollback detected.\n";

/* ---- options ---- */

static struct result set_output(struct cli *cli, const char *value, struct err *err) {
    bool json = strcmp(value, "json") == 0;
    ENSURE(json || strcmp(value, "text") == 0, err, USAGE,
           "--output: '%s' is neither text nor json", value);
    cli->json = json;
    return OK;
}

static struct result set_number(const struct cli_option *option, const char *value,
                                struct err *err) {
    char *end = NULL;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    ENSURE(errno == 0 && end != value && *end == '\0', err, USAGE,
           "--%s: '%s' is not a whole number", option->name, value);
    *(int64_t *)option->target = n;
    return OK;
}

static struct result list_add(struct cli_list *list, const char *value, struct err *err) {
    ENSURE(list->count < CLI_LIST_MAX, err, USAGE, "more than %d arguments of one kind",
           CLI_LIST_MAX);
    list->items[list->count++] = value;
    return OK;
}

static struct result set_string(const struct cli_option *option, const char *value,
                                struct err *err) {
    const char **target = option->target;
    ENSURE(*target == NULL, err, USAGE, "--%s is given twice", option->name);
    *target = value;
    return OK;
}

static struct result set_option(const struct cli_option *option, const char *value,
                                struct err *err) {
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->target = true;
        return OK;
    case CLI_STRING:
        return set_string(option, value, err);
    case CLI_NUMBER:
        return set_number(option, value, err);
    case CLI_STRINGS:
        return list_add(option->target, value, err);
    }
    return OK;
}

static struct result set_common(struct cli *cli, size_t index, const char *value, struct err *err) {
    switch (index) {
    case 0:
        return set_output(cli, value, err);
    case 1:
        return log_level_parse(value, &cli->log_level, err);
    default:
        cli->workspace = value;
        return OK;
    }
}

struct table {
    struct option options[CLI_OPTIONS_MAX + COMMON_COUNT + 1];
    char letters[2 * CLI_OPTIONS_MAX + 4];
};

static void fill_table(struct table *t, const struct cli_option *options, size_t count) {
    static const char *const common[COMMON_COUNT] = {"output", "log-level", "workspace"};
    char *letters = t->letters;
    *letters++ = ':'; /* a missing value is reported as ':' */
    for (size_t i = 0; i < COMMON_COUNT; i++) {
        t->options[i] = (struct option){common[i], required_argument, NULL, OPTION_BASE + (int)i};
    }
    for (size_t i = 0; i < count; i++) {
        int has_value = options[i].kind == CLI_FLAG ? no_argument : required_argument;
        t->options[COMMON_COUNT + i] =
            (struct option){options[i].name, has_value, NULL, OPTION_BASE + COMMON_COUNT + (int)i};
        if (options[i].letter != 0) {
            *letters++ = options[i].letter;
            if (has_value == required_argument) {
                *letters++ = ':';
            }
        }
    }
}

static size_t index_of(const struct cli_option *options, size_t count, int found) {
    if (found >= OPTION_BASE) {
        return (size_t)(found - OPTION_BASE);
    }
    for (size_t i = 0; i < count; i++) {
        if (options[i].letter == found) {
            return COMMON_COUNT + i;
        }
    }
    return SIZE_MAX;
}

struct result cli_parse(struct cli *cli, const struct cli_option *options, size_t count, int argc,
                        char **argv, struct cli_list *arguments, struct err *err) {
    CHECK(count <= CLI_OPTIONS_MAX);
    struct table table = {0};
    fill_table(&table, options, count);
    opterr = 0;
    optind = 0; /* glibc: start again, permuting */
    for (int found; (found = getopt_long(argc, argv, table.letters, table.options, NULL)) != -1;) {
        ENSURE(found != ':', err, USAGE, "%s needs a value; see --help", argv[optind - 1]);
        ENSURE(found != '?', err, USAGE, "unknown option %s; see --help", argv[optind - 1]);
        size_t index = index_of(options, count, found);
        CHECK(index < COMMON_COUNT + count);
        TRY(index < COMMON_COUNT ? set_common(cli, index, optarg, err)
                                 : set_option(&options[index - COMMON_COUNT], optarg, err));
    }
    for (int i = optind; i < argc; i++) {
        ENSURE(arguments != NULL, err, USAGE, "unexpected argument '%s'; see --help", argv[i]);
        TRY(list_add(arguments, argv[i], err));
    }
    log_init("contrast", cli->log_level);
    return OK;
}

/* ---- output ---- */

void cli_print_json(struct cli *cli, json_t *document) {
    (void)json_dumpf(document, stdout, JSON_INDENT(2)); /* finish_output() sees what fails */
    putchar('\n');
    json_decref(document);
    cli->printed = true;
}

void cli_print_text(struct span text) {
    if (text.size > 0) { /* fwrite takes no NULL */
        fwrite(text.data, 1, text.size, stdout);
    }
}

static int report_failure(struct cli *cli, struct result r, const struct err *err) {
    fprintf(stderr, "contrast%s%s: %s\n", *cli->command != '\0' ? " " : "", cli->command,
            err->text);
    if (cli->json && !cli->printed) {
        cli_print_json(
            cli, json_pack("{s:{s:s,s:s}}", "error", "code", err_name(r.code), "text", err->text));
    }
    return err_exit_code(r.code);
}

/* A result that could not be written, to a full disk for one, is none. */
static int finish_output(const struct cli *cli, int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return code;
    }
    fprintf(stderr, "contrast %s: standard output: %s\n", cli->command, strerror(errno));
    return code != 0 ? code : err_exit_code(ERR_IO);
}

/* ---- commands ---- */

/* The number of argv words that the name takes, 0 when argv starts otherwise. */
static int matches(const char *name, int argc, char **argv) {
    const char *space = strchr(name, ' ');
    if (space == NULL) {
        return argc > 0 && strcmp(argv[0], name) == 0 ? 1 : 0;
    }
    size_t first = (size_t)(space - name);
    bool both = argc > 1 && strlen(argv[0]) == first && strncmp(argv[0], name, first) == 0 &&
                strcmp(argv[1], space + 1) == 0;
    return both ? 2 : 0;
}

static void print_commands(FILE *out, const struct cli_command *commands, size_t count) {
    fputs("Usage: contrast COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:\n", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "  %-18s %s\n", commands[i].name, commands[i].summary);
    }
    fputs(COMMON_HELP, out);
    fputs("\nExamples:\n"
          "  contrast COMMAND --help\n"
          "  contrast evidence show report.bin\n",
          out);
}

static bool has_word(int argc, char **argv, const char *word, const char *letter) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], word) == 0 || strcmp(argv[i], letter) == 0) {
            return true;
        }
    }
    return false;
}

static bool wants_json(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--output=json") == 0 ||
            (strcmp(argv[i], "--output") == 0 && i + 1 < argc &&
             strcmp(argv[i + 1], "json") == 0)) {
            return true;
        }
    }
    return false;
}

static int run_command(const struct cli_command *command, struct cli *cli, int words, int argc,
                       char **argv) {
    if (has_word(argc - words, argv + words, "--help", "-h")) {
        printf("%s%s", command->help, COMMON_HELP);
        return 0;
    }
    cli->command = command->name;
    struct err err = {0};
    struct result r = command->run(cli, argc - words, argv + words, &err);
    return finish_output(cli, is_ok(r) ? 0 : report_failure(cli, r, &err));
}

/* Appends the second words of the commands whose first word this is. */
static void list_members(const struct cli_command *commands, size_t count, const char *group,
                         struct buf *out) {
    size_t n = strlen(group);
    for (size_t i = 0; i < count; i++) {
        const char *name = commands[i].name;
        if (strncmp(name, group, n) == 0 && name[n] == ' ') {
            buf_appendf(out, "%s%s", out->size > 0 ? ", " : "", name + n + 1);
        }
    }
}

static struct result refuse_command(const struct cli_command *commands, size_t count,
                                    const char *word, struct err *err) {
    AUTO(buf_deinit)
    struct buf members = {0};
    ENSURE(word != NULL, err, USAGE, "no command given; see contrast --help");
    list_members(commands, count, word, &members);
    ENSURE(members.size == 0, err, USAGE, "'%s' needs one of: %s", word, buf_cstr(&members));
    return err_set(err, ERR_USAGE, "unknown command '%s'; see contrast --help", word);
}

int cli_run(const struct cli_command *commands, size_t count, int argc, char **argv) {
    struct cli cli = {
        .command = "", .workspace = ".", .log_level = LOG_WARN, .json = wants_json(argc, argv)};
    log_init("contrast", cli.log_level);
    for (size_t i = 0; i < count; i++) {
        int words = matches(commands[i].name, argc - 1, argv + 1);
        if (words > 0) {
            return run_command(&commands[i], &cli, words, argc, argv);
        }
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("contrast " CONTRAST_VERSION);
        return 0;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_commands(stdout, commands, count);
        return 0;
    }
    struct err err = {0};
    struct result r = refuse_command(commands, count, argc > 1 ? argv[1] : NULL, &err);
    return report_failure(&cli, r, &err);
}
