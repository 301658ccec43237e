/* Runs a test program of the product on the stage: its main is the main function of one played
 * process, and has to pass there as it does on the system.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "chaos-tests/played/played.h"

#define VIRTUAL_MS 86400000 /* far more than any of them waits */

int product_main(void); /* the program's main, renamed by the build */

static void run_program(void *data) {
    *(int *)data = product_main();
}

int main(void) {
    int status = -1;
    struct played *w = played_new(1, 2);
    struct played_program program = {.name = "test", .main = run_program, .data = &status};
    played_spawn(w, &program);
    played_run(w, VIRTUAL_MS);
    printf("on the stage: %llu steps, %s\n", (unsigned long long)played_steps(w),
           status == -1 ? "did not end" : "ended");
    played_free(w);
    return status;
}
