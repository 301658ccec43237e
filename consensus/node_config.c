/* Node configuration: parse, build, convert.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/node_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consensus/node_codec.h"

#define ADDRESS_SIZE 24 /* bytes: 20 digits and a NUL */

bool node_config_is_valid(const struct node_config *config) {
    for (size_t i = 0; i < config->count; i++) {
        const struct node_member *m = &config->members[i];
        if (m->id == 0 || m->id > INT64_MAX || (m->role != NODE_VOTER && m->role != NODE_STANDBY)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (config->members[j].id == m->id) {
                return false;
            }
        }
    }
    size_t voters = node_config_voters(config);
    return voters > 0 && voters <= LIMIT_VOTERS + 1;
}

size_t node_config_voters(const struct node_config *config) {
    size_t n = 0;
    for (size_t i = 0; i < config->count; i++) {
        n += config->members[i].role == NODE_VOTER;
    }
    return n;
}

const struct node_member *node_config_find(const struct node_config *config, uint64_t id) {
    for (size_t i = 0; i < config->count; i++) {
        if (config->members[i].id == id) {
            return &config->members[i];
        }
    }
    return NULL;
}

void node_config_to_raft(const struct node_config *config, struct raft_configuration *out) {
    raft_configuration_init(out);
    for (size_t i = 0; i < config->count; i++) {
        char address[ADDRESS_SIZE];
        snprintf(address, sizeof address, "%" PRIu64, config->members[i].id);
        int role = config->members[i].role == NODE_VOTER ? RAFT_VOTER : RAFT_STANDBY;
        CHECK(raft_configuration_add(out, config->members[i].id, address, role) == 0);
    }
}

void node_config_from_raft(const struct raft_configuration *raft, struct node_config *out) {
    CHECK(raft->n <= LIMIT_MEMBERS);
    out->count = raft->n;
    for (unsigned i = 0; i < raft->n; i++) {
        out->members[i].id = raft->servers[i].id;
        out->members[i].role = raft->servers[i].role == RAFT_VOTER ? NODE_VOTER : NODE_STANDBY;
    }
}

void node_config_encode(const struct node_config *config, struct buf *out) {
    struct raft_configuration raft;
    struct raft_buffer bytes;
    node_config_to_raft(config, &raft);
    CHECK(raft_configuration_encode(&raft, &bytes) == 0);
    buf_append(out, bytes.base, bytes.len);
    raft_free(bytes.base);
    raft_configuration_close(&raft);
}

/* One server at *at; false at the end of the bytes or for a role that we do not use. */
static bool parse_member(struct span bytes, size_t *at, struct node_member *out) {
    if (bytes.size - *at < 8) {
        return false;
    }
    out->id = load_u64le(bytes.data + *at);
    *at += 8;
    const uint8_t *nul = memchr(bytes.data + *at, 0, bytes.size - *at);
    if (nul == NULL) {
        return false;
    }
    *at = (size_t)(nul - bytes.data) + 1;
    if (*at >= bytes.size) {
        return false;
    }
    uint8_t role = bytes.data[(*at)++];
    out->role = role == RAFT_VOTER ? NODE_VOTER : NODE_STANDBY;
    return role == RAFT_VOTER || role == RAFT_STANDBY;
}

/* Whatever the loose walk above let pass must come out of the encoder again, byte for byte. */
static bool is_canonical(struct span bytes, const struct node_config *config) {
    AUTO(buf_deinit)
    struct buf again = {0};
    node_config_encode(config, &again);
    return span_equal(bytes, buf_span(&again));
}

bool node_config_parse(struct span bytes, struct node_config *out) {
    struct node_config found = {0};
    if (bytes.size < 9) {
        return false;
    }
    uint64_t count = load_u64le(bytes.data + 1);
    if (count == 0 || count > LIMIT_MEMBERS) {
        return false;
    }
    size_t at = 9;
    for (found.count = 0; found.count < count; found.count++) {
        if (!parse_member(bytes, &at, &found.members[found.count])) {
            return false;
        }
    }
    if (!node_config_is_valid(&found) || !is_canonical(bytes, &found)) {
        return false;
    }
    *out = found;
    return true;
}

bool node_config_from_wire(const struct wire_list *list, struct node_config *out) {
    const struct node_wire_member *members = list->items;
    if (list->count > LIMIT_MEMBERS) {
        return false;
    }
    struct node_config found = {.count = list->count};
    for (size_t i = 0; i < list->count; i++) {
        if (members[i].role > NODE_STANDBY) {
            return false;
        }
        found.members[i] = (struct node_member){members[i].id, members[i].role};
    }
    if (!node_config_is_valid(&found)) {
        return false;
    }
    *out = found;
    return true;
}
