/* Config: see config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char config_help[] =
    "Environment:\n"
    "  CONTRAST_NAME               label of this replica (default: the host name)\n"
    "  CONTRAST_LISTEN             address to listen on (default: 0.0.0.0)\n"
    "  CONTRAST_ADDRESS            host:port where peers reach the Raft port\n"
    "                              (default: <CONTRAST_NAME>:<CONTRAST_RAFT_PORT>)\n"
    "  CONTRAST_PEERS              mesh API of the replicas, host:port[,host:port...]\n"
    "                              (default: none; may contain this replica itself)\n"
    "  CONTRAST_USER_PORT          user API (default: 1313)\n"
    "  CONTRAST_MESH_PORT          mesh API (default: 7777)\n"
    "  CONTRAST_RAFT_PORT          Raft links (default: 7443)\n"
    "  CONTRAST_OWNER_KEY_DIGESTS  SHA-256 of the owners' SubjectPublicKeyInfo, 64 hex each,\n"
    "                              comma-separated; a deployment by another owner is refused\n"
    "  CONTRAST_PERMITTED_ROOTS    SHA-256 of the SubjectPublicKeyInfo of simulated roots that a\n"
    "                              manifest may name (default: none: AMD's roots alone)\n"
    "  CONTRAST_SNP_SOCKET         Unix socket that hands out attestation reports\n"
    "  CONTRAST_SESSION_THREADS    threads for clients (default: one a CPU, at most 8)\n"
    "  CONTRAST_LOG_LEVEL          debug, info, warn or error (default: info)\n";

static RESULT copy_text(const char *name, const char *value, char *out, size_t size,
                        struct err *err) {
    size_t n = strlen(value);
    ENSURE(n > 0 && n < size, err, CONFIG, "%s: want 1 to %zu bytes, got %zu", name, size - 1, n);
    memcpy(out, value, n + 1);
    return OK;
}

static RESULT parse_number(const char *name, const char *value, unsigned long least,
                           unsigned long most, unsigned long *out, struct err *err) {
    char *end = NULL;
    unsigned long v = strtoul(value, &end, 10);
    ENSURE(value[0] >= '0' && value[0] <= '9' && *end == 0 && v >= least && v <= most, err, CONFIG,
           "%s: want a number from %lu to %lu, got '%.40s'", name, least, most, value);
    *out = v;
    return OK;
}

static RESULT read_port(const char *(*get)(const char *), const char *name, uint16_t fallback,
                        uint16_t *out, struct err *err) {
    const char *value = get(name);
    unsigned long port = fallback;
    if (value != NULL) {
        TRY(parse_number(name, value, 1, 65535, &port, err));
    }
    *out = (uint16_t)port;
    return OK;
}

/* Hands every comma-separated part of `list` to `take`; empty parts are errors. */
static RESULT each_part(const char *name, const char *list,
                        struct result (*take)(struct span part, struct config *c, struct err *err),
                        struct config *c, struct err *err) {
    while (*list != 0) {
        size_t n = strcspn(list, ",");
        TRY(err_wrap(take(span_of(list, n), c, err), err, "%s: '%.*s'", name,
                     (int)(n < 80 ? n : 80), list));
        list += n;
        if (*list == ',') {
            list++;
            ENSURE(*list != 0, err, CONFIG, "%s: ends in a comma", name);
        }
    }
    return OK;
}

static struct result take_peer(struct span part, struct config *c, struct err *err) {
    ENSURE(c->peer_count < LIMIT_MEMBERS, err, CONFIG, "more than %d peers", LIMIT_MEMBERS);
    struct config_peer *peer = &c->peers[c->peer_count];
    const uint8_t *colon = part.size == 0 ? NULL : memrchr(part.data, ':', part.size);
    ENSURE(colon != NULL && colon > part.data, err, CONFIG, "want host:port");
    size_t host = (size_t)(colon - part.data);
    ENSURE(host < sizeof peer->host && part.size - host - 1 < 6, err, CONFIG, "want host:port");
    memcpy(peer->host, part.data, host);
    peer->host[host] = 0;
    char digits[8] = "";
    memcpy(digits, colon + 1, part.size - host - 1);
    unsigned long port = 0;
    TRY(parse_number("port", digits, 1, 65535, &port, err));
    peer->port = (uint16_t)port;
    c->peer_count++;
    return OK;
}

static RESULT parse_digest(struct span text, uint8_t out[32], struct err *err) {
    ENSURE(is_ok(hex_decode(text, out, 32, NULL)), err, CONFIG, "want 64 hexadecimal digits");
    return OK;
}

static struct result take_owner(struct span part, struct config *c, struct err *err) {
    ENSURE(c->owner_count < LIMIT_OWNER_KEYS, err, CONFIG, "more than %d keys", LIMIT_OWNER_KEYS);
    TRY(parse_digest(part, c->owner_digests[c->owner_count], err));
    c->owner_count++;
    return OK;
}

static struct result take_root(struct span part, struct config *c, struct err *err) {
    ENSURE(c->permitted_root_count < LIMIT_REFERENCE_VALUES, err, CONFIG, "more than %d roots",
           LIMIT_REFERENCE_VALUES);
    TRY(parse_digest(part, c->permitted_roots[c->permitted_root_count], err));
    c->permitted_root_count++;
    return OK;
}

static RESULT read_names(const char *(*get)(const char *), struct config *c, struct err *err) {
    char host[LIMIT_NAME + 1] = "";
    const char *name = get("CONTRAST_NAME");
    if (name == NULL) {
        ENSURE(gethostname(host, sizeof host - 1) == 0 && host[0] != 0, err, CONFIG,
               "CONTRAST_NAME is not set and the machine has no usable host name");
        name = host;
    }
    TRY(copy_text("CONTRAST_NAME", name, c->name, sizeof c->name, err));
    const char *listen = get("CONTRAST_LISTEN");
    TRY(copy_text("CONTRAST_LISTEN", listen == NULL ? "0.0.0.0" : listen, c->listen,
                  sizeof c->listen, err));
    const char *address = get("CONTRAST_ADDRESS");
    if (address != NULL) {
        return copy_text("CONTRAST_ADDRESS", address, c->address, sizeof c->address, err);
    }
    snprintf(c->address, sizeof c->address, "%s:%u", c->name, c->raft_port);
    return OK;
}

static RESULT read_trust(const char *(*get)(const char *), struct config *c, struct err *err) {
    const char *owners = get("CONTRAST_OWNER_KEY_DIGESTS");
    ENSURE(owners != NULL && owners[0] != 0, err, CONFIG,
           "CONTRAST_OWNER_KEY_DIGESTS is not set: run `contrast generate` on the Coordinator's "
           "YAML, it adds the variable");
    TRY(each_part("CONTRAST_OWNER_KEY_DIGESTS", owners, take_owner, c, err));
    const char *roots = get("CONTRAST_PERMITTED_ROOTS");
    if (roots != NULL) {
        TRY(each_part("CONTRAST_PERMITTED_ROOTS", roots, take_root, c, err));
    }
    const char *socket = get("CONTRAST_SNP_SOCKET");
    ENSURE(socket != NULL && strlen(socket) < sizeof c->issuer - 8, err, CONFIG,
           "CONTRAST_SNP_SOCKET: want the path of the socket that hands out attestation reports");
    snprintf(c->issuer, sizeof c->issuer, "unix:%s", socket);
    return OK;
}

static RESULT read_threads(const char *(*get)(const char *), struct config *c, struct err *err) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned long threads = cpus < 1 ? 1 : cpus > 8 ? 8 : (unsigned long)cpus;
    const char *value = get("CONTRAST_SESSION_THREADS");
    if (value != NULL) {
        TRY(parse_number("CONTRAST_SESSION_THREADS", value, 1, 64, &threads, err));
    }
    c->session_threads = (unsigned)threads;
    const char *level = get("CONTRAST_LOG_LEVEL");
    return level == NULL ? OK : log_level_parse(level, &c->log_level, err);
}

struct result config_read(const char *(*get)(const char *name), struct config *out,
                          struct err *err) {
    struct config *c = mem_zalloc(sizeof *c);
    c->log_level = LOG_INFO;
    struct result r = read_port(get, "CONTRAST_USER_PORT", 1313, &c->user_port, err);
    r = is_ok(r) ? read_port(get, "CONTRAST_MESH_PORT", 7777, &c->mesh_port, err) : r;
    r = is_ok(r) ? read_port(get, "CONTRAST_RAFT_PORT", 7443, &c->raft_port, err) : r;
    r = is_ok(r) ? read_names(get, c, err) : r;
    r = is_ok(r) ? read_trust(get, c, err) : r;
    r = is_ok(r) ? read_threads(get, c, err) : r;
    const char *peers = get("CONTRAST_PEERS");
    if (is_ok(r) && peers != NULL) {
        r = each_part("CONTRAST_PEERS", peers, take_peer, c, err);
    }
    if (is_ok(r)) {
        *out = *c;
    }
    mem_free(c);
    return r;
}
