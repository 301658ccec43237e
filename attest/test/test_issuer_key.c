/* Issuer keys: the messages, the socket's protocol against a host that lies, and the source that
 * has to open another one. The device's own tests are in test_issuer_guest.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/issuer.h"

#define UNTOUCHED 0xEE

struct key_world {
    char folder[64];
    char spec[128];
    char *path; /* inside spec */
    int listener;
    struct buf answer;                        /* what the host will say */
    uint8_t request[ISSUER_KEY_MESSAGE_SIZE]; /* what it was asked */
    struct issuer *issuer;
    struct secret *key;
    struct err err;
};

static const struct issuer_key_spec sealing = {
    .root_key = ISSUER_ROOT_KEY_VCEK,
    .fields = ISSUER_FIELD_GUEST_POLICY | ISSUER_FIELD_MEASUREMENT | ISSUER_FIELD_TCB_VERSION,
    .vmpl = 1,
    .guest_svn = 0x01020304,
    .tcb_version = 0x1112131415161718};

static const uint8_t sealing_bytes[ISSUER_KEY_REQUEST_SIZE] = {
    0, 0, 0, 0, 0,    0,    0,    0,    0x29, 0,    0,    0,    0,    0,    0,    0,
    1, 0, 0, 0, 0x04, 0x03, 0x02, 0x01, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};

/* --- The host at the other end of a socket */

static void *play_host(void *data) {
    struct key_world *w = data;
    int fd = accept(w->listener, NULL, NULL);
    CHECK(fd >= 0);
    CHECK(recv(fd, w->request, sizeof w->request, MSG_WAITALL) == (ssize_t)sizeof w->request);
    if (w->answer.size > 0) {
        ssize_t sent = send(fd, w->answer.data, w->answer.size, MSG_NOSIGNAL);
        CHECK(sent <= (ssize_t)w->answer.size); /* the other end may have given up half-way */
    }
    close(fd);
    return NULL;
}

static int set_up(void **state) {
    struct key_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    strcpy(w->folder, "/tmp/contrast-issuer-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->spec, sizeof w->spec, "unix:%s/s", w->folder);
    w->path = w->spec + strlen("unix:");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", w->path);
    w->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(w->listener, 4), 0);
    assert_true(is_ok(issuer_open(w->spec, &w->issuer, &w->err)));
    w->key = secret_new(ISSUER_KEY_SIZE);
    memset(secret_data(w->key), UNTOUCHED, ISSUER_KEY_SIZE);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct key_world *w = *state;
    issuer_close(w->issuer);
    secret_free(w->key);
    buf_deinit(&w->answer);
    close(w->listener);
    unlink(w->path);
    rmdir(w->folder);
    free(w);
    return 0;
}

static struct result ask(struct key_world *w) {
    pthread_t host;
    assert_int_equal(pthread_create(&host, NULL, play_host, w), 0);
    struct result r = issuer_derive_key(w->issuer, &sealing, w->key, &w->err);
    assert_int_equal(pthread_join(host, NULL), 0);
    buf_clear(&w->answer);
    return r;
}

static void expect_untouched(const struct key_world *w) {
    uint8_t before[ISSUER_KEY_SIZE];
    memset(before, UNTOUCHED, sizeof before);
    assert_true(span_equal(secret_span(w->key), SPAN(before)));
}

static void check_failure(const struct key_world *w, struct result r, enum err_code code,
                          const char *text) {
    if (r.code != code || strstr(w->err.text, text) == NULL) {
        fail_msg("got %s '%s', want %s '%s'", err_name(r.code), w->err.text, err_name(code), text);
    }
    expect_untouched(w);
}

static void expect_failure(struct key_world *w, enum err_code code, const char *text) {
    struct result r = ask(w);
    check_failure(w, r, code, text);
}

static void add_status(struct key_world *w, uint32_t status) {
    buf_append_str(&w->answer, ISSUER_ANSWER_MAGIC);
    buf_append_u32be(&w->answer, status);
}

static void make_response(uint32_t status, uint8_t first, uint8_t out[ISSUER_KEY_RESPONSE_SIZE]) {
    memset(out, 0, ISSUER_KEY_RESPONSE_SIZE);
    store_u32le(out, status);
    out[32] = first;
    out[63] = first;
}

/* What an honest host says, but for the status of its processor and the key's end bytes. */
static void add_answer(struct key_world *w, uint32_t status, uint8_t first) {
    uint8_t response[ISSUER_KEY_RESPONSE_SIZE];
    make_response(status, first, response);
    add_status(w, ISSUER_STATUS_OK);
    buf_append_u32be(&w->answer, sizeof response);
    buf_append_span(&w->answer, SPAN(response));
}

static void test_socket_asks_and_takes(void **state) {
    struct key_world *w = *state;
    add_answer(w, 0, 0x77);
    assert_true(is_ok(ask(w)));
    assert_memory_equal(w->request, "SNPK\0\0\0\1", 8);
    assert_memory_equal(w->request + 8, sealing_bytes, sizeof sealing_bytes);
    assert_int_equal(secret_data(w->key)[0], 0x77);
    assert_int_equal(secret_data(w->key)[1], 0);
    assert_int_equal(secret_data(w->key)[31], 0x77);
}

static void test_socket_statuses(void **state) {
    struct key_world *w = *state;
    add_status(w, ISSUER_STATUS_BUSY);
    expect_failure(w, ERR_BUSY, "the host throttles derived keys");
    add_status(w, ISSUER_STATUS_REFUSED);
    expect_failure(w, ERR_UNAVAILABLE, "refused");
    add_status(w, 3);
    expect_failure(w, ERR_MALFORMED, "unknown status 3");
    add_answer(w, 0x16, 0x77);
    expect_failure(w, ERR_UNAVAILABLE, "status 0x16");
}

static void test_socket_garbage(void **state) {
    struct key_world *w = *state;
    static const uint32_t sizes[] = {0, 32, 63, 65, 1184, UINT32_MAX};
    buf_append_str(&w->answer, "HTTP/1.1 200 OK\r\n");
    expect_failure(w, ERR_MALFORMED, "does not start with SNPA");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "has %u bytes, want 64", (unsigned)sizes[i]);
        add_answer(w, 0, 0x77);
        store_u32be(w->answer.data + 8, sizes[i]);
        expect_failure(w, ERR_MALFORMED, text);
    }
}

static void test_socket_every_prefix(void **state) {
    struct key_world *w = *state;
    AUTO(buf_deinit)
    struct buf whole = {0};
    add_answer(w, 0, 0x77);
    buf_append_span(&whole, buf_span(&w->answer));
    for (size_t n = 0; n < whole.size; n++) {
        buf_clear(&w->answer);
        buf_append(&w->answer, whole.data, n);
        expect_failure(w, ERR_UNAVAILABLE, "the host closed at byte");
    }
}

static void test_socket_gone(void **state) {
    struct key_world *w = *state;
    unlink(w->path);
    check_failure(w, issuer_derive_key(w->issuer, &sealing, w->key, &w->err), ERR_UNAVAILABLE,
                  w->path);
}

/* --- The messages */

static void test_request_is_amds(void **state) {
    uint8_t request[ISSUER_KEY_REQUEST_SIZE];
    struct issuer_key_spec migrated = {.root_key = ISSUER_ROOT_KEY_VMRK, .fields = 0x3F};
    (void)state;
    assert_true(is_ok(issuer_key_encode(&sealing, request, NULL)));
    assert_memory_equal(request, sealing_bytes, sizeof request);
    assert_true(is_ok(issuer_key_encode(&migrated, request, NULL)));
    assert_int_equal(load_u32le(request), 1);
    assert_int_equal(load_u64le(request + 8), 0x3F);
    assert_true(span_is_zero(span_of(request + 16, 16)));
}

/* Found before anybody is asked: there is no host. */
static void test_impossible_specs(void **state) {
    struct key_world *w = *state;
    static const struct {
        struct issuer_key_spec spec;
        const char *text;
    } rows[] = {
        {{.root_key = (enum issuer_root_key)2}, "there is no root key 2"},
        {{.fields = 0x40}, "GUEST_FIELD_SELECT 0x40 has unknown bits, known are 0x3f"},
        {{.fields = UINT64_MAX}, "0xffffffffffffffff"},
        {{.vmpl = 4}, "there is no VMPL 4"},
        {{.vmpl = UINT32_MAX}, "there is no VMPL 4294967295"},
    };
    unlink(w->path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_failure(w, issuer_derive_key(w->issuer, &rows[i].spec, w->key, &w->err), ERR_INVALID,
                      rows[i].text);
    }
}

static void test_responses(void **state) {
    struct key_world *w = *state;
    static const struct {
        uint32_t status;
        enum err_code code;
        const char *text;
    } rows[] = {
        {0x16, ERR_UNAVAILABLE, "wrong parameter (status 0x16)"},
        {0x27, ERR_UNAVAILABLE, "root key is not there (status 0x27)"},
        {1, ERR_UNAVAILABLE, "status 0x1"},
        {0x01000000, ERR_UNAVAILABLE, "status 0x1000000"},
        {UINT32_MAX, ERR_UNAVAILABLE, "status 0xffffffff"},
    };
    uint8_t response[ISSUER_KEY_RESPONSE_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_response(rows[i].status, 0x77, response);
        check_failure(w, issuer_key_parse(response, w->key, &w->err), rows[i].code, rows[i].text);
    }
    make_response(0, 0, response);
    check_failure(w, issuer_key_parse(response, w->key, &w->err), ERR_MALFORMED, "all zeros");
    memset(response + 4, 0xFF, 28); /* reserved: of no matter */
    response[63] = 1;
    assert_true(is_ok(issuer_key_parse(response, w->key, &w->err)));
    assert_true(span_equal(secret_span(w->key), span_of(response + 32, ISSUER_KEY_SIZE)));
}

/* --- A source that derives no keys */

struct other {
    unsigned opened;
    unsigned closed;
    unsigned asked;
    bool is_absent;
};

static struct other other;

static struct result other_open(const char *rest, void **state, struct err *err) {
    assert_string_equal(rest, "");
    ENSURE(!other.is_absent, err, UNAVAILABLE, "/dev/other: No such file or directory");
    other.opened++;
    *state = &other;
    return OK;
}

static struct result other_derive(void *state, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
                                  uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct err *err) {
    struct other *o = state;
    (void)err;
    o->asked++;
    assert_memory_equal(request, sealing_bytes, ISSUER_KEY_REQUEST_SIZE);
    make_response(0, (uint8_t)o->asked, response);
    return OK;
}

static void other_close(void *state) {
    struct other *o = state;
    o->closed++;
}

static void no_close(void *state) {
    (void)state;
}

static const struct issuer_driver other_driver = {
    .prefix = "other:", .open = other_open, .derive = other_derive, .close = other_close};
static const struct issuer_driver bare_driver = {
    .prefix = "bare:", .keys = &other_driver, .close = no_close};

static void test_the_device_stands_in(void **state) {
    struct key_world *w = *state;
    other = (struct other){.is_absent = true};
    issuer_close(w->issuer);
    w->issuer = issuer_new(&bare_driver, NULL);
    for (int i = 0; i < 2; i++) {
        check_failure(w, issuer_derive_key(w->issuer, &sealing, w->key, &w->err), ERR_UNAVAILABLE,
                      "bare: derives no keys; the device that does is needed beside it: "
                      "/dev/other: No such file");
    }
    other.is_absent = false; /* it comes later: looked for again, opened once */
    for (unsigned i = 1; i <= 2; i++) {
        assert_true(is_ok(issuer_derive_key(w->issuer, &sealing, w->key, &w->err)));
        assert_int_equal(secret_data(w->key)[0], i);
    }
    assert_int_equal(other.opened, 1);
    issuer_close(w->issuer);
    w->issuer = NULL;
    assert_int_equal(other.closed, 1);
    assert_ptr_equal(issuer_tsm.keys, &issuer_guest);
}

#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_HOST(test_socket_asks_and_takes), WITH_HOST(test_socket_statuses),
        WITH_HOST(test_socket_garbage),        WITH_HOST(test_socket_every_prefix),
        WITH_HOST(test_socket_gone),           cmocka_unit_test(test_request_is_amds),
        WITH_HOST(test_impossible_specs),      WITH_HOST(test_responses),
        WITH_HOST(test_the_device_stands_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
