/* Process: what every program does before it touches a secret.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PROCESS_H
#define CONTRAST_PROCESS_H

/* No core file, no ptrace by the same user, all memory locked where RLIMIT_MEMLOCK allows;
 * SIGPIPE ignored. Logs a warning, once, for what the system refused. */
void process_harden(void);

#endif
