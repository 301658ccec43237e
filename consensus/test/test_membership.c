/* Rows in short hand, one word per id: 1V  voter, 1S  standby, 1N  newcomer (not configured), then
 * flags: L leads, x dead, g gone (wants to leave), c caught up, s only stands by, - without a row.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/membership.h"

struct table {
    struct membership_wish wishes[32];
    struct node_member members[LIMIT_MEMBERS];
    struct membership_input input;
};

static void add_word(struct table *t, const char *word) {
    uint64_t id = (uint64_t)(word[0] - '0');
    struct membership_wish w = {id, MEMBERSHIP_VOTER, true, strchr(word, 'c') != NULL, id};
    w.is_reachable = strchr(word, 'x') == NULL;
    if (strchr(word, 's') != NULL) {
        w.want = MEMBERSHIP_STANDBY;
    }
    if (strchr(word, 'g') != NULL) {
        w.want = MEMBERSHIP_GONE;
    }
    if (strchr(word, 'L') != NULL) {
        t->input.leader = id;
    }
    if (strchr(word, '-') == NULL) {
        t->wishes[t->input.wish_count++] = w;
    }
    if (word[1] != 'N') {
        enum node_member_role role = word[1] == 'V' ? NODE_VOTER : NODE_STANDBY;
        t->members[t->input.member_count++] = (struct node_member){id, role};
    }
}

static void plan(const char *row, size_t voters, char *out, size_t size) {
    struct table t = {0};
    char copy[128];
    char *save = NULL;
    snprintf(copy, sizeof copy, "%s", row);
    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        add_word(&t, w);
    }
    t.input.wishes = t.wishes;
    t.input.members = t.members;
    t.input.voters = voters;
    struct membership_step s = membership_next(&t.input);
    snprintf(out, size, "%s %u", membership_action_name(s.action), (unsigned)s.id);
}

static void test_table(void **state) {
    (void)state;
    static const struct {
        const char *row;
        size_t voters;
        const char *step;
    } rows[] = {
        {"1VL 2V 3V", 3, "none 0"},
        {"1VL 2V 3V 4N 5N", 3, "add 4"},
        {"1VL 2V 3V 4S", 3, "none 0"},
        /* a dead voter: 3 -> 2 -> 3 */
        {"1VL 2V 3Vx", 3, "none 0"},
        {"1VL 2V 3Vx 4N", 3, "add 4"},
        {"1VL 2V 3Vx 4S", 3, "none 0"}, /* catches up first */
        {"1VL 2V 3Vx 4Sc", 3, "remove 3"},
        {"1VL 2V 4Sc", 3, "promote 4"},
        {"1VL 2V 4Sc 5N", 3, "promote 4"}, /* even: nothing comes before */
        {"1VL 2V 5N", 3, "add 5"},
        {"1VL 2V 3V- 4Sc", 3, "remove 3"},
        {"1VL 2Vx 3V 4Scs", 3, "none 0"}, /* only stands by */
        /* a reachable voter leaves: 3 -> 4 -> 3 */
        {"1VL 2V 3Vg", 3, "none 0"},
        {"1VL 2V 3Vg 4N", 3, "add 4"},
        {"1VL 2V 3Vg 4Sc", 3, "promote 4"},
        {"1VL 2V 3Vg 4V", 3, "remove 3"},
        {"1VL 2V 3Vgx 4Sc", 3, "remove 3"},
        /* the dead go before the leaving */
        {"1VL 2Vg 3Vx 4Sc", 3, "remove 3"},
        /* the leader leaves: transfers at once, to a sound voter */
        {"1VLg 2V 3V", 3, "transfer 2"},
        {"1VLg 2Vx 3V", 3, "none 0"},
        {"1VLg 2Vx 3V 4Sc", 3, "remove 2"},
        {"1VLg 2Vg 3V 4Sc", 3, "transfer 3"},
        {"1VLg 2V 3V 4V", 3, "transfer 2"},
        /* a single voter leaves */
        {"1VLg", 1, "none 0"},
        {"1VLg 2N", 1, "add 2"},
        {"1VLg 2S", 1, "none 0"},
        {"1VLg 2Sc", 1, "promote 2"},
        {"1VLg 2V", 1, "transfer 2"},
        {"1Vg 2VL", 1, "remove 1"},
        /* growing: both standbys first */
        {"1VL 2Sc 3N", 3, "add 3"},
        {"1VL 2Sc 3S", 3, "none 0"},
        {"1VL 2Sc 3Sc", 3, "promote 2"},
        {"1VL 2V 3Sc", 3, "promote 3"},
        {"1VL 2V 3V 4Sc 5Sc", 5, "promote 4"},
        /* shrinking: the youngest that does not lead */
        {"1V 2V 3V 4V 5VL", 3, "remove 4"},
        {"1VL 2V 3V 4V", 3, "remove 4"},
        {"1VL 2Vx 3V 4V 5V", 3, "remove 2"},
        {"1VL 2V 3V", 1, "remove 3"},
        {"1VL 2V", 1, "remove 2"},
        /* standbys */
        {"1VL 2V 3V 4Sx", 3, "remove 4"},
        {"1VL 2V 3V 4Sg 5N", 3, "remove 4"},
        {"1VL 2V 3V 4S-", 3, "remove 4"},
        {"1VL 2V 3V 4Nx 5Ng", 3, "none 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[32];
        plan(rows[i].row, rows[i].voters, got, sizeof got);
        if (strcmp(got, rows[i].step) != 0) {
            fail_msg("%s, %zu voters: %s, want %s", rows[i].row, rows[i].voters, got, rows[i].step);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
