/* Played attester: attest/attester.c as it is, over threads that a simulation plays.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_pthread.h"

#include "attest/attester.c" // NOLINT(bugprone-suspicious-include): the same code, other threads
