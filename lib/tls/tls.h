/* TLS: an engine of TLS 1.3 over memory, bytes in and bytes out, for both sides of every link.
 *
 *     transport -> tls_feed -> tls_step until tls_is_ready -> tls_read  -> plaintext
 *     transport <- tls_take_output (after every call)       <- tls_write <- plaintext
 *
 * Only TLS 1.3 (RFC 8446); groups X25519, then P-256; no session resumption, no tickets, no early
 * data. Both ends present one ephemeral self-signed certificate; what it says is not looked at. The
 * peer proves possession of the key (CertificateVerify), and the caller judges the key: links pin
 * it with accept_peer, sessions attest it afterwards (ARCHITECTURE section 4).
 *
 * Failures are ERR_TLS with OpenSSL's reason; the alert for the peer is then in the output, and the
 * engine takes nothing more. A client is ready before the server has judged its certificate: a
 * refusal reaches it as a failing tls_read.
 *
 * Pure: no I/O, no clock. A tls_context may be shared by threads, a struct tls may not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TLS_H
#define CONTRAST_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/crypto/key.h"

#define TLS_EXPORTER_SIZE 32 /* bytes */
#define TLS_SPKI_HASH_SIZE 48

/* Judges the peer's key (canonical DER SubjectPublicKeyInfo) inside the handshake. */
typedef bool (*tls_accept_cb)(void *data, struct span peer_spki);

struct tls_config {
    bool is_server;
    const struct key *key;         /* private, P-256, P-384 or Ed25519; shared, not copied */
    struct span certificate;       /* DER, of `key`; copied */
    bool require_peer_certificate; /* servers: refuse clients without one; clients always do */
    tls_accept_cb accept_peer;     /* NULL: any key */
    void *data;                    /* of accept_peer; with threads it must be safe to share */
};

/* What connections of one kind share. Counted: tls_context_ref, tls_context_free; thread-safe. */
struct tls_context;
struct tls;

/* CONFIG when key and certificate do not fit each other. */
RESULT tls_context_new(const struct tls_config *config, struct tls_context **out, struct err *err);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_free(struct tls_context *context); /* one reference; accepts NULL */

/* One connection; holds a reference to the context. */
RESULT tls_new(struct tls_context *context, struct tls **out, struct err *err);
void tls_free(struct tls *tls); /* wipes; accepts NULL */

/* Replaces the context's accept_peer for this connection; before the first tls_step. */
void tls_set_accept_peer(struct tls *tls, tls_accept_cb accept_peer, void *data);

/* Takes bytes from the transport. TOO_LARGE if more than LIMIT_TLS_INPUT wait unread. */
RESULT tls_feed(struct tls *tls, struct span ciphertext, struct err *err);

/* Drives the handshake as far as the bytes allow; a client's first call makes its first flight.
 * Harmless once ready. */
RESULT tls_step(struct tls *tls, struct err *err);
bool tls_is_ready(const struct tls *tls);
bool tls_is_server(const struct tls *tls);

/* Encrypts all of `plain`; only when ready and before tls_close_notify, else PROTOCOL. */
RESULT tls_write(struct tls *tls, struct span plain, struct err *err);

/* Appends what can be decrypted now (maybe nothing). *closed: the peer's close_notify came. Bytes
 * that were decrypted before a failure are appended all the same. */
RESULT tls_read(struct tls *tls, struct buf *plain, bool *closed, struct err *err);

/* The transport ended. OK after the peer's close_notify, else CLOSED: bytes may be missing
 * (RFC 8446 section 6.1). */
RESULT tls_eof(const struct tls *tls, struct err *err);

/* Moves all bytes for the transport to the end of `ciphertext`. */
void tls_take_output(struct tls *tls, struct buf *ciphertext);
bool tls_has_output(const struct tls *tls);

/* Says the orderly goodbye; nothing more may be written. Harmless before ready and twice. */
void tls_close_notify(struct tls *tls);

/* --- Channel binding and the two keys; only when ready (CHECK). */

/* RFC 8446 section 7.5 with the label "EXPORTER-contrast-attest" and no context. */
void tls_exporter(const struct tls *tls, uint8_t out[TLS_EXPORTER_SIZE]);
/* SHA-384 of the DER SubjectPublicKeyInfo of this end and of the other. */
void tls_local_spki_sha384(const struct tls *tls, uint8_t out[TLS_SPKI_HASH_SIZE]);
void tls_peer_spki_sha384(const struct tls *tls, uint8_t out[TLS_SPKI_HASH_SIZE]);
/* Appends the peer's DER SubjectPublicKeyInfo; nothing if it showed no certificate. */
void tls_peer_spki(const struct tls *tls, struct buf *spki);
bool tls_has_peer_key(const struct tls *tls);

#endif
