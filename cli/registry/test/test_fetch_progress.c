/* Progress: JSON lines, and what a terminal shows of several layers at a time. The terminal is a
 * small model of one: it knows the few sequences that are used, and fails at any other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/registry/fetch_progress.h"
#include "lib/base/log.h"

#define DIGEST "sha256:0123456789abcdef"

static uint64_t clock_ms;

static uint64_t read_clock(void *data) {
    (void)data;
    return clock_ms;
}

static const struct host host = {.monotonic_ms = read_clock};

struct fixture {
    struct fetch_progress progress;
    int fd;
};

static void begin(struct fixture *f, enum fetch_progress_mode mode) {
    f->fd = memfd_create("shown", MFD_CLOEXEC);
    assert_true(f->fd >= 0);
    fetch_progress_init(&f->progress, mode, f->fd);
    f->progress.host = &host;
    clock_ms = 1000;
}

static void end(struct fixture *f, struct buf *out) {
    ssize_t n = 0;
    fetch_progress_deinit(&f->progress);
    assert_int_equal(lseek(f->fd, 0, SEEK_SET), 0);
    while ((n = read(f->fd, buf_extend(out, 4096), 4096)) > 0) {
        out->size -= 4096 - (size_t)n;
    }
    out->size -= 4096;
    close(f->fd);
}

static struct fetch_progress_line line_of(const char *image, size_t layer) {
    return (struct fetch_progress_line){
        .image = image, .digest = DIGEST, .layer = layer, .layers = 2, .total = 2000000};
}

/* ---- JSON ---- */

/* What is shown of a layer of 2 MB that takes two seconds. */
static void watch(enum fetch_progress_mode mode, struct buf *out) {
    struct fixture f;
    struct fetch_progress_line line = line_of("a/b:1", 1);
    begin(&f, mode);
    fetch_progress_begin(&f.progress, &line);
    for (int i = 0; i < 20; i++) {
        clock_ms += 100;
        fetch_progress_add(&line, 100000);
    }
    fetch_progress_end(&line, "done");
    end(&f, out);
}

static void test_json_lines(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    watch(FETCH_PROGRESS_AUTO, &out); /* a file is no terminal */
    const char *text = buf_cstr(&out);
    size_t lines = 0;
    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, 4); /* begun, after one and two seconds, done */
    assert_non_null(strstr(text, "\"bytes\":1000000,\"total\":2000000,\"bytes_per_second\":1000000,"
                                 "\"state\":\"loading\"}\n"));
    assert_non_null(strstr(text, "\"bytes\":2000000"));
    assert_non_null(strstr(text, "\"state\":\"done\"}\n"));
}

static void test_quiet(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    watch(FETCH_PROGRESS_QUIET, &out);
    assert_int_equal(out.size, 0);
}

static void test_nobody_watches(void **state) {
    (void)state;
    struct fetch_progress_line line = line_of("a/b:1", 1);
    fetch_progress_begin(NULL, &line);
    fetch_progress_add(&line, 1);
    fetch_progress_restart(&line);
    fetch_progress_end(&line, "done");
}

/* ---- a terminal ---- */

#define ROWS 64
#define WIDTH 512

struct screen {
    char rows[ROWS][WIDTH];
    size_t row, column;
};

/* "\033[nA": n rows up; "\033[J": erases from the cursor on. */
static const char *escape(struct screen *s, const char *at) {
    char *rest = NULL;
    assert_int_equal(at[1], '[');
    unsigned long n = strtoul(at + 2, &rest, 10);
    if (*rest == 'A') {
        assert_true(n <= s->row);
        s->row -= n;
    } else {
        assert_int_equal(*rest, 'J');
        memset(s->rows[s->row] + s->column, 0, WIDTH - s->column);
        memset(s->rows[s->row + 1], 0, (ROWS - s->row - 1) * WIDTH);
    }
    return rest + 1;
}

static void show(struct screen *s, struct buf *bytes) {
    const char *at = buf_cstr(bytes);
    *s = (struct screen){0};
    while (*at != '\0') {
        if (*at == '\033') {
            at = escape(s, at);
        } else if (*at == '\n') {
            s->row++;
            s->column = 0;
            at++;
        } else if (*at == '\r') {
            s->column = 0;
            at++;
        } else {
            s->rows[s->row][s->column++] = *at++;
        }
        assert_true(s->row < ROWS - 1 && s->column < WIDTH - 1);
    }
}

static void assert_row(const struct screen *s, size_t row, const char *want) {
    if (strstr(s->rows[row], want) == NULL) {
        fail_msg("row %zu: want '%s', have '%s'", row, want, s->rows[row]);
    }
}

static void test_several_lines(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    struct screen screen;
    struct fixture f;
    struct fetch_progress_line one = line_of("a/b:1", 1);
    struct fetch_progress_line two = line_of("c/d:2", 2);
    begin(&f, FETCH_PROGRESS_TERMINAL);
    fetch_progress_begin(&f.progress, &one);
    fetch_progress_begin(&f.progress, &two);
    clock_ms += 1000;
    fetch_progress_add(&one, 1000000);
    log_warn("between the lines");
    fetch_progress_add(&two, 500000);
    clock_ms += 1000;
    fetch_progress_add(&two, 1500000);
    fetch_progress_end(&two, "done");
    end(&f, &out);
    show(&screen, &out);
    assert_row(&screen, 0, "between the lines");
    assert_row(&screen, 1,
               "    2.0 of     2.0 MB     1.0 MB/s  layer 2/2 of c/d:2 (0123456789ab) done");
    assert_row(&screen, 2, "    1.0 of     2.0 MB     0.5 MB/s  layer 1/2");
    assert_int_equal(screen.row, 3);
    assert_string_equal(screen.rows[3], "");
}

/* More layers than rows, and lines longer than they are: all is cut, and taken away at the end. */
static void test_narrow(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    struct screen screen;
    struct fixture f;
    struct fetch_progress_line lines[40];
    char image[300];
    memset(image, 'x', sizeof image);
    image[sizeof image - 1] = '\0';
    begin(&f, FETCH_PROGRESS_TERMINAL);
    for (size_t i = 0; i < 40; i++) {
        lines[i] = line_of(image, 1);
        fetch_progress_begin(&f.progress, &lines[i]);
    }
    assert_int_equal(f.progress.drawn, 23); /* of a terminal that does not say: 24 rows */
    for (size_t i = 0; i < 40; i++) {
        fetch_progress_end(&lines[i], i == 39 ? "failed" : "cached");
    }
    end(&f, &out);
    show(&screen, &out);
    assert_row(&screen, 0, "xxx (0123456789ab) failed");
    assert_int_equal(screen.row, 1);
}

static void test_cut(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    struct screen screen;
    struct fixture f;
    struct fetch_progress_line line = line_of("0123456789012345678901234567890123456789", 1);
    begin(&f, FETCH_PROGRESS_TERMINAL);
    fetch_progress_begin(&f.progress, &line);
    end(&f, &out);
    show(&screen, &out);
    assert_int_equal(strlen(screen.rows[0]), 79);
}

static void test_restart(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    struct fixture f;
    struct fetch_progress_line line = line_of("a/b:1", 1);
    begin(&f, FETCH_PROGRESS_JSON);
    fetch_progress_begin(&f.progress, &line);
    fetch_progress_add(&line, 100);
    clock_ms += 1000;
    fetch_progress_restart(&line);
    clock_ms += 1000;
    fetch_progress_add(&line, 2000000);
    fetch_progress_end(&line, "done");
    end(&f, &out);
    assert_non_null(strstr(buf_cstr(&out), "\"bytes\":2000000,\"total\":2000000,"
                                           "\"bytes_per_second\":2000000,\"state\":\"done\"}"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_lines),     cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_nobody_watches), cmocka_unit_test(test_several_lines),
        cmocka_unit_test(test_narrow),         cmocka_unit_test(test_cut),
        cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
