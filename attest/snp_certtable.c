/* Certificate table: see snp_certtable.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_certtable.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"

#define GUID_SIZE 16
#define ENTRY_SIZE ((size_t)24) /* GUID, u32 offset, u32 length */
#define KNOWN_COUNT 5

struct known {
    uint8_t guid[GUID_SIZE];
    size_t member; /* offset of the span in struct snp_certtable */
    size_t limit;  /* bytes */
    const char *name;
};

/* 63da758d-e664-4564-adc5-f4b93be8accd, a8074bc2-a25a-483e-aae6-39c045a0b8a1,
 * 4ab7b379-bbac-4fe4-a02f-05aef327c782, c0b406a4-a803-4952-9743-3fb6014cd0ae,
 * 92f81bc3-5811-4d3d-97ff-d19f88dc67ea */
static const struct known known[KNOWN_COUNT] = {
    {{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac,
      0xcd},
     offsetof(struct snp_certtable, vcek),
     LIMIT_CERT,
     "VCEK"},
    {{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8,
      0xa1},
     offsetof(struct snp_certtable, vlek),
     LIMIT_CERT,
     "VLEK"},
    {{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7,
      0x82},
     offsetof(struct snp_certtable, ask),
     LIMIT_CERT,
     "ASK"},
    {{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0,
      0xae},
     offsetof(struct snp_certtable, ark),
     LIMIT_CERT,
     "ARK"},
    {{0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67,
      0xea},
     offsetof(struct snp_certtable, crl),
     (size_t)LIMIT_CRL,
     "CRL"},
};

static const struct known *find(const uint8_t *guid) {
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (memcmp(known[i].guid, guid, GUID_SIZE) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static struct span *member_of(struct snp_certtable *table, const struct known *k) {
    return (struct span *)(void *)((char *)table + k->member);
}

static struct span content_of(const struct snp_certtable *table, const struct known *k) {
    struct span content;
    memcpy(&content, (const char *)table + k->member, sizeof content);
    return content;
}

/* The number of entries before the terminator. */
static RESULT count_entries(struct span bytes, size_t *count, struct err *err) {
    for (size_t i = 0; i <= LIMIT_SNP_CERTTABLE_ENTRIES; i++) {
        ENSURE(bytes.size - i * ENTRY_SIZE >= ENTRY_SIZE, err, MALFORMED,
               "certificate table: ends after %zu entries without a terminator", i);
        if (span_is_zero(span_of(bytes.data + i * ENTRY_SIZE, ENTRY_SIZE))) {
            *count = i;
            return OK;
        }
    }
    return err_set(err, ERR_TOO_LARGE, "certificate table: more than %d entries",
                   LIMIT_SNP_CERTTABLE_ENTRIES);
}

static RESULT check_unique(struct span bytes, size_t index, struct err *err) {
    const uint8_t *guid = bytes.data + index * ENTRY_SIZE;
    ENSURE(!span_is_zero(span_of(guid, GUID_SIZE)), err, MALFORMED,
           "certificate table: entry %zu: zero GUID with an offset or a length", index);
    for (size_t i = 0; i < index; i++) {
        ENSURE(memcmp(bytes.data + i * ENTRY_SIZE, guid, GUID_SIZE) != 0, err, MALFORMED,
               "certificate table: entry %zu: same GUID as entry %zu", index, i);
    }
    return OK;
}

static RESULT read_entry(struct span bytes, size_t index, size_t header_size,
                         struct snp_certtable *out, struct err *err) {
    const uint8_t *entry = bytes.data + index * ENTRY_SIZE;
    uint64_t offset = load_u32le(entry + GUID_SIZE);
    uint64_t length = load_u32le(entry + GUID_SIZE + 4);
    const struct known *k = find(entry);
    const char *name = k != NULL ? k->name : "unknown GUID";
    ENSURE(offset >= header_size, err, MALFORMED,
           "certificate table: entry %zu (%s): offset %llu lies in the entries (%zu bytes)", index,
           name, (unsigned long long)offset, header_size);
    ENSURE(offset + length <= bytes.size, err, MALFORMED,
           "certificate table: entry %zu (%s): ends at %llu, the table has %zu bytes", index, name,
           (unsigned long long)(offset + length), bytes.size);
    if (k == NULL) {
        return OK;
    }
    ENSURE(length > 0, err, MALFORMED, "certificate table: entry %zu (%s): empty", index, name);
    ENSURE(length <= k->limit, err, TOO_LARGE,
           "certificate table: entry %zu (%s): %llu bytes, limit %zu", index, name,
           (unsigned long long)length, k->limit);
    *member_of(out, k) = span_of(bytes.data + offset, (size_t)length);
    return OK;
}

/* Checks every entry and fills *table; *count is the number of entries. */
static struct result read_all(struct span bytes, struct snp_certtable *table, size_t *count,
                              struct err *err) {
    ENSURE(bytes.size <= LIMIT_SNP_CERTTABLE, err, TOO_LARGE,
           "certificate table: %zu bytes, limit %d", bytes.size, LIMIT_SNP_CERTTABLE);
    *count = 0;
    if (bytes.size > 0) {
        TRY(count_entries(bytes, count, err));
    }
    for (size_t i = 0; i < *count; i++) {
        TRY(check_unique(bytes, i, err));
        TRY(read_entry(bytes, i, (*count + 1) * ENTRY_SIZE, table, err));
    }
    return OK;
}

struct result snp_certtable_parse(struct span bytes, struct snp_certtable *out, struct err *err) {
    struct snp_certtable table = {0};
    size_t count = 0;
    TRY(read_all(bytes, &table, &count, err));
    *out = table;
    return OK;
}

/* 8-4-4-4-12 digits; the bytes stand in the order of the text. */
static void format_guid(const uint8_t guid[GUID_SIZE], char out[37]) {
    char hex[2 * GUID_SIZE + 1];
    hex_encode(span_of(guid, GUID_SIZE), hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

struct result snp_certtable_list(struct span bytes, struct snp_certtable_entry *out, size_t *count,
                                 struct err *err) {
    struct snp_certtable table = {0};
    size_t found = 0;
    TRY(read_all(bytes, &table, &found, err));
    for (size_t i = 0; i < found; i++) {
        const uint8_t *entry = bytes.data + i * ENTRY_SIZE;
        const struct known *k = find(entry);
        size_t offset = load_u32le(entry + GUID_SIZE);
        out[i] = (struct snp_certtable_entry){
            .name = k != NULL ? k->name : NULL,
            .offset = offset,
            .content = span_of(bytes.data + offset, load_u32le(entry + GUID_SIZE + 4))};
        format_guid(entry, out[i].guid);
    }
    *count = found;
    return OK;
}

static bool is_empty(const struct snp_certtable *table) {
    bool empty = true;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        empty = empty && content_of(table, &known[i]).size == 0;
    }
    return empty;
}

bool snp_certtable_is_table(struct span bytes) {
    struct snp_certtable table = {0};
    if (bytes.size >= ENTRY_SIZE && find(bytes.data) != NULL) {
        return true;
    }
    return is_ok(snp_certtable_parse(bytes, &table, NULL)) && !is_empty(&table);
}

void snp_certtable_encode(const struct snp_certtable *table, struct buf *out) {
    size_t offset = ENTRY_SIZE;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        offset += content_of(table, &known[i]).size > 0 ? ENTRY_SIZE : 0;
    }
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        struct span content = content_of(table, &known[i]);
        CHECK(content.size <= known[i].limit);
        if (content.size > 0) {
            buf_append(out, known[i].guid, GUID_SIZE);
            uint8_t *at = buf_extend(out, 8);
            store_u32le(at, (uint32_t)offset);
            store_u32le(at + 4, (uint32_t)content.size);
            offset += content.size;
        }
    }
    memset(buf_extend(out, ENTRY_SIZE), 0, ENTRY_SIZE);
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        buf_append_span(out, content_of(table, &known[i]));
    }
}
