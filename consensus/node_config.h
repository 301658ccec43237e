/* Node configuration: the members of a cluster, between our types, the wire and libraft.
 *
 * An entry of the log holds libraft's own encoding, because libraft decodes it there:
 *
 *   u8 version    u64le count    count * { u64le id, address as text with NUL, u8 role }    padding
 *
 * Addresses mean nothing to us (links know theirs); libraft wants one, unique: the id in decimal.
 * What a peer sends is parsed here, strictly, before libraft's own decoder may look at it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_CONFIG_H
#define CONTRAST_NODE_CONFIG_H

#include <raft.h>

#include "consensus/node.h"
#include "lib/wire/wire.h"

struct node_config {
    size_t count;
    struct node_member members[LIMIT_MEMBERS];
};

/* Ids nonzero, below 2^63 and unique, roles known, at least one voter, at most LIMIT_MEMBERS. */
bool node_config_is_valid(const struct node_config *config);
/* Exactly the canonical encoding of a valid configuration, or false. */
bool node_config_parse(struct span bytes, struct node_config *out);
void node_config_encode(const struct node_config *config, struct buf *out);
/* From a list of struct node_wire_member; false unless valid. */
bool node_config_from_wire(const struct wire_list *list, struct node_config *out);
/* The caller closes *out with raft_configuration_close. */
void node_config_to_raft(const struct node_config *config, struct raft_configuration *out);
void node_config_from_raft(const struct raft_configuration *raft, struct node_config *out);

size_t node_config_voters(const struct node_config *config);
/* NULL when not a member. */
const struct node_member *node_config_find(const struct node_config *config, uint64_t id);

#endif
