/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/config.h"

#define VARIABLES_MAX 32

#define DIGEST_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define DIGEST_B "FFEEDDCCBBAA99887766554433221100FFEEDDCCBBAA99887766554433221100"

/* --- Fixture: an environment of the test's own */

static struct {
    const char *name;
    const char *value;
} environment[VARIABLES_MAX];

static void set(const char *name, const char *value) {
    size_t i = 0;
    while (environment[i].name != NULL && strcmp(environment[i].name, name) != 0) {
        i++;
        assert_true(i < VARIABLES_MAX - 1);
    }
    environment[i].name = name;
    environment[i].value = value;
}

static const char *get(const char *name) {
    for (size_t i = 0; environment[i].name != NULL; i++) {
        if (strcmp(environment[i].name, name) == 0) {
            return environment[i].value;
        }
    }
    return NULL;
}

/* What a pod's environment has at least. */
static int setup(void **state) {
    memset(environment, 0, sizeof environment);
    set("CONTRAST_NAME", "coordinator-0");
    set("CONTRAST_OWNER_KEY_DIGESTS", DIGEST_A);
    set("CONTRAST_SNP_SOCKET", "/run/snp.sock");
    *state = mem_zalloc(sizeof(struct config));
    return 0;
}

static int teardown(void **state) {
    mem_free(*state);
    return 0;
}

static void read_well(struct config *c) {
    struct err err;
    if (!is_ok(config_read(get, c, &err))) {
        fail_msg("%s", err.text);
    }
}

/* --- What is read */

static void test_defaults(void **state) {
    struct config *c = *state;
    read_well(c);
    assert_string_equal(c->name, "coordinator-0");
    assert_string_equal(c->listen, "0.0.0.0");
    assert_string_equal(c->address, "coordinator-0:7443");
    assert_int_equal(c->user_port, 1313);
    assert_int_equal(c->mesh_port, 7777);
    assert_int_equal(c->raft_port, 7443);
    assert_int_equal(c->peer_count, 0);
    assert_int_equal(c->permitted_root_count, 0);
    assert_string_equal(c->issuer, "unix:/run/snp.sock");
    assert_true(c->session_threads >= 1 && c->session_threads <= 8);
    assert_int_equal(c->log_level, LOG_INFO);
    assert_string_equal(c->kds_url, "https://kdsintf.amd.com");
    assert_string_equal(c->kds_ca_file, "");
    assert_string_equal(c->endorsements, "");
}

static void test_every_variable_counts(void **state) {
    struct config *c = *state;
    set("CONTRAST_LISTEN", "127.0.0.1");
    set("CONTRAST_ADDRESS", "somewhere:99");
    set("CONTRAST_USER_PORT", "1");
    set("CONTRAST_MESH_PORT", "65535");
    set("CONTRAST_RAFT_PORT", "3");
    set("CONTRAST_SESSION_THREADS", "64");
    set("CONTRAST_LOG_LEVEL", "error");
    set("CONTRAST_KDS_URL", "off");
    set("CONTRAST_KDS_CA_FILE", "/etc/ca.pem");
    set("CONTRAST_ENDORSEMENTS", "/etc/endorsements");
    set("CONTRAST_STATE_DIR", "/var/lib/contrast");
    read_well(c);
    assert_string_equal(c->state_dir, "/var/lib/contrast");
    assert_string_equal(c->kds_url, "off");
    assert_string_equal(c->kds_ca_file, "/etc/ca.pem");
    assert_string_equal(c->endorsements, "/etc/endorsements");
    assert_string_equal(c->listen, "127.0.0.1");
    assert_string_equal(c->address, "somewhere:99");
    assert_int_equal(c->user_port, 1);
    assert_int_equal(c->mesh_port, 65535);
    assert_int_equal(c->raft_port, 3);
    assert_int_equal(c->session_threads, 64);
    assert_int_equal(c->log_level, LOG_ERROR);
}

static void test_the_address_follows_the_raft_port(void **state) {
    struct config *c = *state;
    set("CONTRAST_RAFT_PORT", "8000");
    read_well(c);
    assert_string_equal(c->address, "coordinator-0:8000");
}

static void test_the_host_name_is_the_default_name(void **state) {
    struct config *c = *state;
    char host[LIMIT_NAME + 1] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == 0) {
        skip(); /* this machine has no name that fits */
    }
    set("CONTRAST_NAME", NULL);
    read_well(c);
    assert_string_equal(c->name, host);
}

static void test_peers(void **state) {
    struct config *c = *state;
    set("CONTRAST_PEERS", "coordinator-0.c:7777,10.0.0.7:1,[2001:db8::1]:65535");
    read_well(c);
    assert_int_equal(c->peer_count, 3);
    assert_string_equal(c->peers[0].host, "coordinator-0.c");
    assert_int_equal(c->peers[0].port, 7777);
    assert_string_equal(c->peers[1].host, "10.0.0.7");
    assert_int_equal(c->peers[1].port, 1);
    assert_string_equal(c->peers[2].host, "2001:db8::1");
    assert_int_equal(c->peers[2].port, 65535);
}

static void test_no_peers_may_be_said_with_nothing(void **state) {
    struct config *c = *state;
    set("CONTRAST_PEERS", "");
    read_well(c);
    assert_int_equal(c->peer_count, 0);
}

static void test_digests_in_either_case(void **state) {
    struct config *c = *state;
    uint8_t b[32];
    assert_true(is_ok(hex_decode(span_str(DIGEST_B), b, sizeof b, NULL)));
    set("CONTRAST_OWNER_KEY_DIGESTS", DIGEST_A "," DIGEST_B);
    set("CONTRAST_PERMITTED_ROOTS", DIGEST_B);
    read_well(c);
    assert_int_equal(c->owner_count, 2);
    assert_int_equal(c->owner_digests[0][1], 0x11);
    assert_memory_equal(c->owner_digests[1], b, sizeof b);
    assert_int_equal(c->permitted_root_count, 1);
    assert_memory_equal(c->permitted_roots[0], b, sizeof b);
}

/* --- What is refused, and how the text reads */

struct bad_row {
    const char *name;
    const char *value; /* NULL: not set */
    const char *text;
};

static const struct bad_row bad_rows[] = {
    {"CONTRAST_NAME", "", "CONTRAST_NAME: want 1 to 63 bytes, got 0"},
    {"CONTRAST_NAME", "0123456789012345678901234567890123456789012345678901234567890123",
     "CONTRAST_NAME: want 1 to 63 bytes, got 64"},
    {"CONTRAST_LISTEN", "", "CONTRAST_LISTEN: want 1 to 255 bytes, got 0"},
    {"CONTRAST_ADDRESS", "", "CONTRAST_ADDRESS: want 1 to 255 bytes, got 0"},
    {"CONTRAST_USER_PORT", "0", "CONTRAST_USER_PORT: want a number from 1 to 65535, got '0'"},
    {"CONTRAST_USER_PORT", "", "CONTRAST_USER_PORT: want a number from 1 to 65535, got ''"},
    {"CONTRAST_MESH_PORT", "65536",
     "CONTRAST_MESH_PORT: want a number from 1 to 65535, got '65536'"},
    {"CONTRAST_RAFT_PORT", "-1", "CONTRAST_RAFT_PORT: want a number from 1 to 65535, got '-1'"},
    {"CONTRAST_RAFT_PORT", " 7", "CONTRAST_RAFT_PORT: want a number from 1 to 65535, got ' 7'"},
    {"CONTRAST_RAFT_PORT", "7x", "CONTRAST_RAFT_PORT: want a number from 1 to 65535, got '7x'"},
    {"CONTRAST_RAFT_PORT", "99999999999999999999999",
     "CONTRAST_RAFT_PORT: want a number from 1 to 65535, got '99999999999999999999999'"},
    {"CONTRAST_SESSION_THREADS", "65",
     "CONTRAST_SESSION_THREADS: want a number from 1 to 64, got '65'"},
    {"CONTRAST_PEERS", "nowhere", "CONTRAST_PEERS: want host:port, got 'nowhere'"},
    {"CONTRAST_PEERS", ":7777", "CONTRAST_PEERS: want host:port, got ':7777'"},
    {"CONTRAST_PEERS", "a:1,,b:2", "CONTRAST_PEERS: want host:port, got ''"},
    {"CONTRAST_PEERS", "a:1,", "CONTRAST_PEERS: ends in a comma"},
    {"CONTRAST_PEERS", "a:123456", "CONTRAST_PEERS: want host:port, got 'a:123456'"},
    {"CONTRAST_PEERS", "a:0", "CONTRAST_PEERS: want host:port, got 'a:0'"},
    {"CONTRAST_PEERS", "a:", "CONTRAST_PEERS: want host:port, got 'a:'"},
    {"CONTRAST_SNP_SOCKET", "snp.sock",
     "CONTRAST_SNP_SOCKET: want the absolute path of the socket that hands out attestation "
     "reports, at most 250 bytes; got 'snp.sock'"},
    {"CONTRAST_KDS_URL", "ftp://amd",
     "CONTRAST_KDS_URL: want https://HOST, http://HOST or off, got 'ftp://amd'"},
    {"CONTRAST_KDS_URL", "kdsintf.amd.com",
     "CONTRAST_KDS_URL: want https://HOST, http://HOST or off, got 'kdsintf.amd.com'"},
    {"CONTRAST_OWNER_KEY_DIGESTS", NULL,
     "CONTRAST_OWNER_KEY_DIGESTS is not set: run `contrast generate` on the Coordinator's YAML, it "
     "adds the variable"},
    {"CONTRAST_OWNER_KEY_DIGESTS", "",
     "CONTRAST_OWNER_KEY_DIGESTS is not set: run `contrast generate` on the Coordinator's YAML, it "
     "adds the variable"},
};

static void test_issuers(void **state) {
    struct config *c = *state;
    set("CONTRAST_ISSUER", "configfs:");
    assert_int_equal(config_read(get, c, NULL).code, ERR_OK);
    assert_string_equal(c->issuer, "configfs:");
    set("CONTRAST_ISSUER", NULL);
    set("CONTRAST_SNP_SOCKET", NULL);
    assert_int_equal(config_read(get, c, NULL).code, ERR_OK);
    assert_string_equal(c->issuer, "auto");
}

static void assert_refused(const char *text) {
    struct config *c = mem_zalloc(sizeof *c);
    struct config *before = mem_zalloc(sizeof *before);
    struct err err;
    assert_int_equal(config_read(get, c, &err).code, ERR_CONFIG);
    assert_string_equal(err.text, text);
    assert_memory_equal(c, before, sizeof *c); /* outputs are untouched on failure */
    mem_free(c);
    mem_free(before);
}

static void test_bad_values_are_named(void **state) {
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        mem_free(*state);
        setup(state);
        set(bad_rows[i].name, bad_rows[i].value);
        assert_refused(bad_rows[i].text);
    }
}

static void test_bad_digests_are_named(void **state) {
    static const char *const names[] = {"CONTRAST_OWNER_KEY_DIGESTS", "CONTRAST_PERMITTED_ROOTS"};
    static const char *const values[] = {"00",          DIGEST_A "00", DIGEST_A "," DIGEST_A ",",
                                         DIGEST_A ",x", "," DIGEST_A,  DIGEST_A " "};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
            struct err err;
            mem_free(*state);
            setup(state);
            set(names[i], values[k]);
            assert_int_equal(config_read(get, *state, &err).code, ERR_CONFIG);
            assert_ptr_equal(strstr(err.text, names[i]), err.text);
        }
    }
}

/* `unit` again and again, with commas between. */
static void set_list(const char *name, const char *unit, size_t count, struct buf *text) {
    buf_clear(text);
    for (size_t i = 0; i < count; i++) {
        buf_appendf(text, "%s%s", i > 0 ? "," : "", unit);
    }
    set(name, buf_cstr(text));
}

static void test_lists_are_bounded(void **state) {
    struct config *c = *state;
    AUTO(buf_deinit)
    struct buf peers = {0};
    AUTO(buf_deinit)
    struct buf owners = {0};
    set_list("CONTRAST_PEERS", "a:1", LIMIT_MEMBERS, &peers);
    set_list("CONTRAST_OWNER_KEY_DIGESTS", DIGEST_A, LIMIT_OWNER_KEYS, &owners);
    read_well(c);
    assert_int_equal(c->peer_count, LIMIT_MEMBERS);
    assert_int_equal(c->owner_count, LIMIT_OWNER_KEYS);
    set_list("CONTRAST_PEERS", "a:1", LIMIT_MEMBERS + 1, &peers);
    assert_refused("CONTRAST_PEERS: more than 16 peers");
    set("CONTRAST_PEERS", NULL);
    set_list("CONTRAST_OWNER_KEY_DIGESTS", DIGEST_A, LIMIT_OWNER_KEYS + 1, &owners);
    assert_refused("CONTRAST_OWNER_KEY_DIGESTS: more than 64 digests");
}

static void test_a_host_name_that_does_not_fit(void **state) {
    (void)state;
    char peer[LIMIT_ADDRESS + 8];
    memset(peer, 'h', sizeof peer);
    memcpy(peer + LIMIT_ADDRESS + 1, ":7777", 6);
    set("CONTRAST_PEERS", peer);
    struct err err;
    assert_int_equal(config_read(get, *state, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "want host:port"));
}

static void test_help_names_every_variable(void **state) {
    (void)state;
    static const char *const names[] = {"CONTRAST_NAME",
                                        "CONTRAST_LISTEN",
                                        "CONTRAST_ADDRESS",
                                        "CONTRAST_PEERS",
                                        "CONTRAST_USER_PORT",
                                        "CONTRAST_MESH_PORT",
                                        "CONTRAST_RAFT_PORT",
                                        "CONTRAST_SNP_SOCKET",
                                        "CONTRAST_ISSUER",
                                        "CONTRAST_OWNER_KEY_DIGESTS",
                                        "CONTRAST_PERMITTED_ROOTS",
                                        "CONTRAST_LOG_LEVEL",
                                        "CONTRAST_KDS_URL",
                                        "CONTRAST_KDS_CA_FILE",
                                        "CONTRAST_ENDORSEMENTS",
                                        "CONTRAST_STATE_DIR",
                                        "CONTRAST_SESSION_THREADS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_non_null(strstr(config_help, names[i]));
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_defaults),
        T(test_every_variable_counts),
        T(test_the_address_follows_the_raft_port),
        T(test_the_host_name_is_the_default_name),
        T(test_peers),
        T(test_issuers),
        T(test_no_peers_may_be_said_with_nothing),
        T(test_digests_in_either_case),
        T(test_bad_values_are_named),
        T(test_bad_digests_are_named),
        T(test_lists_are_bounded),
        T(test_a_host_name_that_does_not_fit),
        T(test_help_names_every_variable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
