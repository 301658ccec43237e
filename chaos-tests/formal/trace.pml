/* A trace of contrast-sim as the models read it, with -DREPLAY: one event at a time
 * (chaos-tests/sim/sim_model.h says which there are). TRACE in the environment names the file. What
 * a model has no word for it passes over; what is no event at all is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define EV_BORN 1
#define EV_FOUND 2
#define EV_START 3
#define EV_LEAD 4
#define EV_WELL 5
#define EV_ADMIT 6
#define EV_RETIRE 7
#define EV_DROP 8
#define EV_ADD 9
#define EV_PROMOTE 10
#define EV_REMOVE 11
#define EV_SET 12
#define EV_ISSUE 13
#define EV_RECOVER 14
#define EV_HOLDS 15
#define EV_ASK 16
#define EV_ACK 17
#define EV_CERT 18
#define EV_READ 19
#define EV_GONE 20
#define EV_END 21
#define EV_FULL 22
#define EV_RUN 23
#define EV_BAD 0

byte what;         /* an event */
int a, b, c, d, e; /* and its numbers, each from 0 to 2^31 - 1 */
int line;          /* so that no two states are the same */

c_decl {
    \#include <stdio.h>
    \#include <stdlib.h>
    \#include <string.h>

    static FILE *trace_file;
    static long trace_line;
    static char trace_text[256];
    static long long trace_numbers[6];

    static const struct {
        const char *word;
        int kind, count;
    } trace_words[] = {
        {"BORN", EV_BORN, 2},
        {"FOUND", EV_FOUND, 1},
        {"START", EV_START, 1},
        {"LEAD", EV_LEAD, 3},
        {"WELL", EV_WELL, 1},
        {"ADMIT", EV_ADMIT, 4},
        {"RETIRE", EV_RETIRE, 3},
        {"DROP", EV_DROP, 3},
        {"ADD", EV_ADD, 3},
        {"PROMOTE", EV_PROMOTE, 3},
        {"REMOVE", EV_REMOVE, 3},
        {"SET", EV_SET, 3},
        {"ISSUE", EV_ISSUE, 2},
        {"RECOVER", EV_RECOVER, 5},
        {"HOLDS", EV_HOLDS, 4},
        {"ASK", EV_ASK, 1},
        {"ACK", EV_ACK, 2},
        {"CERT", EV_CERT, 2},
        {"READ", EV_READ, 2},
        {"GONE", EV_GONE, 1},
        {"END", EV_END, 0},
        {"FULL", EV_FULL, 0},
        {"RUN", EV_RUN, 2},
    };

    static int trace_read(void) {
        char word[16];
        if (trace_file == NULL) {
            const char *name = getenv("TRACE");
            trace_file = name == NULL ? NULL : fopen(name, "r");
        }
        strcpy(trace_text, "nothing behind it\n");
        if (trace_file == NULL || fgets(trace_text, sizeof trace_text, trace_file) == NULL) {
            return EV_BAD;
        }
        trace_line++;
        memset(trace_numbers, 0, sizeof trace_numbers);
        long long *n = trace_numbers;
        int count = sscanf(trace_text, "%15s %lld %lld %lld %lld %lld %lld", word, &n[0], &n[1], &n[2],
                           &n[3], &n[4], &n[5]) - 1;
        for (int i = 0; i < count; i++) {
            if (n[i] < 0 || n[i] >= 1LL << 31) {
                return EV_BAD;
            }
        }
        for (unsigned i = 0; i < sizeof trace_words / sizeof trace_words[0]; i++) {
            if (strcmp(word, trace_words[i].word) == 0) {
                return count == trace_words[i].count ? trace_words[i].kind : EV_BAD;
            }
        }
        return EV_BAD;
    }
}

inline read_event() {
    c_code {
        now.what = trace_read();
        now.a = trace_numbers[0];
        now.b = trace_numbers[1];
        now.c = trace_numbers[2];
        now.d = trace_numbers[3];
        now.e = trace_numbers[4];
        now.line++;
    }
}

inline refuse() {
    c_code { printf("refused: line %ld: %s", trace_line, trace_text); };
    assert(false)
}

inline allow() {
    c_code { printf("allowed: %ld lines\n", trace_line); }
}
