/* contrast measure: what a pod-VM image must measure to, computed from the image.
 *
 * Three commands: an IGVM file (cmd_measure.c), a firmware image with a kernel (measure_ovmf.c),
 * the ID block that an author signs (measure_id.c). The digest is the TrustedMeasurement of a
 * manifest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_MEASURE_H
#define CONTRAST_CMD_MEASURE_H

#include "cli/cli.h"

extern const char CMD_MEASURE_IGVM_HELP[];
extern const char CMD_MEASURE_OVMF_HELP[];
extern const char CMD_MEASURE_ID_HELP[];

/* cli_command functions; argv[0] is the command's last word. A file that breaks its format is exit
 * 2 with the place and the rule; an ID block for another digest or with a false signature is exit
 * 3, after the values were printed. */
RESULT cmd_measure_igvm(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_measure_ovmf(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_measure_id(struct cli *cli, int argc, char **argv, struct err *err);

/* A number as C writes it: decimal, or hexadecimal with 0x. USAGE with the option's name unless it
 * is one of at most `max`. NULL leaves *out. */
RESULT cmd_measure_number(const char *option, const char *text, uint64_t max, uint64_t *out,
                          struct err *err);
/* `size` bytes in hexadecimal; USAGE otherwise. NULL leaves *out. */
RESULT cmd_measure_hex(const char *option, const char *text, uint8_t *out, size_t size,
                       struct err *err);

/* An object under construction: hexadecimal, 0x-number. */
void cmd_measure_put_hex(json_t *object, const char *key, struct span bytes);
void cmd_measure_put_number(json_t *object, const char *key, uint64_t value);

/* Prints the document (takes its reference): with --output json as it is, otherwise one line for
 * each text and number, the reference values as JSON to paste, and the warnings in the log. */
void cmd_measure_print(struct cli *cli, json_t *document);

#endif
