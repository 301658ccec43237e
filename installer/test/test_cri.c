/* CRI: answers that are read, answers that are refused, and servers that talk nonsense.
 * A containerd's own answers are in test_installer_real.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "installer/cri.h"
#include "lib/base/limits.h"

#define LONG_MS 30000 /* for what ends of itself */
#define SHORT_MS 150  /* for what does not */

/* --- Messages: field 1 to 15, type 2, below 16 KiB */

static void put_bytes(struct buf *out, unsigned number, struct span bytes) {
    buf_append_u8(out, (uint8_t)(number << 3 | 2));
    if (bytes.size > 127) {
        buf_append_u8(out, (uint8_t)(0x80 | (bytes.size & 0x7f)));
    }
    buf_append_u8(out, (uint8_t)(bytes.size > 127 ? bytes.size >> 7 : bytes.size));
    buf_append_span(out, bytes);
}

static void put_text(struct buf *out, unsigned number, const char *text) {
    put_bytes(out, number, span_str(text));
}

static struct buf version_message(void) {
    struct buf m = {0};
    put_text(&m, 1, "0.1.0");
    put_text(&m, 2, "containerd");
    put_text(&m, 3, "1.6.20~ds1");
    put_text(&m, 4, "v1");
    return m;
}

static void put_condition(struct buf *status, const char *type, uint8_t is_true) {
    struct buf c = {0};
    put_text(&c, 1, type);
    const uint8_t flag[] = {2 << 3, is_true};
    buf_append(&c, flag, sizeof flag);
    put_bytes(status, 1, buf_span(&c));
    buf_deinit(&c);
}

/* 1.x says its runtimes in info["config"], 2.x also in field 3, the default one without a name. */
static struct buf status_message(uint8_t is_ready, const char *config) {
    struct buf m = {0};
    struct buf status = {0};
    struct buf entry = {0};
    struct buf handler = {0};
    put_condition(&status, "RuntimeReady", is_ready);
    put_condition(&status, "NetworkReady", 0);
    put_bytes(&m, 1, buf_span(&status));
    put_text(&entry, 1, "config");
    put_text(&entry, 2, config);
    put_bytes(&m, 2, buf_span(&entry));
    put_bytes(&m, 3, buf_span(&handler));
    put_text(&handler, 1, "from-field-3");
    put_bytes(&m, 3, buf_span(&handler));
    buf_deinit(&status);
    buf_deinit(&entry);
    buf_deinit(&handler);
    return m;
}

#define CONFIG "{\"containerd\":{\"runtimes\":{\"runc\":{},\"contrast-cc-a\":{\"x\":1}}}}"

static void test_version(void **state) {
    (void)state;
    struct buf m = version_message();
    struct cri_answer a = {0};
    assert_true(is_ok(cri_parse_version(buf_span(&m), &a, NULL)));
    assert_string_equal(a.runtime, "containerd");
    assert_string_equal(a.version, "1.6.20~ds1");
    for (size_t n = 0; n < m.size; n++) { /* a prefix has no version, or is cut off; or is whole */
        struct cri_answer b = {0};
        bool is_whole = is_ok(cri_parse_version(span_of(m.data, n), &b, NULL));
        assert_true(!is_whole || strcmp(b.version, "1.6.20~ds1") == 0);
    }
    buf_deinit(&m);
}

static void test_status(void **state) {
    (void)state;
    struct buf m = status_message(1, CONFIG);
    struct cri_answer a = {0};
    assert_true(is_ok(cri_parse_status(buf_span(&m), &a, NULL)));
    assert_true(a.is_ready);
    assert_int_equal(a.handler_count, 4);
    assert_true(cri_has_handler(&a, "runc") && cri_has_handler(&a, "contrast-cc-a"));
    assert_true(cri_has_handler(&a, "from-field-3") && cri_has_handler(&a, ""));
    assert_false(cri_has_handler(&a, "contrast-cc"));
    for (size_t n = 0; n < m.size; n++) { /* in place of the answer before, or it stays */
        err_ignore(cri_parse_status(span_of(m.data, n), &a, NULL), "a prefix may be whole");
    }
    cri_answer_deinit(&a);
    cri_answer_deinit(&a);
    buf_deinit(&m);
}

static void test_status_not_ready(void **state) {
    (void)state;
    struct buf m = status_message(0, "{\"containerd\":[1]}");
    struct cri_answer a = {0};
    assert_true(is_ok(cri_parse_status(buf_span(&m), &a, NULL)));
    assert_false(a.is_ready);
    assert_int_equal(a.handler_count, 2);
    cri_answer_deinit(&a);
    buf_deinit(&m);
    assert_true(is_ok(cri_parse_status(span_of(NULL, 0), &a, NULL)));
    assert_false(a.is_ready);
}

/* What info["config"] may be: nothing of it is an error, the handlers just are not there. */
static void test_odd_configs(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "{\"containerd\":null}", "\xff", "{\"containerd\":{\"runtimes\":\"runc\"}}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf m = status_message(1, texts[i]);
        struct cri_answer a = {0};
        assert_true(is_ok(cri_parse_status(buf_span(&m), &a, NULL)));
        assert_true(a.is_ready);
        assert_false(cri_has_handler(&a, "runc"));
        cri_answer_deinit(&a);
        buf_deinit(&m);
    }
}

static void test_too_many_handlers(void **state) {
    (void)state;
    struct buf m = {0};
    for (int i = 0; i < LIMIT_CRI_HANDLERS + 10; i++) {
        struct buf handler = {0};
        char name[16];
        (void)snprintf(name, sizeof name, "h%d", i);
        put_text(&handler, 1, name);
        put_bytes(&m, 3, buf_span(&handler));
        buf_deinit(&handler);
    }
    struct cri_answer a = {0};
    assert_true(is_ok(cri_parse_status(buf_span(&m), &a, NULL)));
    assert_int_equal(a.handler_count, LIMIT_CRI_HANDLERS);
    cri_answer_deinit(&a);
    buf_deinit(&m);
}

static void test_bad_messages(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {{"\x0a", 1},     {"\x0a\x05x", 3},        {"\x0b", 1},
                {"\x00\x00", 2}, {"\x0a\x02\x0a\x05", 4}, {"\x1a\x01\xff", 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cri_answer a = {.is_ready = true};
        struct err err;
        struct result r = cri_parse_status(span_of(rows[i].bytes, rows[i].size), &a, &err);
        assert_int_equal(r.code, ERR_MALFORMED);
        assert_true(a.is_ready); /* untouched */
    }
    struct err err;
    struct cri_answer a = {0};
    struct buf m = {0};
    put_text(&m, 2, "containerd");
    assert_int_equal(cri_parse_version(buf_span(&m), &a, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "no version"));
    buf_deinit(&m);
}

/* --- Servers: each connection gets its bytes, whatever was asked */

enum then { THEN_CLOSE, THEN_HOLD, THEN_REPEAT };

struct script {
    struct buf bytes;
    size_t chunk; /* bytes of one write; 0: all */
    enum then then;
};

struct server {
    char folder[32];
    char path[64];
    int fd;
    pthread_t thread;
    struct script scripts[2]; /* of the first and all further connections */
};

static void append_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
                         struct span body) {
    buf_append_u8(out, (uint8_t)(body.size >> 16));
    buf_append_u8(out, (uint8_t)(body.size >> 8));
    buf_append_u8(out, (uint8_t)body.size);
    buf_append_u8(out, type);
    buf_append_u8(out, flags);
    buf_append_u32be(out, stream);
    buf_append_span(out, body);
}

/* HPACK: literal without indexing, new name (RFC 7541 section 6.2.2). */
static void append_header(struct buf *block, const char *name, const char *value) {
    buf_append_u8(block, 0);
    buf_append_u8(block, (uint8_t)strlen(name));
    buf_append_str(block, name);
    buf_append_u8(block, (uint8_t)strlen(value));
    buf_append_str(block, value);
}

static void begin_answer(struct buf *out) {
    append_frame(out, 4, 0, 0, span_of(NULL, 0));   /* SETTINGS, and that ours are in force */
    append_frame(out, 4, 1, 0, span_of(NULL, 0));   /* SETTINGS */
    append_frame(out, 1, 4, 1, span_of("\x88", 1)); /* HEADERS: :status 200 */
}

static void append_message(struct buf *out, struct span message, uint8_t compressed, int longer) {
    struct buf data = {0};
    buf_append_u8(&data, compressed);
    buf_append_u32be(&data, (uint32_t)((int)message.size + longer));
    buf_append_span(&data, message);
    append_frame(out, 0, 0, 1, buf_span(&data));
    buf_deinit(&data);
}

static void end_answer(struct buf *out, const char *status, const char *message) {
    struct buf block = {0};
    append_header(&block, "grpc-status", status);
    append_header(&block, "grpc-message", message);
    append_frame(out, 1, 5, 1, buf_span(&block)); /* HEADERS: END_HEADERS, END_STREAM */
    buf_deinit(&block);
}

static struct buf whole_answer(struct span message) {
    struct buf out = {0};
    begin_answer(&out);
    append_message(&out, message, 0, 0);
    end_answer(&out, "0", "");
    return out;
}

static bool send_all(int fd, struct span bytes) {
    while (bytes.size > 0) {
        ssize_t n = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes = span_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return true;
}

/* Until the client closes. */
static void hold(int fd) {
    uint8_t dropped[4096];
    while (recv(fd, dropped, sizeof dropped, 0) > 0) {
    }
}

static void play(int fd, const struct script *s) {
    struct span rest = buf_span(&s->bytes);
    bool is_open = true;
    while (is_open && rest.size > 0) {
        size_t n = s->chunk > 0 && s->chunk < rest.size ? s->chunk : rest.size;
        is_open = send_all(fd, span_of(rest.data, n));
        rest = span_of(rest.data + n, rest.size - n);
        if (rest.size == 0 && s->then == THEN_REPEAT) {
            rest = buf_span(&s->bytes);
        }
    }
    if (s->then == THEN_HOLD) {
        hold(fd);
    }
}

static void *serve(void *data) {
    struct server *s = data;
    for (size_t i = 0;; i = 1) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        play(fd, &s->scripts[i]);
        (void)shutdown(fd, SHUT_WR); /* what was sent is read before the end */
        hold(fd);
        (void)close(fd);
    }
}

static void server_open(struct server *s) {
    (void)strcpy(s->folder, "/tmp/cri-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->path, sizeof s->path, "%s/s", s->folder);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", s->path);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_close(struct server *s) {
    (void)shutdown(s->fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    (void)close(s->fd);
    (void)unlink(s->path);
    (void)rmdir(s->folder);
    buf_deinit(&s->scripts[0].bytes);
    buf_deinit(&s->scripts[1].bytes);
}

/* What cri_ask_version makes of the script; takes its bytes. */
static struct result ask_with(struct buf bytes, size_t chunk, enum then then, unsigned timeout_ms,
                              struct err *err) {
    struct server s = {.scripts = {{bytes, chunk, then}}};
    server_open(&s);
    struct cri_answer a = {0};
    struct result r = cri_ask_version(s.path, timeout_ms, &a, err);
    assert_true(!is_ok(r) || strcmp(a.version, "1.6.20~ds1") == 0);
    assert_true(is_ok(r) || a.version[0] == '\0');
    cri_answer_deinit(&a);
    server_close(&s);
    return r;
}

static void test_whole_exchange(void **state) {
    (void)state;
    struct buf version = version_message();
    struct buf status = status_message(1, CONFIG);
    struct server s = {.scripts = {{whole_answer(buf_span(&version)), 0, THEN_HOLD},
                                   {whole_answer(buf_span(&status)), 7, THEN_HOLD}}};
    server_open(&s);
    struct cri_answer a = {0};
    struct err err;
    if (!is_ok(cri_ask(s.path, LONG_MS, &a, &err))) {
        fail_msg("%s", err.text);
    }
    assert_true(a.is_ready && cri_has_handler(&a, "contrast-cc-a"));
    assert_string_equal(a.version, "1.6.20~ds1");
    cri_answer_deinit(&a);
    server_close(&s);
    buf_deinit(&version);
    buf_deinit(&status);
}

static void test_byte_by_byte(void **state) {
    (void)state;
    struct buf version = version_message();
    assert_true(is_ok(ask_with(whole_answer(buf_span(&version)), 1, THEN_HOLD, LONG_MS, NULL)));
    buf_deinit(&version);
}

/* The connection ends after each byte of a good answer: no prefix is an answer. */
static void test_torn(void **state) {
    (void)state;
    struct buf version = version_message();
    struct buf whole = whole_answer(buf_span(&version));
    for (size_t n = 0; n < whole.size; n++) {
        struct buf part = {0};
        buf_append(&part, whole.data, n);
        struct err err;
        assert_int_equal(ask_with(part, 0, THEN_CLOSE, LONG_MS, &err).code, ERR_UNAVAILABLE);
    }
    buf_deinit(&whole);
    buf_deinit(&version);
}

static void test_no_http2(void **state) {
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n", "\x16\x03\x01\x02\x00",
        "hello, this is no framing at all, whatever you read in it"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf bytes = {0};
        buf_append_str(&bytes, texts[i]);
        struct err err;
        assert_int_equal(ask_with(bytes, 0, THEN_CLOSE, LONG_MS, &err).code, ERR_UNAVAILABLE);
        assert_non_null(strstr(err.text, "CRI"));
    }
}

static void test_silence(void **state) {
    (void)state;
    struct err err;
    assert_int_equal(ask_with((struct buf){0}, 0, THEN_HOLD, SHORT_MS, &err).code, ERR_TIMEOUT);
    struct buf begun = {0};
    begin_answer(&begun);
    assert_int_equal(ask_with(begun, 0, THEN_HOLD, SHORT_MS, &err).code, ERR_TIMEOUT);
}

static void test_data_without_end(void **state) {
    (void)state;
    static const uint8_t zeros[16000];
    struct buf bytes = {0};
    begin_answer(&bytes);
    for (size_t sent = 0; sent <= LIMIT_CRI_ANSWER; sent += sizeof zeros) {
        append_frame(&bytes, 0, 0, 1, SPAN(zeros));
    }
    struct err err;
    assert_int_equal(ask_with(bytes, 0, THEN_HOLD, LONG_MS, &err).code, ERR_TOO_LARGE);
}

/* Frames that carry nothing of the answer keep nobody busy for ever. */
static void test_frames_without_end(void **state) {
    (void)state;
    static const uint8_t zeros[16000];
    struct buf unknown = {0};
    append_frame(&unknown, 4, 0, 0, span_of(NULL, 0));
    append_frame(&unknown, 0xf0, 0, 0, SPAN(zeros));
    for (int i = 0; i < 8; i++) {
        append_frame(&unknown, 0xf0, 0, 0, SPAN(zeros));
    }
    struct err err;
    assert_false(is_ok(ask_with(unknown, 0, THEN_REPEAT, LONG_MS, &err)));
    assert_true(err.code == ERR_TOO_LARGE || err.code == ERR_UNAVAILABLE);
    struct buf updates = {0};
    append_frame(&updates, 4, 0, 0, span_of(NULL, 0));
    for (size_t size = 0; size <= 2 * LIMIT_CRI_ANSWER + 65536; size += 9 + 16000) {
        append_frame(&updates, 0xf0, 0, 0, SPAN(zeros));
    }
    assert_int_equal(ask_with(updates, 0, THEN_HOLD, LONG_MS, &err).code, ERR_TOO_LARGE);
}

static void test_ping_flood(void **state) {
    (void)state;
    static const uint8_t opaque[8];
    struct buf bytes = {0};
    append_frame(&bytes, 4, 0, 0, span_of(NULL, 0));
    for (int i = 0; i < 1000; i++) {
        append_frame(&bytes, 6, 0, 0, SPAN(opaque));
    }
    struct err err;
    assert_false(is_ok(ask_with(bytes, 0, THEN_HOLD, SHORT_MS, &err)));
}

static void test_statuses_of_grpc(void **state) {
    (void)state;
    static const struct {
        const char *status;
        const char *want;
    } rows[] = {{"12", "no such service (gRPC status 12)"},
                {"", "without an answer"},
                {"x", "without an answer"},
                {"-1", "without an answer"},
                {"00000000000000000000", "without an answer"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf version = version_message();
        struct buf bytes = {0};
        begin_answer(&bytes);
        append_message(&bytes, buf_span(&version), 0, 0);
        end_answer(&bytes, rows[i].status, "no such service");
        struct err err;
        assert_int_equal(ask_with(bytes, 0, THEN_HOLD, LONG_MS, &err).code, ERR_UNAVAILABLE);
        if (strstr(err.text, rows[i].want) == NULL) {
            fail_msg("%s: %s", rows[i].status, err.text);
        }
        buf_deinit(&version);
    }
}

static void test_messages_that_are_none(void **state) {
    (void)state;
    static const struct {
        uint8_t compressed;
        int longer;
    } rows[] = {{1, 0}, {0, 1}, {0, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf version = version_message();
        struct buf bytes = {0};
        begin_answer(&bytes);
        append_message(&bytes, buf_span(&version), rows[i].compressed, rows[i].longer);
        end_answer(&bytes, "0", "");
        struct err err;
        assert_int_equal(ask_with(bytes, 0, THEN_HOLD, LONG_MS, &err).code, ERR_MALFORMED);
        buf_deinit(&version);
    }
}

static void test_stream_reset(void **state) {
    (void)state;
    struct buf bytes = {0};
    begin_answer(&bytes);
    append_frame(&bytes, 3, 0, 1, span_of("\0\0\0\x08", 4)); /* RST_STREAM: CANCEL */
    struct err err;
    assert_int_equal(ask_with(bytes, 0, THEN_HOLD, LONG_MS, &err).code, ERR_UNAVAILABLE);
}

/* All of an answer is there but its end. */
static void test_reset_behind_a_status(void **state) {
    (void)state;
    struct buf version = version_message();
    struct buf bytes = {0};
    struct buf block = {0};
    append_frame(&bytes, 4, 0, 0, span_of(NULL, 0));
    buf_append_u8(&block, 0x88); /* :status 200 */
    append_header(&block, "grpc-status", "0");
    append_frame(&bytes, 1, 4, 1, buf_span(&block));
    append_message(&bytes, buf_span(&version), 0, 0);
    append_frame(&bytes, 3, 0, 1, span_of("\0\0\0\x08", 4)); /* RST_STREAM: CANCEL */
    struct err err;
    assert_int_equal(ask_with(bytes, 0, THEN_HOLD, LONG_MS, &err).code, ERR_UNAVAILABLE);
    buf_deinit(&block);
    buf_deinit(&version);
}

static void test_nobody(void **state) {
    (void)state;
    struct cri_answer a = {0};
    struct err err;
    assert_int_equal(cri_ask("/nowhere/s", SHORT_MS, &a, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "/nowhere/s: No such file"));
    char path[200];
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(cri_ask(path, SHORT_MS, &a, &err).code, ERR_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_status_not_ready),
        cmocka_unit_test(test_odd_configs),
        cmocka_unit_test(test_too_many_handlers),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_whole_exchange),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_no_http2),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_data_without_end),
        cmocka_unit_test(test_frames_without_end),
        cmocka_unit_test(test_ping_flood),
        cmocka_unit_test(test_statuses_of_grpc),
        cmocka_unit_test(test_messages_that_are_none),
        cmocka_unit_test(test_stream_reset),
        cmocka_unit_test(test_reset_behind_a_status),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
