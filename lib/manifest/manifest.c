/* Manifest: strict reading over jansson, by a table of fields for each object (reader.h).
 *
 * Happy path: size and null checks, jansson (duplicates and trailing data refused), tables, sort,
 * hash. Failure: MANIFEST with every problem and its JSON path; the output stays as it was. Touches
 * no file and no clock; jansson is used in this folder only. Reference values: reference.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/manifest.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "lib/crypto/key.h"
#include "lib/manifest/reader.h"
#include "lib/manifest/reference.h"

/* --- Policies */

/* RFC 1123 section 2.1 labels; a first label "*" as in RFC 6125 section 6.4.3. */
static bool is_dns_name(const char *text) {
    if (strncmp(text, "*.", 2) == 0) {
        text += 2;
    }
    size_t label = 0;
    for (const char *p = text;; p++) {
        if (*p == '.' || *p == '\0') {
            if (label == 0 || label > 63 || p[-1] == '-') {
                return false;
            }
            if (*p == '\0') {
                return true;
            }
            label = 0;
        } else if (isalnum((unsigned char)*p) || (*p == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
}

static bool is_ip_address(const char *text) {
    uint8_t address[16];
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* RFC 3986 section 3: scheme "://" and characters that a URI may hold. */
static bool is_uri(const char *text) {
    size_t scheme =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    if (scheme == 0 || !isalpha((unsigned char)text[0]) || strncmp(text + scheme, "://", 3) != 0 ||
        text[scheme + 3] == '\0') {
        return false;
    }
    for (const char *p = text + scheme + 3; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("-._~:/?#[]@!$&'()*+,;=%", *p) == NULL) {
            return false;
        }
    }
    return true;
}

static bool is_all_digits_and_dots(const char *text) {
    return text[strspn(text, "0123456789.")] == '\0';
}

static void check_san(struct reader *r, const char *text) {
    if (strlen(text) > LIMIT_SAN) {
        reader_complain(r, "longer than 253 bytes");
    } else if (strcmp(text, "*") != 0 && !is_ip_address(text) && !is_uri(text) &&
               (is_all_digits_and_dots(text) || !is_dns_name(text))) {
        reader_complain(r, "neither a DNS name, an IP address, a URI nor \"*\"");
    }
}

static void read_sans(struct reader *r, const json_t *value, void *target) {
    struct policy_entry *entry = target;
    size_t count = reader_list(r, value, LIMIT_SANS);
    entry->sans = arena_alloc(r->arena, (count + 1) * sizeof *entry->sans);
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        const char *text = reader_string(r, json_array_get(value, i));
        if (text != NULL) {
            check_san(r, text);
            entry->sans[i] = arena_strndup(r->arena, text, strlen(text));
        }
        reader_leave(r, old);
    }
    entry->san_count = count;
}

static void read_secret_id(struct reader *r, const json_t *value, void *target) {
    struct policy_entry *entry = target;
    const char *text = reader_string(r, value);
    if (text == NULL) {
        return;
    }
    size_t size = strlen(text);
    if (size > LIMIT_SECRET_ID) {
        reader_complain(r, "longer than 512 bytes");
        return;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            reader_complain(r, "holds a control character");
            return;
        }
    }
    entry->workload_secret_id = arena_strndup(r->arena, text, size);
}

static void read_role(struct reader *r, const json_t *value, void *target) {
    struct policy_entry *entry = target;
    const char *text = reader_string(r, value);
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (strcmp(text, "coordinator") != 0) {
        reader_complain(r, "must be \"coordinator\" or absent");
        return;
    }
    entry->role = ROLE_COORDINATOR;
}

static const struct reader_field policy_fields[] = {
    {"SANs", false, read_sans},
    {"WorkloadSecretID", false, read_secret_id},
    {"Role", false, read_role},
};

static int compare_policies(const void *a, const void *b) {
    return memcmp(((const struct policy_entry *)a)->hash, ((const struct policy_entry *)b)->hash,
                  SHA256_SIZE);
}

static void read_policy(struct reader *r, const char *key, const json_t *value,
                        struct policy_entry *entry) {
    size_t old = reader_enter(r, key);
    entry->workload_secret_id = arena_strndup(r->arena, "", 0);
    reader_decode_hex(r, key, entry->hash, SHA256_SIZE);
    READER_OBJECT(r, value, policy_fields, entry);
    reader_leave(r, old);
}

static bool has_coordinator(const struct manifest *m) {
    for (size_t i = 0; i < m->policy_count; i++) {
        if (m->policies[i].role == ROLE_COORDINATOR) {
            return true;
        }
    }
    return false;
}

static void read_policies(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t count = json_object_size(value);
    if (!json_is_object(value) || count == 0) {
        reader_complain(r, "must be an object with at least one policy");
        return;
    }
    if (count > LIMIT_POLICIES) {
        reader_complain(r, "more than 1024 policies");
        return;
    }
    m->policies = arena_alloc(r->arena, count * sizeof *m->policies);
    json_t *object = json_incref((json_t *)(uintptr_t)value);
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        read_policy(r, json_object_iter_key(it), json_object_iter_value(it),
                    &m->policies[m->policy_count++]);
    }
    json_decref(object);
    qsort(m->policies, count, sizeof *m->policies, compare_policies);
    if (!has_coordinator(m)) {
        reader_complain(r, "no policy has the role \"coordinator\"");
    }
}

/* --- Owner keys */

static int compare_digests(const void *a, const void *b) {
    return memcmp(a, b, SHA256_SIZE);
}

static void read_owner_digests(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t before = r->problems.size;
    m->owner_digests =
        (uint8_t(*)[32])reader_hex_list(r, value, 32, LIMIT_OWNER_KEYS, &m->owner_count);
    if (r->problems.size != before || m->owner_count == 0) {
        return;
    }
    qsort(m->owner_digests, m->owner_count, 32, compare_digests);
    for (size_t i = 1; i < m->owner_count; i++) {
        if (memcmp(m->owner_digests[i - 1], m->owner_digests[i], 32) == 0) {
            reader_complain(r, "names one key twice");
            return;
        }
    }
}

/* RFC 8017 appendix A.1.1, nothing behind it. */
static bool is_rsa_public_key(struct span der) {
    AUTO(key_deinit)
    struct key key = {0};
    return is_ok(key_from_pkcs1(der, KEY_RSA_BITS_MIN, &key, NULL));
}

static bool is_listed(const struct span *items, size_t count, struct span wanted) {
    for (size_t i = 0; i < count; i++) {
        if (span_equal(items[i], wanted)) {
            return true;
        }
    }
    return false;
}

static void read_share_owner(struct reader *r, const json_t *value, struct manifest *m) {
    const char *text = reader_string(r, value);
    if (text == NULL) {
        return;
    }
    size_t size = strlen(text) / 2;
    if (size == 0 || size > LIMIT_PKCS1) {
        reader_complain(r, "must be the hexadecimal PKCS#1 form of an RSA public key");
        return;
    }
    size_t before = r->problems.size;
    uint8_t *der = arena_alloc(r->arena, size);
    reader_decode_hex(r, text, der, size);
    struct span key = span_of(der, size);
    if (r->problems.size != before) {
        return;
    }
    if (!is_rsa_public_key(key)) {
        reader_complain(r, "not a PKCS#1 RSA public key of 2048 to 8192 bits, in DER");
    } else if (is_listed(m->share_owners, m->share_owner_count, key)) {
        reader_complain(r, "stands here twice");
    } else {
        m->share_owners[m->share_owner_count++] = key;
    }
}

static void read_share_owners(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t count = reader_list(r, value, LIMIT_SHARE_OWNERS);
    m->share_owners = arena_alloc(r->arena, (count + 1) * sizeof *m->share_owners);
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        read_share_owner(r, json_array_get(value, i), m);
        reader_leave(r, old);
    }
}

/* Comes after SeedshareOwnerPubKeys: fields are read in the table's order. */
static void read_share_threshold(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t before = r->problems.size;
    uint64_t threshold = reader_number(r, value, LIMIT_SHARE_OWNERS);
    if (r->problems.size == before && (threshold == 0 || threshold > m->share_owner_count)) {
        reader_complainf(r, "must be from 1 to the number of SeedshareOwnerPubKeys, which is %zu",
                         m->share_owner_count);
    }
    m->share_threshold = (size_t)threshold;
}

static void read_auto_recovery(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    m->auto_recovery = reader_bool(r, value);
}

static const struct reader_field manifest_fields[] = {
    {"Policies", true, read_policies},
    {"ReferenceValues", true, reference_read},
    {"WorkloadOwnerKeyDigests", false, read_owner_digests},
    {"SeedshareOwnerPubKeys", false, read_share_owners},
    {"SeedShareOwnerThreshold", false, read_share_threshold},
    {"AutoRecovery", false, read_auto_recovery},
};

/* --- Public */

void manifest_deinit(struct manifest *m) {
    arena_deinit(&m->arena);
    *m = (struct manifest){0};
}

static RESULT check_root(const json_t *root, const json_error_t *json_error, struct err *err) {
    if (root == NULL) {
        return err_set(err, ERR_MANIFEST, "line %d, column %d: %s", json_error->line,
                       json_error->column, json_error->text);
    }
    ENSURE(!json_is_null(root), err, MANIFEST, "is JSON null");
    ENSURE(json_is_object(root), err, MANIFEST, "is not a JSON object");
    return OK;
}

static RESULT read_root(const json_t *root, struct manifest *m, struct err *err) {
    struct reader r = {.arena = &m->arena};
    READER_OBJECT(&r, root, manifest_fields, m);
    if (m->share_threshold == 0 && m->share_owner_count > 0) {
        m->share_threshold = m->share_owner_count / 2 + 1;
    }
    struct result result = OK;
    if (r.problems.size > 0) {
        result = err_set(err, ERR_MANIFEST, "%s", buf_cstr(&r.problems));
    }
    buf_deinit(&r.problems);
    return result;
}

RESULT manifest_parse(struct span json, struct manifest *out, struct err *err) {
    ENSURE(json.size > 0, err, MANIFEST, "is empty");
    ENSURE(json.size <= LIMIT_MANIFEST_SET, err, MANIFEST, "%zu bytes, limit %d", json.size,
           LIMIT_MANIFEST_SET);
    json_error_t json_error = {0};
    json_t *root = json_loadb((const char *)json.data, json.size,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &json_error);
    struct manifest m = {0};
    struct result result = check_root(root, &json_error, err);
    if (is_ok(result)) {
        result = read_root(root, &m, err);
    }
    json_decref(root);
    if (!is_ok(result)) {
        manifest_deinit(&m);
        return result;
    }
    sha256(json, m.hash);
    *out = m;
    return OK;
}

const struct policy_entry *manifest_find_policy(const struct manifest *m, const uint8_t hash[32]) {
    for (size_t i = 0; i < m->policy_count; i++) {
        if (memcmp(m->policies[i].hash, hash, SHA256_SIZE) == 0) {
            return &m->policies[i];
        }
    }
    return NULL;
}

bool manifest_has_owner(const struct manifest *m, const uint8_t digest[32]) {
    for (size_t i = 0; i < m->owner_count; i++) {
        if (memcmp(m->owner_digests[i], digest, SHA256_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

void manifest_policies_hash(const struct manifest *m, uint8_t out[32]) {
    struct buf all = {0};
    for (size_t i = 0; i < m->policy_count; i++) {
        buf_append(&all, m->policies[i].hash, SHA256_SIZE);
    }
    sha256(buf_span(&all), out);
    buf_deinit(&all);
}
