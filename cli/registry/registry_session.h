/* Sessions with registries: the pull half of the OCI distribution specification 1.1, with patience.
 *
 *   GET -> 401 -> challenge -> credentials -> token -> GET -> [429, 5xx, torn: wait, again] ->
 * bytes
 *
 * A document comes whole; a blob is streamed once, and what was torn is resumed where it stopped
 * (Range). Whatever the server says about digests is only its word: callers hash what they got.
 * Failures in a row that bring nothing are bounded by LIMIT_REGISTRY_ATTEMPTS; the pauses double,
 * with jitter, and are never shorter than Retry-After (longer than LIMIT_REGISTRY_RETRY_MS: gives
 * up, with that advice in the error).
 *
 * One thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_SESSION_H
#define CONTRAST_REGISTRY_SESSION_H

#include "cli/registry/image_ref.h"
#include "cli/registry/registry_http.h"
#include "cli/registry/registry_login.h"
#include "lib/base/host.h"

/* Where the images of `host` are asked for instead: "https://mirror.example/prefix" becomes
 * https://mirror.example/v2/prefix/NAME/...; http:// is allowed here, since it is spelled out. */
struct registry_mirror {
    const char *host; /* as in image_ref: "docker.io" */
    const char *url;
};

/* Copied by registry_session_open, lists too; `login` is borrowed. */
struct registry_session_config {
    struct registry_http_config http;
    struct registry_login *login; /* may be shared by sessions of several threads */
    const char *const *insecure;  /* hosts that are spoken to over plain http */
    size_t insecure_count;
    const struct registry_mirror *mirrors;
    size_t mirror_count;
    const struct host *host;               /* time and jitter; NULL = host_system */
    void *data;                            /* for the two below */
    void (*wait)(void *data, uint64_t ms); /* returns then, or when it is over */
    bool (*is_over)(void *data);           /* all sessions with it; NULL = never */
};

struct registry_session;

/* CONFIG: a mirror's address. */
RESULT registry_session_open(const struct registry_session_config *config,
                             struct registry_session **out, struct err *err);
void registry_session_close(struct registry_session *s); /* accepts NULL */

enum registry_part { REGISTRY_MANIFEST, REGISTRY_BLOB };

struct registry_document {
    struct buf body;        /* owned */
    char content_type[128]; /* "" when unknown */
    bool is_cached;         /* never by a session: for callers that have it from elsewhere */
};
void registry_document_deinit(struct registry_document *d); /* accepts zeroed */

/* A manifest or config of at most LIMIT_REGISTRY_DOCUMENT bytes; `name` is a digest's text or a
 * tag. NOT_FOUND, CONFIG (credentials), UNAVAILABLE, BUSY, TLS, MALFORMED, TOO_LARGE, CANCELED. */
RESULT registry_session_document(struct registry_session *s, const struct image_ref *ref,
                                 enum registry_part part, const char *name,
                                 struct registry_document *out, struct err *err);

/* Receives a blob from its first byte to its last, each byte once. `is_over` (may be NULL): true
 * ends it with CANCELED, at the latest after a second. */
struct registry_consumer {
    void *data;
    bool (*is_over)(void *data);
    RESULT (*feed)(void *data, struct span bytes, struct err *err);
};

/* Exactly `size` bytes, else DIFFERS. Errors as above, and the consumer's. */
RESULT registry_session_blob(struct registry_session *s, const struct image_ref *ref,
                             const uint8_t digest[SHA256_SIZE], uint64_t size,
                             const struct registry_consumer *consumer, struct err *err);

#endif
