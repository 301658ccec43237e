/* Process: see process.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "lib/base/log.h"

void process_harden(void) {
    signal(SIGPIPE, SIG_IGN);
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
        log_warn("could not switch core files off: %s", strerror(errno));
    }
    struct rlimit lock;
    if (getrlimit(RLIMIT_MEMLOCK, &lock) != 0 || lock.rlim_cur != RLIM_INFINITY) {
        log_warn("memory is not locked: RLIMIT_MEMLOCK is limited (in a VM without swap this is "
                 "harmless)");
        return;
    }
    /* MCL_ONFAULT: thread stacks and arenas are locked as they are touched, not reserved whole. */
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
        log_warn("memory is not locked: %s", strerror(errno));
    }
}
