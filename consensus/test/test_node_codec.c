/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <raft.h>

#include "consensus/node_codec.h"
#include "consensus/node_config.h"

static const struct node_config config = {
    3, {{3, NODE_VOTER}, {1, NODE_VOTER}, {INT64_MAX, NODE_STANDBY}}};

static void test_config_round_trip(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct node_config back;
    node_config_encode(&config, &bytes);
    assert_true(node_config_parse(buf_span(&bytes), &back));
    assert_int_equal(back.count, 3);
    assert_int_equal(back.members[2].id, INT64_MAX);
    assert_int_equal(back.members[2].role, NODE_STANDBY);
    for (size_t i = 0; i < bytes.size; i++) { /* every prefix, every flipped byte */
        assert_false(node_config_parse(span_of(bytes.data, i), &back));
        bytes.data[i] ^= 0x80;
        assert_false(node_config_parse(buf_span(&bytes), &back));
        bytes.data[i] ^= 0x80;
    }
}

static void test_config_judges(void **state) {
    (void)state;
    struct node_config c = config;
    assert_true(node_config_is_valid(&c));
    c.members[1].id = 3;
    assert_false(node_config_is_valid(&c)); /* twice */
    c.members[1].id = 0;
    assert_false(node_config_is_valid(&c));
    struct node_config standbys = {1, {{1, NODE_STANDBY}}};
    assert_false(node_config_is_valid(&standbys));
}

static void fill_samples(struct node_message *m, struct buf *change,
                         struct node_wire_entry entries[3], struct node_wire_member *member) {
    static const uint8_t zero[8];
    node_config_encode(&config, change);
    entries[0] = (struct node_wire_entry){2, RAFT_CHANGE, buf_span(change)};
    entries[1] = (struct node_wire_entry){2, RAFT_BARRIER, SPAN(zero)};
    entries[2] = (struct node_wire_entry){3, RAFT_COMMAND, span_str("text")};
    *member = (struct node_wire_member){7, NODE_VOTER};
    m[0] = (struct node_message){.kind = NODE_KIND_APPEND,
                                 .body.append = {3, 5, 2, 4, 1, {entries, 3}}};
    m[1] = (struct node_message){.kind = NODE_KIND_APPEND_RESULT,
                                 .body.append_result = {3, 0, 8, 1, 1}};
    m[2] = (struct node_message){.kind = NODE_KIND_VOTE, .body.vote = {4, 8, 3, 2, false, true}};
    m[3] = (struct node_message){.kind = NODE_KIND_VOTE_RESULT,
                                 .body.vote_result = {4, 1, 2, true, true}};
    m[4] = (struct node_message){
        .kind = NODE_KIND_CHUNK,
        .body.chunk = {4, 9, 100, 3, 50, 1, {member, 1}, 10, 6, span_str("tail")}};
    m[5] = (struct node_message){.kind = NODE_KIND_CHUNK_ACK, .body.chunk_ack = {9, 10}};
    m[6] = (struct node_message){.kind = NODE_KIND_TIMEOUT_NOW, .body.timeout_now = {4, 8, 3, 1}};
    m[7] = (struct node_message){.kind = NODE_KIND_PROBE, .body.probe = {4, 17}};
    m[8] = (struct node_message){.kind = NODE_KIND_PROBE_ACK, .body.probe = {4, 17}};
}

#define SAMPLES 9

/* With FUZZ_CORPUS=folder, writes the samples there. */
static void save(size_t i, struct span bytes) {
    const char *folder = getenv("FUZZ_CORPUS");
    char path[512];
    if (folder != NULL) {
        snprintf(path, sizeof path, "%s/sample-%zu", folder, i);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes.data, 1, bytes.size, f), bytes.size);
        fclose(f);
    }
}

static void test_every_kind_round_trips_and_every_prefix_fails(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf change = {0};
    struct node_message samples[SAMPLES];
    struct node_wire_entry entries[3];
    struct node_wire_member member;
    fill_samples(samples, &change, entries, &member);
    for (size_t i = 0; i < SAMPLES; i++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        AUTO(buf_deinit)
        struct buf bytes = {0};
        AUTO(buf_deinit)
        struct buf again = {0};
        struct node_message back;
        struct err err = {0};
        samples[i].sequence = 1000 + i;
        node_codec_encode(&samples[i], &bytes);
        save(i, buf_span(&bytes));
        if (!is_ok(node_codec_decode(buf_span(&bytes), &arena, &back, &err))) {
            fail_msg("sample %zu: %s", i, err.text);
        }
        node_codec_encode(&back, &again);
        assert_true(span_equal(buf_span(&bytes), buf_span(&again)));
        for (size_t n = 0; n < bytes.size; n++) {
            assert_false(is_ok(node_codec_decode(span_of(bytes.data, n), &arena, &back, &err)));
        }
    }
}

static void refuse(const struct node_message *m, const char *part) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct node_message back;
    struct err err = {0};
    node_codec_encode(m, &bytes);
    assert_false(is_ok(node_codec_decode(buf_span(&bytes), &arena, &back, &err)));
    if (strstr(err.text, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    }
}

static void test_bad_fields_are_named(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf change = {0};
    struct node_message s[SAMPLES];
    struct node_wire_entry entries[3];
    struct node_wire_member member;
    fill_samples(s, &change, entries, &member);
    struct node_message m = s[0];
    m.body.append.term = 0;
    refuse(&m, "term is 0");
    m = s[0];
    m.body.append.prev_term = 0;
    refuse(&m, "index 5 with term 0");
    m = s[0];
    m.body.append.term = 2;
    refuse(&m, "entry 2 has term 3");
    m = s[0];
    m.body.append.commit = NODE_CODEC_NUMBER_MAX;
    refuse(&m, "commit");
    entries[0].data.size--;
    refuse(&s[0], "entry 0: not a configuration");
    entries[0].data.size++;
    entries[1].data.size = 7;
    refuse(&s[0], "entry 1: barrier of 7 bytes");
    entries[1].type = 9;
    refuse(&s[0], "entry 1: type 9");
    m = s[3];
    m.body.vote_result.version = 1;
    refuse(&m, "version");
    m = s[4];
    m.body.chunk.offset = 7;
    refuse(&m, "outside of its snapshot");
    m.body.chunk.total = (uint64_t)LIMIT_SNAPSHOT + 1;
    refuse(&m, "limit");
    m = s[4];
    member.role = 2;
    refuse(&m, "members");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_round_trip),
        cmocka_unit_test(test_config_judges),
        cmocka_unit_test(test_every_kind_round_trips_and_every_prefix_fails),
        cmocka_unit_test(test_bad_fields_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
