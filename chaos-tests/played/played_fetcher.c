/* Played fetcher: attest/endorse/fetcher.c as it is, over threads that a simulation plays.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_pthread.h"

#include "attest/endorse/fetcher.c" // NOLINT(bugprone-suspicious-include): as played_attester.c
