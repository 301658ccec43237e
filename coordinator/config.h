/* Config: what a Coordinator is told by its environment.
 *
 * The owner key digests and permitted roots lie in the pod's environment, hence in its runtime
 * policy, hence in its HOST_DATA: the host cannot change them without changing the identity.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONFIG_H
#define CONTRAST_CONFIG_H

#include "lib/base/bytes.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

struct config_peer {
    char host[LIMIT_ADDRESS + 1];
    uint16_t port;
};

struct config {
    char name[LIMIT_NAME + 1];       /* a label; the pod's name */
    char listen[LIMIT_ADDRESS + 1];  /* address to listen on */
    char address[LIMIT_ADDRESS + 1]; /* host:port at which peers reach the Raft port */
    uint16_t user_port;
    uint16_t mesh_port;
    uint16_t raft_port;
    struct config_peer peers[LIMIT_MEMBERS]; /* mesh API of the other replicas; may name itself */
    size_t peer_count;
    uint8_t owner_digests[LIMIT_OWNER_KEYS][32];
    size_t owner_count;
    uint8_t permitted_roots[LIMIT_REFERENCE_VALUES][32]; /* simulated roots it may ever trust */
    size_t permitted_root_count;
    char issuer[LIMIT_ADDRESS + 1];    /* attest/issuer.h */
    char kds_url[LIMIT_KDS_URL];       /* AMD's key service; "off" = never asked */
    char kds_ca_file[LIMIT_PATH + 1];  /* "" = the system's authorities */
    char endorsements[LIMIT_PATH + 1]; /* folder or file of certificates and lists; "" = none */
    char state_dir[LIMIT_PATH + 1];    /* for a restart without people; "" = nothing is kept */
    unsigned session_threads;
    uint64_t leave_ms; /* a replica that is told to end waits so long for its replacement */
    enum log_level log_level;
};

/* Reads the environment through `get` (getenv in the program). CONFIG names the variable, the value
 * and what is wanted. */
RESULT config_read(const char *(*get)(const char *name), struct config *out, struct err *err);

/* The text of --help: every variable, its default and meaning. */
extern const char config_help[];

#endif
