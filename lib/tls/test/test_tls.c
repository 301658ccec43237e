/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/base/limits.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/digest.h"
#include "lib/tls/tls.h"

struct end {
    struct key key;
    struct buf certificate;
    struct tls_context *context;
    struct tls *tls;
};

struct fixture {
    struct end client;
    struct end server;
};

static void open_end(struct end *end, bool is_server, tls_accept_cb accept, void *data) {
    assert_true(is_ok(key_generate(KEY_P256, &end->key, NULL)));
    assert_true(is_ok(cert_self_signed(&end->key, &end->certificate, NULL)));
    const struct tls_config config = {.is_server = is_server,
                                      .key = &end->key,
                                      .certificate = buf_span(&end->certificate),
                                      .require_peer_certificate = true,
                                      .accept_peer = accept,
                                      .data = data};
    assert_true(is_ok(tls_context_new(&config, &end->context, NULL)));
    assert_true(is_ok(tls_new(end->context, &end->tls, NULL)));
}

static void close_end(struct end *end) {
    tls_free(end->tls);
    tls_context_free(end->context);
    buf_deinit(&end->certificate);
    key_deinit(&end->key);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    open_end(&f->client, false, NULL, NULL);
    open_end(&f->server, true, NULL, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    close_end(&f->client);
    close_end(&f->server);
    free(f);
    return 0;
}

static size_t carry(struct tls *from, struct tls *to) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    tls_take_output(from, &bytes);
    assert_true(is_ok(tls_feed(to, buf_span(&bytes), NULL)));
    return bytes.size;
}

/* Carries bytes until nothing moves; the first failure of either end is returned. */
static struct result shake(struct tls *client, struct tls *server, struct err *err) {
    size_t moved = 0;
    do {
        struct result r = tls_step(client, err);
        if (!is_ok(r)) {
            return r;
        }
        moved = carry(client, server);
        r = tls_step(server, err);
        if (!is_ok(r)) {
            return r;
        }
        moved += carry(server, client);
    } while (moved > 0);
    return OK;
}

static void connect_ends(struct fixture *f) {
    assert_true(is_ok(shake(f->client.tls, f->server.tls, NULL)));
    assert_true(tls_is_ready(f->client.tls) && tls_is_ready(f->server.tls));
}

static void send_over(struct tls *from, struct tls *to, struct span plain) {
    bool closed = false;
    AUTO(buf_deinit)
    struct buf got = {0};
    for (size_t at = 0; at < plain.size;) {
        size_t n = plain.size - at < 100000 ? plain.size - at : 100000;
        assert_true(is_ok(tls_write(from, span_of(plain.data + at, n), NULL)));
        carry(from, to);
        assert_true(is_ok(tls_read(to, &got, &closed, NULL)));
        at += n;
    }
    assert_false(closed);
    assert_true(span_equal(buf_span(&got), plain));
}

static void test_data_goes_both_ways(void **state) {
    struct fixture *f = *state;
    connect_ends(f);
    AUTO(buf_deinit)
    struct buf large = {0};
    memset(buf_extend(&large, 1024 * 1024 + 17), 0x5a, 1024 * 1024 + 17);
    send_over(f->client.tls, f->server.tls, buf_span(&large));
    send_over(f->server.tls, f->client.tls, buf_span(&large));
    send_over(f->server.tls, f->client.tls, span_str("x"));
    assert_true(tls_is_server(f->server.tls) && !tls_is_server(f->client.tls));
}

static void test_both_ends_export_the_same_and_name_each_other(void **state) {
    struct fixture *f = *state;
    connect_ends(f);
    uint8_t a[48];
    uint8_t b[48];
    tls_exporter(f->client.tls, a);
    tls_exporter(f->server.tls, b);
    assert_memory_equal(a, b, 32);
    tls_local_spki_sha384(f->client.tls, a);
    tls_peer_spki_sha384(f->server.tls, b);
    assert_memory_equal(a, b, 48);
    tls_local_spki_sha384(f->server.tls, a);
    assert_memory_not_equal(a, b, 48);
    tls_peer_spki_sha384(f->client.tls, b);
    assert_memory_equal(a, b, 48);
    AUTO(buf_deinit)
    struct buf spki = {0};
    AUTO(buf_deinit)
    struct buf want = {0};
    tls_peer_spki(f->client.tls, &spki);
    key_spki(&f->server.key, &want);
    assert_true(span_equal(buf_span(&spki), buf_span(&want)));
}

static void test_each_connection_has_its_own_exporter(void **state) {
    struct fixture *f = *state;
    connect_ends(f);
    struct tls *client = NULL;
    struct tls *server = NULL;
    assert_true(is_ok(tls_new(f->client.context, &client, NULL)));
    assert_true(is_ok(tls_new(f->server.context, &server, NULL)));
    assert_true(is_ok(shake(client, server, NULL)));
    uint8_t first[32];
    uint8_t second[32];
    tls_exporter(f->client.tls, first);
    tls_exporter(client, second);
    assert_memory_not_equal(first, second, 32);
    tls_free(client);
    tls_free(server);
}

static bool is_pinned(void *data, struct span spki) {
    return span_equal(spki, *(const struct span *)data);
}

static void test_a_pin_decides(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf good = {0};
    AUTO(buf_deinit)
    struct buf other = {0};
    key_spki(&f->server.key, &good);
    key_spki(&f->client.key, &other);
    struct span pin = buf_span(&good);
    tls_set_accept_peer(f->client.tls, is_pinned, &pin);
    connect_ends(f);
    struct tls *client = NULL;
    struct tls *server = NULL;
    struct span wrong = buf_span(&other);
    struct err err;
    assert_true(is_ok(tls_new(f->client.context, &client, NULL)));
    assert_true(is_ok(tls_new(f->server.context, &server, NULL)));
    tls_set_accept_peer(client, is_pinned, &wrong);
    assert_int_equal(shake(client, server, &err).code, ERR_TLS);
    assert_string_equal(err.text, "TLS handshake: certificate verify failed");
    assert_true(tls_has_output(client)); /* the alert */
    assert_false(tls_is_ready(client));
    assert_int_equal(tls_step(client, &err).code, ERR_TLS);
    tls_free(client);
    tls_free(server);
}

static void test_a_server_pins_too(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf other = {0};
    key_spki(&f->server.key, &other);
    struct span wrong = buf_span(&other);
    struct err err;
    tls_set_accept_peer(f->server.tls, is_pinned, &wrong);
    assert_int_equal(shake(f->client.tls, f->server.tls, &err).code, ERR_TLS);
    assert_false(tls_is_ready(f->server.tls));
    carry(f->server.tls, f->client.tls);
    AUTO(buf_deinit)
    struct buf plain = {0};
    bool closed = false;
    assert_int_equal(tls_read(f->client.tls, &plain, &closed, &err).code, ERR_TLS);
}

static void test_garbage_fails(void **state) {
    struct fixture *f = *state;
    struct err err;
    assert_true(is_ok(tls_feed(f->server.tls, span_str("GET / HTTP/1.1\r\n\r\n"), NULL)));
    assert_int_equal(tls_step(f->server.tls, &err).code, ERR_TLS);
    assert_int_equal(tls_feed(f->server.tls, span_str("x"), &err).code, ERR_TLS);
}

static void test_a_changed_byte_fails(void **state) {
    struct fixture *f = *state;
    connect_ends(f);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(buf_deinit)
    struct buf plain = {0};
    bool closed = false;
    assert_true(is_ok(tls_write(f->client.tls, span_str("hello"), NULL)));
    tls_take_output(f->client.tls, &bytes);
    bytes.data[bytes.size - 1] ^= 1;
    assert_true(is_ok(tls_feed(f->server.tls, buf_span(&bytes), NULL)));
    assert_int_equal(tls_read(f->server.tls, &plain, &closed, NULL).code, ERR_TLS);
    assert_int_equal(plain.size, 0);
}

static void test_an_end_without_goodbye_is_told_from_one_with(void **state) {
    struct fixture *f = *state;
    connect_ends(f);
    struct err err;
    AUTO(buf_deinit)
    struct buf plain = {0};
    bool closed = true;
    assert_true(is_ok(tls_read(f->server.tls, &plain, &closed, NULL)));
    assert_false(closed);
    assert_int_equal(tls_eof(f->server.tls, &err).code, ERR_CLOSED);
    assert_true(is_ok(tls_write(f->client.tls, span_str("bye"), NULL)));
    tls_close_notify(f->client.tls);
    tls_close_notify(f->client.tls);
    assert_int_equal(tls_write(f->client.tls, span_str("x"), &err).code, ERR_PROTOCOL);
    carry(f->client.tls, f->server.tls);
    assert_true(is_ok(tls_read(f->server.tls, &plain, &closed, NULL)));
    assert_true(closed && span_equal(buf_span(&plain), span_str("bye")));
    assert_true(is_ok(tls_eof(f->server.tls, NULL)));
}

static void test_input_is_bounded(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf much = {0};
    memset(buf_extend(&much, LIMIT_TLS_INPUT), 0, LIMIT_TLS_INPUT);
    assert_true(is_ok(tls_feed(f->server.tls, buf_span(&much), NULL)));
    assert_int_equal(tls_feed(f->server.tls, span_str("x"), NULL).code, ERR_TOO_LARGE);
}

static void test_certificate_of_another_key_is_refused(void **state) {
    struct fixture *f = *state;
    struct tls_context *context = NULL;
    const struct tls_config config = {.key = &f->client.key,
                                      .certificate = buf_span(&f->server.certificate)};
    assert_int_equal(tls_context_new(&config, &context, NULL).code, ERR_CONFIG);
    assert_null(context);
}

/* --- Foreign clients, straight on OpenSSL */

struct foreign {
    SSL_CTX *ctx;
    SSL *ssl;
};

static char both_groups[] = "X25519:P-256";
static char x25519[] = "X25519";
static char p256[] = "P-256";
static char p521[] = "P-521";

static struct foreign foreign_client(int version, char *groups) {
    struct foreign c = {.ctx = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_min_proto_version(c.ctx, version);
    SSL_CTX_set_max_proto_version(c.ctx, version);
    assert_int_equal(SSL_CTX_set1_groups_list(c.ctx, groups), 1);
    c.ssl = SSL_new(c.ctx);
    SSL_set_bio(c.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(c.ssl);
    return c;
}

static void free_foreign(struct foreign *c) {
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
}

/* Shakes hands until the server is ready or fails; then the client reads what came of it. */
static struct result shake_foreign(struct foreign *c, struct tls *server, struct err *err) {
    struct result r = OK;
    char byte = 0;
    for (int round = 0; round < 4 && is_ok(r) && !tls_is_ready(server); round++) {
        char *data = NULL;
        SSL_do_handshake(c->ssl);
        long n = BIO_get_mem_data(SSL_get_wbio(c->ssl), &data);
        assert_true(is_ok(tls_feed(server, span_of(data, (size_t)n), NULL)));
        (void)BIO_reset(SSL_get_wbio(c->ssl));
        r = tls_step(server, err);
        AUTO(buf_deinit)
        struct buf out = {0};
        tls_take_output(server, &out);
        assert_int_equal(BIO_write(SSL_get_rbio(c->ssl), out.data, (int)out.size), out.size);
    }
    ERR_clear_error();
    SSL_read(c->ssl, &byte, 1);
    return r;
}

static void test_tls_1_2_is_refused_with_an_alert(void **state) {
    struct fixture *f = *state;
    AUTO(free_foreign)
    struct foreign c = foreign_client(TLS1_2_VERSION, both_groups);
    struct err err;
    assert_int_equal(shake_foreign(&c, f->server.tls, &err).code, ERR_TLS);
    assert_string_equal(err.text, "TLS handshake: unsupported protocol");
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    ERR_clear_error();
}

static void test_other_groups_are_refused(void **state) {
    struct fixture *f = *state;
    AUTO(free_foreign)
    struct foreign c = foreign_client(TLS1_3_VERSION, p521);
    struct err err;
    assert_int_equal(shake_foreign(&c, f->server.tls, &err).code, ERR_TLS);
    assert_string_equal(err.text, "TLS handshake: no suitable key share");
    ERR_clear_error();
}

static void test_no_certificate_is_refused_with_an_alert(void **state) {
    struct fixture *f = *state;
    AUTO(free_foreign)
    struct foreign c = foreign_client(TLS1_3_VERSION, p256);
    struct err err;
    assert_int_equal(shake_foreign(&c, f->server.tls, &err).code, ERR_TLS);
    assert_string_equal(err.text, "TLS handshake: peer did not return a certificate");
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED);
    assert_false(tls_is_ready(f->server.tls));
    ERR_clear_error();
}

static void test_no_tickets_are_sent(void **state) {
    struct fixture *f = *state;
    AUTO(free_foreign)
    struct foreign c = foreign_client(TLS1_3_VERSION, x25519);
    SSL_use_certificate_ASN1(c.ssl, f->client.certificate.data, (int)f->client.certificate.size);
    SSL_use_PrivateKey(c.ssl, f->client.key.pkey);
    assert_true(is_ok(shake_foreign(&c, f->server.tls, NULL)));
    assert_true(tls_is_ready(f->server.tls));
    assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(c.ssl)), 0);
    ERR_clear_error();
}

/* A certificate that another key issued is not self-signed. */
static void test_an_issued_certificate_is_refused(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf issued = {0};
    static const uint8_t serial[] = {1};
    const struct cert_spec spec = {.subject = "leaf",
                                   .issuer = "somebody",
                                   .serial = SPAN(serial),
                                   .not_before = 0,
                                   .not_after = 4000000000};
    assert_true(is_ok(cert_build(&spec, &f->client.key, &f->server.key, &issued, NULL)));
    AUTO(free_foreign)
    struct foreign c = foreign_client(TLS1_3_VERSION, x25519);
    SSL_use_certificate_ASN1(c.ssl, issued.data, (int)issued.size);
    SSL_use_PrivateKey(c.ssl, f->client.key.pkey);
    assert_int_equal(shake_foreign(&c, f->server.tls, NULL).code, ERR_TLS);
    ERR_clear_error();
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_data_goes_both_ways),
        T(test_both_ends_export_the_same_and_name_each_other),
        T(test_each_connection_has_its_own_exporter),
        T(test_a_pin_decides),
        T(test_a_server_pins_too),
        T(test_garbage_fails),
        T(test_a_changed_byte_fails),
        T(test_an_end_without_goodbye_is_told_from_one_with),
        T(test_input_is_bounded),
        T(test_certificate_of_another_key_is_refused),
        T(test_tls_1_2_is_refused_with_an_alert),
        T(test_other_groups_are_refused),
        T(test_no_certificate_is_refused_with_an_alert),
        T(test_no_tickets_are_sent),
        T(test_an_issued_certificate_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
