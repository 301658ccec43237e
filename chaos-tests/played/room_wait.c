/* Room wait: see room_wait.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/room_wait.h"

#include <stddef.h>

#include <uv.h>

#include "lib/base/err.h"

#define NS_PER_MS UINT64_C(1000000)

bool room_wait(uint64_t ms, bool (*is_over)(void *data), void *data) {
    uv_mutex_t mutex;
    uv_cond_t nobody; /* signals it */
    CHECK(uv_mutex_init(&mutex) == 0 && uv_cond_init(&nobody) == 0);
    uint64_t left = ms;
    bool is_done = is_over != NULL && is_over(data);
    uv_mutex_lock(&mutex);
    while (!is_done && left > 0) {
        bool is_last = is_over == NULL || left < ROOM_WAIT_SLICE_MS;
        uint64_t slice = is_last ? left : ROOM_WAIT_SLICE_MS;
        (void)uv_cond_timedwait(&nobody, &mutex, slice * NS_PER_MS);
        left -= left == ROOM_WAIT_FOREVER ? 0 : slice;
        is_done = is_over != NULL && is_over(data);
    }
    uv_mutex_unlock(&mutex);
    uv_cond_destroy(&nobody);
    uv_mutex_destroy(&mutex);
    return is_done;
}
