/* Retry-After: see retry_after.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/retry_after.h"

#include <string.h>
#include <time.h>

#include "lib/base/limits.h"

/* RFC 9110 section 5.6.7. w: name of a day; D: day of the month, two digits or a space and one;
 * b: name of a month; Y, y: year of four digits, of two; H, I, S: two digits each. The rest stands
 * for itself. */
static const char *const DATES[] = {"w, D b Y H:I:S GMT", "w, D-b-y H:I:S GMT", "w b D H:I:S Y"};

static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* What is left to read, and whether all fitted so far. */
struct cursor {
    struct span rest;
    bool good;
};

static void skip(struct cursor *c, size_t n) {
    c->rest = span_of(c->rest.data + n, c->rest.size - n);
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* A number of exactly `digits` digits; the first may be a space when `padded`. */
static int take_number(struct cursor *c, size_t digits, bool padded) {
    int value = 0;
    if (c->rest.size < digits) {
        c->good = false;
        return 0;
    }
    for (size_t i = 0; i < digits; i++) {
        uint8_t d = c->rest.data[i];
        bool blank = padded && i == 0 && d == ' ';
        c->good = c->good && (blank || is_digit(d));
        value = value * 10 + (is_digit(d) ? d - '0' : 0);
    }
    skip(c, digits);
    return value;
}

static void take_day_name(struct cursor *c) {
    size_t n = 0;
    while (n < c->rest.size && is_letter(c->rest.data[n])) {
        n++;
    }
    c->good = c->good && n >= 3 && n <= 9; /* "Sun" to "Wednesday" */
    skip(c, n);
}

static int take_month(struct cursor *c) {
    for (int i = 0; i < 12 && c->rest.size >= 3; i++) {
        if (memcmp(c->rest.data, MONTHS + 3 * (size_t)i, 3) == 0) {
            skip(c, 3);
            return i;
        }
    }
    c->good = false;
    return 0;
}

static void take_literal(struct cursor *c, char expected) {
    if (c->rest.size == 0 || c->rest.data[0] != (uint8_t)expected) {
        c->good = false;
        return;
    }
    skip(c, 1);
}

/* The next year that ends so, unless that is more than 50 years ahead: then the last one. */
static int full_year(int two_digits, int64_t now_s) {
    struct tm now = {0};
    time_t t = (time_t)now_s;
    if (gmtime_r(&t, &now) == NULL) {
        return 1900 + two_digits;
    }
    int this_year = 1900 + now.tm_year;
    int year = this_year / 100 * 100 + two_digits;
    year += year < this_year ? 100 : 0;
    return year > this_year + 50 ? year - 100 : year;
}

static void take_part(struct cursor *c, char part, int64_t now_s, struct tm *tm) {
    switch (part) {
    case 'w':
        take_day_name(c);
        break;
    case 'D':
        tm->tm_mday = take_number(c, 2, true);
        break;
    case 'b':
        tm->tm_mon = take_month(c);
        break;
    case 'Y':
        tm->tm_year = take_number(c, 4, false) - 1900;
        break;
    case 'y':
        tm->tm_year = full_year(take_number(c, 2, false), now_s) - 1900;
        break;
    case 'H':
        tm->tm_hour = take_number(c, 2, false);
        break;
    case 'I':
        tm->tm_min = take_number(c, 2, false);
        break;
    case 'S':
        tm->tm_sec = take_number(c, 2, false);
        break;
    default:
        take_literal(c, part);
    }
}

/* False for other text and for a day that no calendar has. */
static bool read_date(struct span text, const char *form, int64_t now_s, int64_t *out) {
    struct cursor c = {text, true};
    struct tm tm = {0};
    for (const char *part = form; *part != '\0' && c.good; part++) {
        take_part(&c, *part, now_s, &tm);
    }
    bool in_range = tm.tm_mday >= 1 && tm.tm_hour <= 23 && tm.tm_min <= 59 && tm.tm_sec <= 60;
    if (!c.good || c.rest.size > 0 || !in_range) {
        return false;
    }
    int day = tm.tm_mday;
    int leap = tm.tm_sec == 60 ? 1 : 0;
    tm.tm_sec -= leap;
    time_t t = timegm(&tm); /* moves the 31st of a shorter month on */
    *out = (int64_t)t + leap;
    return tm.tm_mday == day;
}

static struct span trim(struct span s) {
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s = span_of(s.data + 1, s.size - 1);
    }
    while (s.size > 0 && strchr(" \t\r\n", s.data[s.size - 1]) != NULL &&
           s.data[s.size - 1] != '\0') {
        s.size--;
    }
    return s;
}

/* Digits alone; stops counting where the limit is passed. */
static bool read_seconds(struct span text, uint64_t *out) {
    uint64_t seconds = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i])) {
            return false;
        }
        if (seconds <= LIMIT_KDS_RETRY_MS / 1000) {
            seconds = seconds * 10 + (uint64_t)(text.data[i] - '0');
        }
    }
    *out = seconds;
    return text.size > 0;
}

struct result retry_after_parse(struct span value, int64_t now_s, uint64_t *ms, struct err *err) {
    struct span text = trim(value);
    const uint64_t most = LIMIT_KDS_RETRY_MS / 1000;
    uint64_t seconds = 0;
    bool good = read_seconds(text, &seconds);
    for (size_t i = 0; i < sizeof DATES / sizeof DATES[0] && !good; i++) {
        int64_t date = 0;
        good = read_date(text, DATES[i], now_s, &date);
        seconds = good && date > now_s ? (uint64_t)date - (uint64_t)now_s : 0;
    }
    ENSURE(good, err, MALFORMED, "Retry-After: neither seconds nor an HTTP date: '%.*s'",
           (int)(text.size < 64 ? text.size : 64), text.size > 0 ? (const char *)text.data : "");
    *ms = (seconds < most ? seconds : most) * 1000;
    return OK;
}
