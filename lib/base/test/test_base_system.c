/* What lib/base asks of the system: log lines, process hardening, files, time, randomness, memory.
 * Whatever changes the process for good runs in a child.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/process.h"
#include "lib/base/secret.h"
#include "lib/base/sm.h"

/* Runs `body` in a child with standard error in a pipe; returns the wait status. */
static int run_child(void (*body)(void), struct buf *errors) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        body();
        _exit(0);
    }
    close(ends[1]);
    char chunk[512];
    for (ssize_t n; (n = read(ends[0], chunk, sizeof chunk)) > 0;) {
        buf_append(errors, chunk, (size_t)n);
    }
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_aborts(void (*body)(void), const char *text) {
    AUTO(buf_deinit)
    struct buf errors = {0};
    int status = run_child(body, &errors);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(buf_cstr(&errors), text));
}

/* --- log */

struct caught {
    int count;
    enum log_level level;
    char line[4096];
};

static void on_line(void *data, enum log_level level, const char *line) {
    struct caught *c = data;
    c->count++;
    c->level = level;
    snprintf(c->line, sizeof c->line, "%s", line);
}

static int reset_log(void **state) {
    (void)state;
    log_set_sink(NULL, NULL);
    log_init("test", LOG_INFO);
    return 0;
}

static void test_log_line_has_time_level_and_program(void **state) {
    (void)state;
    struct caught c = {0};
    log_init("tester", LOG_WARN);
    log_set_sink(on_line, &c);
    log_info("below the level");
    assert_int_equal(c.count, 0);
    log_error("code=%d", 7);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.level, LOG_ERROR);
    assert_string_equal(c.line + strlen("2026-01-02T03:04:05.678"), "Z ERROR tester: code=7");
    assert_int_equal(c.line[10], 'T');
}

static void test_log_stays_one_line(void **state) {
    (void)state;
    struct caught c = {0};
    log_set_sink(on_line, &c);
    log_info("name=%s", "a\n2026 ERROR forged\r\t\x1b[2J\x7f end");
    assert_int_equal(c.count, 1);
    for (const char *p = c.line; *p != 0; p++) {
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    }
    assert_non_null(strstr(c.line, "name=a 2026 ERROR forged   [2J  end"));
}

static void test_log_cuts_what_is_too_long(void **state) {
    (void)state;
    struct caught c = {0};
    char *long_text = mem_alloc(100001);
    memset(long_text, 'x', 100000);
    long_text[100000] = 0;
    log_set_sink(on_line, &c);
    log_warn("%s", long_text);
    assert_int_equal(c.count, 1);
    assert_in_range(strlen(c.line), 1000, 2048);
    mem_free(long_text);
}

static void write_a_line(void) {
    log_init("child", LOG_INFO);
    log_info("hello");
}

static void test_log_goes_to_standard_error(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf errors = {0};
    assert_int_equal(run_child(write_a_line, &errors), 0);
    assert_non_null(strstr(buf_cstr(&errors), "Z INFO child: hello\n"));
}

static void test_log_level_words(void **state) {
    (void)state;
    enum log_level level = LOG_INFO;
    struct err err;
    assert_true(is_ok(log_level_parse("debug", &level, &err)));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(is_ok(log_level_parse("error", &level, &err)));
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("loud", &level, &err).code, ERR_USAGE);
    assert_int_equal(level, LOG_ERROR);
    assert_non_null(strstr(err.text, "'loud'"));
}

/* --- process */

static void harden(void) {
    struct rlimit little = {65536, 65536};
    setrlimit(RLIMIT_MEMLOCK, &little); /* the sanitizers' shadow cannot be locked */
    struct rlimit big = {1, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &big);
    process_harden();
    struct rlimit core = {1, 1};
    getrlimit(RLIMIT_CORE, &core);
    struct sigaction pipe_action;
    sigaction(SIGPIPE, NULL, &pipe_action);
    bool good = core.rlim_cur == 0 && core.rlim_max == 0 && prctl(PR_GET_DUMPABLE) == 0 &&
                pipe_action.sa_handler == SIG_IGN;
    _exit(good ? 0 : 9);
}

static void test_process_harden_takes_core_files_away(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf errors = {0};
    int status = run_child(harden, &errors);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    const char *text = buf_cstr(&errors);
    const char *first = strstr(text, "memory is not locked");
    assert_non_null(first);
    assert_null(strstr(first + 1, "memory is not locked"));
}

/* --- invariants */

enum { DAY, NIGHT, DUSK };
static const struct sm_state states[] = {
    [DAY] = {"day", SM_BIT(DUSK)},
    [NIGHT] = {"night", SM_BIT(DAY)},
    [DUSK] = {"dusk", SM_BIT(NIGHT) | SM_BIT(DAY)},
};

static void move_where_no_edge_is(void) {
    sm_move(states, DAY, NIGHT);
}

static void test_sm_allows_the_edges_and_no_other(void **state) {
    (void)state;
    assert_int_equal(sm_move(states, DAY, DUSK), DUSK);
    assert_int_equal(sm_move(states, DUSK, NIGHT), NIGHT);
    assert_aborts(move_where_no_edge_is, "next & SM_BIT(to)");
}

static void draw_below_nothing(void) {
    host_random_below(&host_system, 0);
}

static void test_a_broken_invariant_aborts(void **state) {
    (void)state;
    assert_aborts(draw_below_nothing, "bound > 0");
}

/* --- errors */

static void test_err_rows_are_unique_and_named(void **state) {
    (void)state;
    assert_string_equal(err_name(ERR_NO_QUORUM), "NO_QUORUM");
    assert_string_equal(err_text(ERR_CLOSED), "connection closed");
    assert_int_equal(err_class_of(ERR_MALFORMED), ERR_CLASS_PEER);
    for (unsigned number = 1; number < 300; number++) {
        enum err_code code = err_from_wire(number);
        if (code != ERR_INTERNAL) {
            assert_int_equal((unsigned)code, number);
            assert_in_range(err_exit_code(code), 1, 4);
        }
    }
}

static void test_err_wrap_cuts_a_long_chain(void **state) {
    (void)state;
    struct err err;
    struct result r = err_set(&err, ERR_IO, "end");
    for (int i = 0; i < 400; i++) {
        r = err_wrap(r, &err, "layer %d", i);
    }
    assert_int_equal(r.code, ERR_IO);
    assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(strncmp(err.text, "layer 399: layer 398: ", 22), 0);
    assert_int_equal(err_wrap(OK, &err, "x").code, ERR_OK);
}

/* --- bytes */

static void test_bytes_store_and_load_agree(void **state) {
    (void)state;
    uint8_t b[8];
    store_u32be(b, 0x01020304);
    assert_memory_equal(b, "\1\2\3\4", 4);
    assert_int_equal(load_u32be(b), 0x01020304);
    store_u32le(b, 0x01020304);
    assert_memory_equal(b, "\4\3\2\1", 4);
    assert_int_equal(load_u32le(b), 0x01020304);
    assert_int_equal(load_u16le(b), 0x0304);
    store_u64be(b, UINT64_C(0x0102030405060708));
    assert_memory_equal(b, "\1\2\3\4\5\6\7\10", 8);
    assert_true(load_u64be(b) == UINT64_C(0x0102030405060708));
    store_u64le(b, UINT64_C(0x0102030405060708));
    assert_memory_equal(b, "\10\7\6\5\4\3\2\1", 8);
    assert_true(load_u64le(b) == UINT64_C(0x0102030405060708));
}

static void test_buf_appends(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf b = {0};
    assert_string_equal(buf_cstr(&b), "");
    buf_append_u8(&b, 'a');
    buf_appendf(&b, "%d-%s", 12, "x");
    buf_append_u64be(&b, 0x6162636465666768);
    assert_string_equal(buf_cstr(&b), "a12-xabcdefgh");
    memcpy(buf_extend(&b, 3), "end", 3);
    assert_string_equal(buf_cstr(&b) + 13, "end");
    const uint8_t *at = b.data;
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    assert_true(span_is_zero(span_of(at, 16)));
}

static void test_span_comparisons(void **state) {
    (void)state;
    assert_true(span_equal(span_str(""), (struct span){0}));
    assert_true(span_equal_ct(span_str("same"), span_str("same")));
    assert_false(span_equal_ct(span_str("same"), span_str("sama")));
    assert_false(span_equal_ct(span_str("same"), span_str("sam")));
    assert_false(span_equal(span_str("same"), span_str("xame")));
    assert_true(span_is_zero(span_of("\0\0\0", 3)));
    assert_false(span_is_zero(span_of("\0\0\1", 3)));
}

/* --- host */

static void give_numbers(void *data, void *out, size_t size) {
    const uint64_t **next = data;
    assert_int_equal(size, 8);
    memcpy(out, (*next)++, 8);
}

/* 2^64 - 1 mod 10 = 5: a plain remainder would favour 0..5, so the topmost draws are redone. */
static void test_host_random_below_redraws(void **state) {
    (void)state;
    const uint64_t draws[] = {UINT64_MAX, UINT64_MAX - 5, UINT64_MAX - 6, 17};
    const uint64_t *next = draws;
    struct host h = {&next, NULL, NULL, give_numbers};
    assert_int_equal(host_random_below(&h, 10), 9);
    assert_int_equal(host_random_below(&h, 10), 7);
    assert_ptr_equal(next, draws + 4);
}

static void test_host_system_counts_and_draws(void **state) {
    (void)state;
    uint64_t before = host_monotonic_ms(&host_system);
    assert_true(host_monotonic_ms(&host_system) >= before);
    assert_true(host_unix_s(&host_system) > INT64_C(1600000000));
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    host_random(&host_system, a, sizeof a);
    host_random(&host_system, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (int i = 0; i < 1000; i++) {
        assert_true(host_random_below(&host_system, 3) < 3);
    }
}

/* --- files */

static int make_folder(void **state) {
    char *folder = mem_strdup("/tmp/contrast-test-XXXXXX");
    *state = folder;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int drop_folder(void **state) {
    AUTO(buf_deinit)
    struct buf command = {0};
    buf_appendf(&command, "rm -rf '%s'", (const char *)*state);
    int status = system(buf_cstr(&command)); /* NOLINT(cert-env33-c): our own fixed text */
    mem_free(*state);
    return status;
}

static const char *path_in(struct buf *path, void **state, const char *name) {
    buf_clear(path);
    buf_appendf(path, "%s/%s", (const char *)*state, name);
    return buf_cstr(path);
}

static void test_file_mkdirs_makes_every_level(void **state) {
    AUTO(buf_deinit)
    struct buf path = {0};
    struct err err;
    struct stat st;
    assert_true(is_ok(file_mkdirs(path_in(&path, state, "a/b/c"), 0700, &err)));
    assert_int_equal(stat(path_in(&path, state, "a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(is_ok(file_mkdirs(path_in(&path, state, "a/b/c"), 0700, &err)));
    assert_true(is_ok(file_write(path_in(&path, state, "a/f"), span_str("x"), 0600, &err)));
    assert_int_equal(file_mkdirs(path_in(&path, state, "a/f/g"), 0700, &err).code, ERR_IO);
    assert_non_null(strstr(err.text, "a/f"));
    assert_int_equal(file_mkdirs("", 0700, &err).code, ERR_INVALID);
}

static void test_file_read_keeps_the_output_on_failure(void **state) {
    AUTO(buf_deinit)
    struct buf path = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err;
    buf_append_str(&out, "kept");
    assert_int_equal(file_read((const char *)*state, 100, &out, &err).code, ERR_IO);
    assert_int_equal(file_read(path_in(&path, state, "none"), 9, &out, &err).code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/none"));
    assert_true(is_ok(file_write(path_in(&path, state, "f"), span_str("12345"), 0600, &err)));
    assert_int_equal(file_read(buf_cstr(&path), 4, &out, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "4 bytes"));
    assert_string_equal(buf_cstr(&out), "kept");
}

static void test_file_write_leaves_the_old_file_and_no_other(void **state) {
    AUTO(buf_deinit)
    struct buf path = {0};
    struct err err;
    /* A folder stands where the file should go: rename fails after everything was written. */
    assert_true(is_ok(file_mkdirs(path_in(&path, state, "taken/x"), 0700, &err)));
    path_in(&path, state, "taken");
    assert_int_equal(file_write(buf_cstr(&path), span_str("new"), 0600, &err).code, ERR_IO);
    assert_int_equal(rmdir(path_in(&path, state, "taken/x")), 0);
    assert_int_equal(rmdir(path_in(&path, state, "taken")), 0);
    assert_int_equal(rmdir(*state), 0); /* empty: the temporary file is gone */
}

/* --- memory */

static void test_arena_is_aligned_and_zeroed(void **state) {
    (void)state;
    AUTO(arena_deinit)
    struct arena a = {0};
    for (size_t size = 0; size < 300; size++) {
        uint8_t *p = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        assert_true(span_is_zero(span_of(p, size)));
        memset(p, 0xff, size);
    }
    arena_deinit(&a);
    assert_null(a.blocks);
}

static void test_secrets_of_any_size(void **state) {
    (void)state;
    const size_t sizes[] = {1, 32, 4096, 4097};
    for (size_t i = 0; i < 4; i++) {
        struct secret *s = secret_new(sizes[i]);
        assert_int_equal(secret_span(s).size, sizes[i]);
        assert_true(span_is_zero(secret_span(s)));
        memset(secret_data(s), 1, sizes[i]);
        struct secret *other = secret_new(7);
        assert_false(secret_equal(s, other));
        secret_free(other);
        secret_free(s);
    }
    secret_free(NULL);
}

static void test_mem_helpers(void **state) {
    (void)state;
    char *copy = mem_strndup("abcdef", 3);
    assert_string_equal(copy, "abc");
    copy = mem_realloc(copy, 100);
    assert_string_equal(copy, "abc");
    mem_wipe(copy, 3);
    assert_true(span_is_zero(span_of(copy, 4)));
    mem_free_wiped(copy, 100);
    mem_free_wiped(NULL, 0);
    uint32_t *zeroed = mem_calloc(10, sizeof *zeroed);
    assert_true(span_is_zero(span_of(zeroed, 40)));
    mem_free(zeroed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_log_line_has_time_level_and_program, reset_log),
        cmocka_unit_test_teardown(test_log_stays_one_line, reset_log),
        cmocka_unit_test_teardown(test_log_cuts_what_is_too_long, reset_log),
        cmocka_unit_test_teardown(test_log_goes_to_standard_error, reset_log),
        cmocka_unit_test(test_log_level_words),
        cmocka_unit_test(test_process_harden_takes_core_files_away),
        cmocka_unit_test(test_sm_allows_the_edges_and_no_other),
        cmocka_unit_test(test_a_broken_invariant_aborts),
        cmocka_unit_test(test_err_rows_are_unique_and_named),
        cmocka_unit_test(test_err_wrap_cuts_a_long_chain),
        cmocka_unit_test(test_bytes_store_and_load_agree),
        cmocka_unit_test(test_buf_appends),
        cmocka_unit_test(test_span_comparisons),
        cmocka_unit_test(test_host_random_below_redraws),
        cmocka_unit_test(test_host_system_counts_and_draws),
        cmocka_unit_test_setup_teardown(test_file_mkdirs_makes_every_level, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(test_file_read_keeps_the_output_on_failure, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(test_file_write_leaves_the_old_file_and_no_other,
                                        make_folder, drop_folder),
        cmocka_unit_test(test_arena_is_aligned_and_zeroed),
        cmocka_unit_test(test_secrets_of_any_size),
        cmocka_unit_test(test_mem_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
