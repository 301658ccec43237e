/* CRI: what the container runtime says of itself, over its own socket.
 *
 *   POST /runtime.v1.RuntimeService/Version, /Status     gRPC: HTTP/2 without TLS on a Unix socket
 *
 * Source: k8s.io/cri-api, runtime/v1/api.proto (VersionRequest, VersionResponse.runtime_name 2 and
 * .runtime_version 3; StatusRequest.verbose 1, StatusResponse.status 1, .info 2,
 * .runtime_handlers 3, of containerd 2.0 and later; info["config"] is JSON whose
 * containerd.runtimes has the handlers of all versions); gRPC over HTTP/2: 5 bytes (0, length) in
 * front of the message, grpc-status in the trailers.
 *
 * Everything of the answer is bounded: LIMIT_CRI_ANSWER bytes, a time for each call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CRI_H
#define CONTRAST_CRI_H

#include "lib/base/bytes.h"

struct cri_answer {
    char runtime[64];  /* "containerd" */
    char version[128]; /* "1.6.20~ds1", "v2.1.4-k3s1" */
    bool is_ready;     /* condition RuntimeReady */
    char **handlers;   /* owned; in the order of the answer; "" stands for the default one */
    size_t handler_count;
};
void cri_answer_deinit(struct cri_answer *a); /* accepts zeroed */

/* Asks for version, readiness and handlers. `socket` is a path of this process, not of the host.
 * UNAVAILABLE: nobody answers, or gRPC's status; MALFORMED, TOO_LARGE: the answer. */
RESULT cri_ask(const char *socket, unsigned timeout_ms, struct cri_answer *out, struct err *err);

/* Version alone; out->handlers stays empty. */
RESULT cri_ask_version(const char *socket, unsigned timeout_ms, struct cri_answer *out,
                       struct err *err);

/* The handlers of a StatusResponse (protobuf, without gRPC's 5 bytes); for tests and fuzzing. */
RESULT cri_parse_status(struct span message, struct cri_answer *out, struct err *err);
RESULT cri_parse_version(struct span message, struct cri_answer *out, struct err *err);

bool cri_has_handler(const struct cri_answer *a, const char *handler);

#endif
