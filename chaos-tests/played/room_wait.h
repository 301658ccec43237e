/* Room wait: how a played device lets time pass for whoever asked it.
 *
 * A wait of libuv's: virtual time where libuv is played. `is_over` is asked before and every
 * ROOM_WAIT_SLICE_MS, without a lock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ROOM_WAIT_H
#define CONTRAST_ROOM_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#define ROOM_WAIT_SLICE_MS 250
#define ROOM_WAIT_FOREVER UINT64_MAX

/* For `ms`, or until is_over(data): true then. `is_over` NULL: never. */
bool room_wait(uint64_t ms, bool (*is_over)(void *data), void *data);

#endif
