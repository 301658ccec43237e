/* Command fixture: programs run in a folder of their own, which goes away with the test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_COMMAND_FIXTURE_H
#define CONTRAST_COMMAND_FIXTURE_H

#include "lib/base/bytes.h"

struct command_fixture {
    char dir[64];
    struct buf out; /* standard output of the last command; errors too where it says 2>&1 */
    int status;     /* its exit code */
};

void command_fixture_init(struct command_fixture *f);
void command_fixture_deinit(struct command_fixture *f);

/* Runs the shell line in the folder. */
__attribute__((format(printf, 2, 3))) void command_fixture_run(struct command_fixture *f,
                                                               const char *line, ...);
/* The same, and it must end with `status` and print `text` somewhere. */
void command_fixture_expect(struct command_fixture *f, const char *line, int status,
                            const char *text);

/* How often the text stands in the output. */
size_t command_fixture_count(struct command_fixture *f, const char *text);

void command_fixture_put(const struct command_fixture *f, const char *name, const char *text);
/* A file of the folder, or with a slash in front any; owned by the caller. */
struct buf command_fixture_get(const struct command_fixture *f, const char *name);
/* The output parses, and has so many documents. */
void command_fixture_expect_documents(struct command_fixture *f, size_t count);

#endif
