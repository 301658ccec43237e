/* Rows in short hand, one word per id: 1V  voter, 1S  standby, 1N  newcomer (not configured), then
 * flags: L leads, x dead, u unheard now, g gone (wants to leave), c caught up, s only stands by, -
 * without a row, a digit: replaces that member.
 *
 * And every situation of up to four members, played to its end.
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
    struct membership_wish w = {.id = id,
                                .want = MEMBERSHIP_VOTER,
                                .is_reachable = strchr(word, 'x') == NULL,
                                .is_cut = strchr(word, 'u') != NULL,
                                .is_caught_up = strchr(word, 'c') != NULL,
                                .joined = id};
    size_t length = strlen(word);
    if (word[length - 1] >= '0' && word[length - 1] <= '9') {
        w.replaces = (uint64_t)(word[length - 1] - '0');
    }
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
    {"1VL 2Vx 3Vx 4Sc", 3, "none 0"}, /* nothing could be committed */
    {"1VL 2Vu 3Vx 4Sc", 3, "none 0"}, /* nor here: 3 may wake, and then 1 and 3 are a majority */
    {"1VL 2Vu 3Vg", 3, "none 0"},
    {"1VLg 2Vu 3V", 3, "transfer 3"}, /* 2 would not answer, and nothing is taken meanwhile */
    {"1VLg 2Vu 3Vu", 3, "none 0"},
    {"1VL 2Vu 3Vg 4Sc", 3, "promote 4"},
    {"1VL 2Vu 3Vu 4Vg 5V 6Sc", 5, "promote 6"},
    {"1VL 2Vu 3Vu 4Vu 5Vg 6Sc", 5, "none 0"}, /* three of six would be too few */
    {"1VL 2V 3Vx 4Scu", 3, "none 0"},
    {"1VL 2V 3Vx 4Vx 5V 6Sc", 5, "remove 3"},
    {"1VL 2V 4Vx 5V 6Sc", 5, "promote 6"}, /* the other dead may come back */
    {"1VL 2V 4Vx 5V", 5, "remove 4"},      /* 4 with one dead tolerate nothing, 3 do */
    {"1VL 2Vx 3V 4Scs", 3, "none 0"},      /* only stands by */
    /* the same name, or the oldest, or whoever is ready */
    {"1VL 2V 3Vx 4Sc 5Sc", 3, "remove 3"},
    {"1VL 2V 4Sc 5Sc", 3, "promote 4"},
    {"1VL 2V 3Vg 4Sc 5Sc3", 3, "promote 5"},
    {"1VL 2V 3Vg 4Sc 5Sx3", 3, "promote 4"},
    {"1VL 2V 3Vg 4Sc 5Sc2", 3, "promote 4"}, /* 2 stays */
    /* a reachable voter leaves: 3 -> 4 -> 3 if one is ready, else 3 -> 2 */
    {"1VL 2V 3Vg", 3, "remove 3"},
    {"1VL 2V 3Vg 4N", 3, "remove 3"},
    {"1VL 2V 3Vg 4S", 3, "remove 3"},
    {"1VL 2V 3Vg 4Scx", 3, "remove 3"},
    {"1VL 2V 4N", 3, "add 4"},
    {"1VL 2V 4S", 3, "none 0"},
    {"1VL 2V 3Vg 4Sc", 3, "promote 4"},
    {"1VL 2V 3Vg 4V", 3, "remove 3"},
    {"1VL 2V 3Vgx 4Sc", 3, "remove 3"},
    {"1VL 2V 3V 4V 5Vg", 5, "remove 5"},
    {"1VL 2V 3V 4V 5Vg 6Sc", 5, "promote 6"},
    {"1VL 2V 3V 4V 5Vg 6V", 5, "remove 5"},
    {"1VL 2V 3V 4Vg", 5, "remove 4"}, /* 4 -> 3 */
    {"1VL 2V 3Vg 4Sc", 5, "promote 4"},
    /* it does not come back */
    {"1VL 2V 3V-", 3, "remove 3"},
    {"1VL 2V 3Vgx", 3, "remove 3"},
    /* it is still needed: the dead go first, then it; or it waits */
    {"1VL 2Vx 3Vg", 3, "remove 2"},
    {"1VL 3Vg", 3, "remove 3"},
    {"1VL 2V 3Vx 4Vx 5Vg", 5, "remove 3"},
    {"1VL 2V 4Vx 5Vg", 5, "remove 5"},
    {"1VL 2V 5Vg 6Sc", 5, "promote 6"},
    {"1VL 2V 4V 5Vg 6Sc", 5, "remove 5"},
    {"1VL 2Vx 3Vx 4Vg 5Vx", 5, "none 0"},
    /* the dead go before the leaving */
    {"1VL 2Vg 3Vx 4Sc", 3, "remove 3"},
    /* the leader leaves: transfers at once, to a sound voter */
    {"1VLg 2V 3V", 3, "transfer 2"},
    {"1VLg 2Vx 3V", 3, "transfer 3"},
    {"1Vg 2Vx 3VL", 3, "remove 2"},
    {"1VLg 2Vx 3V 4Sc", 3, "transfer 3"},
    {"1VLg 2Vg 3V 4Sc", 3, "transfer 3"},
    {"1VLg 2V 3V 4V", 3, "transfer 2"},
    {"1VLg 2Vg 3Vg", 3, "remove 2"}, /* all leave: the last one has to wait */
    {"1VLg 3Vg", 3, "remove 3"},
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
    {"1VL 2V 3Sx", 3, "remove 3"},
};

static void test_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[32];
        plan(rows[i].row, rows[i].voters, got, sizeof got);
        if (strcmp(got, rows[i].step) != 0) {
            fail_msg("%s, %zu voters: %s, want %s", rows[i].row, rows[i].voters, got, rows[i].step);
        }
    }
}

/* --- Every small situation --- */

struct small {
    struct membership_wish wishes[8];
    bool has_row[8], is_member[8], is_voter[8];
    size_t count, wanted;
    uint64_t leader; /* id: place + 1 */
};

/* Absent; a voter that is sound, dead, leaving, leaving and dead, without a row; a standby that is
 * ready, lags, is dead, leaves, only stands by, is without a row; a newcomer of two kinds. */
#define KINDS 14

static void add_kind(struct small *s, unsigned kind) {
    static const struct {
        enum membership_want want;
        bool is_reachable, is_caught_up, has_row, is_member, is_voter;
    } kinds[KINDS] = {
        {0},
        {MEMBERSHIP_VOTER, true, true, true, true, true},
        {MEMBERSHIP_VOTER, false, false, true, true, true},
        {MEMBERSHIP_GONE, true, true, true, true, true},
        {MEMBERSHIP_GONE, false, false, true, true, true},
        {MEMBERSHIP_VOTER, false, false, false, true, true},
        {MEMBERSHIP_VOTER, true, true, true, true, false},
        {MEMBERSHIP_VOTER, true, false, true, true, false},
        {MEMBERSHIP_VOTER, false, true, true, true, false},
        {MEMBERSHIP_GONE, true, true, true, true, false},
        {MEMBERSHIP_STANDBY, true, true, true, true, false},
        {MEMBERSHIP_VOTER, false, false, false, true, false},
        {MEMBERSHIP_VOTER, true, true, true, false, false},
        {MEMBERSHIP_STANDBY, true, false, true, false, false},
    };
    size_t i = s->count;
    if (kind == 0) {
        return;
    }
    s->wishes[i] = (struct membership_wish){.id = i + 1,
                                            .want = kinds[kind].want,
                                            .is_reachable = kinds[kind].is_reachable,
                                            .is_caught_up = kinds[kind].is_caught_up,
                                            .joined = i + 1};
    s->has_row[i] = kinds[kind].has_row;
    s->is_member[i] = kinds[kind].is_member;
    s->is_voter[i] = kinds[kind].is_voter;
    s->count++;
}

static bool is_alive(const struct small *s, size_t i) {
    return i + 1 == s->leader || (s->has_row[i] && s->wishes[i].is_reachable);
}

static bool is_going(const struct small *s, size_t i) {
    return !s->has_row[i] || s->wishes[i].want == MEMBERSHIP_GONE;
}

static size_t count_voters(const struct small *s, bool alive_only) {
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        n += s->is_voter[i] && (!alive_only || is_alive(s, i));
    }
    return n;
}

static bool has_quorum(const struct small *s) {
    return count_voters(s, true) > count_voters(s, false) / 2;
}

static struct membership_step next_of(const struct small *s) {
    struct membership_wish wishes[8];
    struct node_member members[8];
    struct membership_input input = {
        .wishes = wishes, .members = members, .voters = s->wanted, .leader = s->leader};
    for (size_t i = 0; i < s->count; i++) {
        if (s->has_row[i]) {
            wishes[input.wish_count++] = s->wishes[i];
        }
        if (s->is_member[i]) {
            members[input.member_count++] =
                (struct node_member){i + 1, s->is_voter[i] ? NODE_VOTER : NODE_STANDBY};
        }
    }
    return membership_next(&input);
}

static void take(struct small *s, struct membership_step step) {
    size_t i = (size_t)step.id - 1;
    assert_true(step.id >= 1 && step.id <= s->count);
    switch (step.action) {
    case MEMBERSHIP_ADD:
        assert_true(!s->is_member[i] && is_alive(s, i) && !is_going(s, i));
        s->is_member[i] = true;
        break;
    case MEMBERSHIP_PROMOTE:
        assert_true(s->is_member[i] && !s->is_voter[i] && is_alive(s, i));
        assert_true(s->wishes[i].want == MEMBERSHIP_VOTER && s->wishes[i].is_caught_up);
        s->is_voter[i] = true;
        break;
    case MEMBERSHIP_TRANSFER:
        assert_true(s->is_voter[i] && is_alive(s, i) && !is_going(s, i) && step.id != s->leader);
        s->leader = step.id;
        break;
    case MEMBERSHIP_REMOVE:
        assert_true(s->is_member[i] && step.id != s->leader);
        s->is_member[i] = s->is_voter[i] = s->has_row[i] = false; /* ids do not come back */
        break;
    case MEMBERSHIP_NONE:
        fail();
    }
}

/* What must hold where nothing is left to do. */
static bool is_at_rest(const struct small *s) {
    size_t voters = count_voters(s, false);
    size_t alive = count_voters(s, true);
    bool has_sound = false;
    size_t ready = 0;
    for (size_t i = 0; i < s->count; i++) {
        bool follows = s->is_voter[i] && i + 1 != s->leader;
        has_sound = has_sound || (follows && is_alive(s, i) && !is_going(s, i));
        ready += s->is_member[i] && !s->is_voter[i] && is_alive(s, i) && !is_going(s, i) &&
                 s->wishes[i].want == MEMBERSHIP_VOTER && s->wishes[i].is_caught_up;
        bool waits = follows && is_going(s, i);
        if (waits && alive - is_alive(s, i) > (voters - 1) / 2) {
            return false; /* the rest could go on without it */
        }
        if (!s->is_member[i] && s->has_row[i] && !is_going(s, i) && is_alive(s, i)) {
            return false; /* it was not added */
        }
    }
    if (is_going(s, (size_t)s->leader - 1) && has_sound) {
        return false;
    }
    return !has_quorum(s) || (voters <= s->wanted && (voters % 2 == 1 || ready == 0) &&
                              (voters + 2 > s->wanted || ready < 2));
}

/* As a row of the table above. */
static void explain(const struct small *s, struct membership_step step) {
    for (size_t i = 0; i < s->count; i++) {
        print_error("%zu%c%s%s%s%s ", i + 1,
                    s->is_voter[i]    ? 'V'
                    : s->is_member[i] ? 'S'
                                      : 'N',
                    s->leader == i + 1 ? "L" : "", is_alive(s, i) ? "" : "x",
                    is_going(s, i) ? "g" : "", s->wishes[i].is_caught_up ? "c" : "");
    }
    fail_msg("%zu wanted: %s %u", s->wanted, membership_action_name(step.action),
             (unsigned)step.id);
}

static size_t situations, longest;

static void play(struct small s) {
    size_t steps = 0;
    size_t bound = 3 * s.count + 2;
    situations++;
    for (struct membership_step next = next_of(&s); next.action != MEMBERSHIP_NONE;
         next = next_of(&s)) {
        bool had_quorum = has_quorum(&s);
        size_t before = count_voters(&s, false);
        struct small was = s;
        take(&s, next);
        if (had_quorum && !has_quorum(&s)) {
            explain(&was, next);
        }
        size_t after = count_voters(&s, false);
        assert_true(!had_quorum || has_quorum(&s));
        assert_true(after >= 1 && s.is_voter[s.leader - 1]);
        assert_true(after <= before || after <= s.wanted + 1);
        assert_true(++steps <= bound);
    }
    longest = steps > longest ? steps : longest;
    if (!is_at_rest(&s)) {
        explain(&s, next_of(&s));
    }
}

static void play_from_each_leader(struct small *s) {
    for (size_t i = 0; i < s->count; i++) {
        if (s->is_voter[i] && s->has_row[i] && s->wishes[i].is_reachable) {
            s->leader = i + 1;
            for (s->wanted = 1; s->wanted <= LIMIT_VOTERS; s->wanted += 2) {
                play(*s);
            }
        }
    }
}

static void test_every_small_situation(void **state) {
    (void)state;
    for (unsigned code = 0; code < KINDS * KINDS * KINDS * KINDS; code++) {
        struct small s = {0};
        for (unsigned rest = code, i = 0; i < 4; i++, rest /= KINDS) {
            add_kind(&s, rest % KINDS);
        }
        play_from_each_leader(&s);
    }
    print_message("%zu situations, at rest after at most %zu steps\n", situations, longest);
}

/* Larger ones at random. */
static void test_larger_situations(void **state) {
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 40000; i++) {
        struct small s = {0};
        for (int j = 0; j < 8; j++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            unsigned kind = (unsigned)(random >> 33) % (KINDS + 6);
            bool is_full = count_voters(&s, false) == LIMIT_VOTERS + 1;
            kind = kind >= KINDS ? 1 : kind;
            add_kind(&s, is_full && kind >= 1 && kind <= 5 ? 6 : kind);
        }
        play_from_each_leader(&s);
    }
    print_message("%zu situations, at rest after at most %zu steps\n", situations, longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_every_small_situation),
        cmocka_unit_test(test_larger_situations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
