/* Asker: whom a search for endorsements is charged to, by the address that the session comes from.
 *
 *   "192.0.2.7:41000"           -> ::ffff:192.0.2.7
 *   "[2001:db8:0:1::99]:41000"  -> 2001:db8:0:1::  whoever has one address has the /64
 *   anything else               -> ::              one asker for all of them
 *
 * Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ASKER_H
#define CONTRAST_ASKER_H

#include "coordinator/endorser.h"

/* `peer` as net_conn_peer_address has it. The bytes are an IPv6 address, or an IPv4 one mapped into
 * it (RFC 4291 section 2.5.5.2). */
void asker_parse(const char *peer, uint8_t out[ENDORSER_SOURCE_SIZE]);

#endif
