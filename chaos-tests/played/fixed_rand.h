/* Fixed randomness: OpenSSL's stream exchanged for one that follows from a label.
 *
 *   fixed_rand_begin("ark")  ->  keys, salts, blinding: the same in every run  ->  fixed_rand_end
 *
 * What a simulation makes once for many seeds must not depend on which seed came first, and must
 * not move the stream of that seed. Nests up to FIXED_RAND_DEPTH; for one thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FIXED_RAND_H
#define CONTRAST_FIXED_RAND_H

#include "lib/crypto/key.h"

#define FIXED_RAND_DEPTH 4

void fixed_rand_begin(const char *label);
void fixed_rand_end(void);

/* An RSA-4096 pair that is always the same for an index below FIXED_RAND_RSA, counted: key_deinit.
 * Cheap: the search for its primes was done before (test_machine_room proves that they are). */
#define FIXED_RAND_RSA 6
void fixed_rand_rsa(unsigned index, struct key *out);

#endif
