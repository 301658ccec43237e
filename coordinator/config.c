/* Config: see config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest/issuer.h"
#include "lib/base/setting.h"
#include "lib/net/net.h"

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
    "  CONTRAST_ISSUER             where attestation reports come from: auto, configfs:[/DIR],\n"
    "                              sev-guest:[/PATH] or unix:/PATH (default: auto, the kernel)\n"
    "  CONTRAST_SNP_SOCKET         without CONTRAST_ISSUER: socket of a simulated machine\n"
    "  CONTRAST_ENDORSEMENTS       folder or file of VCEKs, ASKs, ARKs and revocation lists, DER "
    "or\n"
    "                              PEM, read at start (default: none)\n"
    "  CONTRAST_KDS_URL            AMD's key service or a mirror of it, for certificates that the\n"
    "                              host does not hand out; off = never asked\n"
    "                              (default: https://kdsintf.amd.com)\n"
    "  CONTRAST_KDS_CA_FILE        PEM authorities that alone vouch for that server\n"
    "                              (default: the system's)\n"
    "  CONTRAST_STATE_DIR          folder of this replica alone, where it keeps its part of a "
    "sealed\n"
    "                              state, if the manifest permits a restart without people\n"
    "                              (AutoRecovery; default: nothing is ever kept)\n"
    "  CONTRAST_SESSION_THREADS    threads for clients (default: one a CPU, at most 8)\n"
    "  CONTRAST_LEAVE_MS           after SIGTERM: how long to wait for a standby to take over\n"
    "                              (default: 10000, at most 600000)\n"
    "  CONTRAST_LOG_LEVEL          debug, info, warn or error (default: info)\n";

static RESULT read_port(const char *(*get)(const char *), const char *name, uint16_t fallback,
                        uint16_t *out, struct err *err) {
    const char *value = get(name);
    unsigned long port = fallback;
    if (value != NULL) {
        TRY(setting_number(name, value, 1, 65535, &port, err));
    }
    *out = (uint16_t)port;
    return OK;
}

static RESULT read_peer(struct span part, struct config *c, struct err *err) {
    ENSURE(c->peer_count < LIMIT_MEMBERS, err, CONFIG, "CONTRAST_PEERS: more than %d peers",
           LIMIT_MEMBERS);
    struct config_peer *peer = &c->peers[c->peer_count];
    char text[LIMIT_ADDRESS + 16];
    size_t shown = part.size < sizeof text - 1 ? part.size : sizeof text - 1;
    memcpy(text, part.data, shown);
    text[shown] = 0;
    ENSURE(shown == part.size && is_ok(net_address_parse(text, peer->host, &peer->port, NULL)), err,
           CONFIG, "CONTRAST_PEERS: want host:port, got '%.80s'", text);
    c->peer_count++;
    return OK;
}

static RESULT read_peers(const char *list, struct config *c, struct err *err) {
    while (*list != 0) {
        size_t n = strcspn(list, ",");
        TRY(read_peer(span_of(list, n), c, err));
        list += n;
        if (*list == ',') {
            list++;
            ENSURE(*list != 0, err, CONFIG, "CONTRAST_PEERS: ends in a comma");
        }
    }
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
    TRY(setting_text("CONTRAST_NAME", name, c->name, sizeof c->name, err));
    const char *listen = get("CONTRAST_LISTEN");
    TRY(setting_text("CONTRAST_LISTEN", listen == NULL ? "0.0.0.0" : listen, c->listen,
                     sizeof c->listen, err));
    const char *address = get("CONTRAST_ADDRESS");
    if (address != NULL) {
        return setting_text("CONTRAST_ADDRESS", address, c->address, sizeof c->address, err);
    }
    snprintf(c->address, sizeof c->address, "%s:%u", c->name, c->raft_port);
    return OK;
}

static RESULT read_trust(const char *(*get)(const char *), struct config *c, struct err *err) {
    const char *owners = get("CONTRAST_OWNER_KEY_DIGESTS");
    ENSURE(owners != NULL && owners[0] != 0, err, CONFIG,
           "CONTRAST_OWNER_KEY_DIGESTS is not set: run `contrast generate` on the Coordinator's "
           "YAML, it adds the variable");
    TRY(setting_digests("CONTRAST_OWNER_KEY_DIGESTS", owners, c->owner_digests, LIMIT_OWNER_KEYS,
                        &c->owner_count, err));
    const char *roots = get("CONTRAST_PERMITTED_ROOTS");
    TRY(setting_digests("CONTRAST_PERMITTED_ROOTS", roots == NULL ? "" : roots, c->permitted_roots,
                        LIMIT_REFERENCE_VALUES, &c->permitted_root_count, err));
    return issuer_spec_read(get, c->issuer, sizeof c->issuer, err);
}

static RESULT read_text(const char *(*get)(const char *), const char *name, const char *fallback,
                        char *out, size_t size, struct err *err) {
    const char *value = get(name);
    value = value == NULL || value[0] == 0 ? fallback : value;
    out[0] = 0;
    return value[0] == 0 ? OK : setting_text(name, value, out, size, err);
}

/* Where what the host does not hand out comes from, and where a state is kept. */
static RESULT read_endorsements(const char *(*get)(const char *), struct config *c,
                                struct err *err) {
    TRY(read_text(get, "CONTRAST_KDS_URL", "https://kdsintf.amd.com", c->kds_url, sizeof c->kds_url,
                  err));
    ENSURE(strcmp(c->kds_url, "off") == 0 || strncmp(c->kds_url, "https://", 8) == 0 ||
               strncmp(c->kds_url, "http://", 7) == 0,
           err, CONFIG, "CONTRAST_KDS_URL: want https://HOST, http://HOST or off, got '%.80s'",
           c->kds_url);
    TRY(read_text(get, "CONTRAST_KDS_CA_FILE", "", c->kds_ca_file, sizeof c->kds_ca_file, err));
    TRY(read_text(get, "CONTRAST_ENDORSEMENTS", "", c->endorsements, sizeof c->endorsements, err));
    return read_text(get, "CONTRAST_STATE_DIR", "", c->state_dir, sizeof c->state_dir, err);
}

static RESULT read_threads(const char *(*get)(const char *), struct config *c, struct err *err) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned long threads = cpus < 1 ? 1 : cpus > 8 ? 8 : (unsigned long)cpus;
    const char *value = get("CONTRAST_SESSION_THREADS");
    if (value != NULL) {
        TRY(setting_number("CONTRAST_SESSION_THREADS", value, 1, 64, &threads, err));
    }
    c->session_threads = (unsigned)threads;
    unsigned long leave = 10000;
    const char *patience = get("CONTRAST_LEAVE_MS");
    if (patience != NULL) {
        TRY(setting_number("CONTRAST_LEAVE_MS", patience, 0, 600000, &leave, err));
    }
    c->leave_ms = leave;
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
    r = is_ok(r) ? read_endorsements(get, c, err) : r;
    r = is_ok(r) ? read_threads(get, c, err) : r;
    const char *peers = get("CONTRAST_PEERS");
    if (is_ok(r) && peers != NULL) {
        r = read_peers(peers, c, err);
    }
    if (is_ok(r)) {
        *out = *c;
    }
    mem_free(c);
    return r;
}
