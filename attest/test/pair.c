/* Pair: see pair.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/test/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/crypto/cert.h"

void pair_end_init(struct pair_end *e) {
    AUTO(buf_deinit)
    struct buf der = {0};
    *e = (struct pair_end){0};
    assert_true(is_ok(key_generate(KEY_P256, &e->key, NULL)));
    assert_true(is_ok(cert_self_signed(&e->key, &der, NULL)));
    key_spki(&e->key, &e->spki);
    struct tls_config config = {
        .key = &e->key, .certificate = buf_span(&der), .require_peer_certificate = true};
    assert_true(is_ok(tls_context_new(&config, &e->client, NULL)));
    config.is_server = true;
    assert_true(is_ok(tls_context_new(&config, &e->server, NULL)));
}

void pair_end_deinit(struct pair_end *e) {
    key_deinit(&e->key);
    buf_deinit(&e->spki);
    tls_context_free(e->client);
    tls_context_free(e->server);
}

static void move(struct tls *from, struct tls *to) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    tls_take_output(from, &bytes);
    assert_true(is_ok(tls_feed(to, buf_span(&bytes), NULL)));
}

void pair_init(struct pair *l, struct pair_end *client, struct pair_end *server) {
    assert_true(is_ok(tls_new(client->client, &l->client, NULL)));
    assert_true(is_ok(tls_new(server->server, &l->server, NULL)));
    for (int i = 0; i < 5; i++) {
        assert_true(is_ok(tls_step(l->client, NULL)));
        move(l->client, l->server);
        assert_true(is_ok(tls_step(l->server, NULL)));
        move(l->server, l->client);
    }
    assert_true(tls_is_ready(l->client) && tls_is_ready(l->server));
    l->client_channel = attest_channel_of_tls(l->client);
    l->server_channel = attest_channel_of_tls(l->server);
}

void pair_deinit(struct pair *l) {
    tls_free(l->client);
    tls_free(l->server);
}
