/* Manifest: strict reader over jansson.
 *
 * Each JSON object is read by a table of its fields; the reader carries the JSON path of where it
 * stands and collects every problem with it, so that a person mends a manifest in one go:
 *
 *     ReferenceValues.snp[0].MinimumTCB.SNPVersion: must not be empty; Policies.ab: ...
 *
 * Happy path: size and null checks, jansson (duplicates and trailing data refused), tables, sort,
 * hash. Failure: MANIFEST, the output stays as it was. Touches no file and no clock; jansson is
 * used here only.
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

#define PATH_SIZE 512
#define SHARE_KEY_BITS_MIN 2048
#define SHARE_KEY_DER_MAX 2080 /* RSA with 16384 bits */

struct reader {
    struct arena *arena;  /* borrowed: the manifest's */
    struct buf problems;  /* owned */
    char path[PATH_SIZE]; /* where we are, "" at the top */
};

/* One field of an object; `read` gets the target of the whole object. */
struct field {
    const char *name;
    bool is_required;
    void (*read)(struct reader *r, const json_t *value, void *target);
};

/* --- Problems and paths */

static void complain(struct reader *r, const char *text) {
    if (r->problems.size > ERR_TEXT_SIZE) {
        return; /* more would not fit the error */
    }
    const char *separator = r->problems.size > 0 ? "; " : "";
    const char *colon = r->path[0] != '\0' ? ": " : "";
    buf_appendf(&r->problems, "%s%s%s%s", separator, r->path, colon, text);
}

static size_t enter(struct reader *r, const char *name) {
    size_t old = strlen(r->path);
    (void)snprintf(r->path + old, PATH_SIZE - old, "%s%.*s", old > 0 ? "." : "", 80, name);
    return old;
}

static size_t enter_index(struct reader *r, size_t index) {
    size_t old = strlen(r->path);
    (void)snprintf(r->path + old, PATH_SIZE - old, "[%zu]", index);
    return old;
}

static void leave(struct reader *r, size_t old) {
    r->path[old] = '\0';
}

/* --- Objects and lists */

static const struct field *find_field(const struct field *fields, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static void refuse_unknown(struct reader *r, json_t *object, const struct field *fields,
                           size_t count) {
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        if (find_field(fields, count, json_object_iter_key(it)) == NULL) {
            size_t old = enter(r, json_object_iter_key(it));
            complain(r, "unknown field");
            leave(r, old);
        }
    }
}

static void read_object(struct reader *r, const json_t *value, const struct field *fields,
                        size_t count, void *target) {
    if (!json_is_object(value)) {
        complain(r, "must be an object");
        return;
    }
    json_t *object = json_incref((json_t *)(uintptr_t)value);
    refuse_unknown(r, object, fields, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *member = json_object_get(object, fields[i].name);
        size_t old = enter(r, fields[i].name);
        if (member != NULL) {
            fields[i].read(r, member, target);
        } else if (fields[i].is_required) {
            complain(r, "must not be empty");
        }
        leave(r, old);
    }
    json_decref(object);
}

#define READ_OBJECT(r, value, fields, target)                                                      \
    read_object((r), (value), (fields), sizeof(fields) / sizeof((fields)[0]), (target))

/* The number of items of a list; null counts as an empty one. Complains and answers 0 otherwise. */
static size_t list_size(struct reader *r, const json_t *value, size_t limit) {
    if (json_is_null(value)) {
        return 0;
    }
    if (!json_is_array(value)) {
        complain(r, "must be a list");
        return 0;
    }
    size_t count = json_array_size(value);
    if (count > limit) {
        char text[80];
        (void)snprintf(text, sizeof text, "%zu items, limit %zu", count, limit);
        complain(r, text);
        return 0;
    }
    return count;
}

/* --- Scalars */

static const char *read_string(struct reader *r, const json_t *value) {
    if (!json_is_string(value)) {
        complain(r, "must be a string");
        return NULL;
    }
    return json_string_value(value);
}

static bool read_bool(struct reader *r, const json_t *value) {
    if (!json_is_boolean(value)) {
        complain(r, "must be true or false");
    }
    return json_is_true(value);
}

static uint8_t read_u8(struct reader *r, const json_t *value) {
    if (json_is_null(value)) {
        complain(r, "must not be empty");
        return 0;
    }
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    if (n < 0 || n > 255) {
        complain(r, "must be an integer from 0 to 255");
        return 0;
    }
    return (uint8_t)n;
}

static bool is_lower_hex(const char *text) {
    return text[strspn(text, "0123456789abcdef")] == '\0';
}

static void decode_hex(struct reader *r, const char *text, uint8_t *out, size_t size) {
    if (strlen(text) != 2 * size || !is_lower_hex(text)) {
        char problem[80];
        (void)snprintf(problem, sizeof problem, "must be %zu lower-case hexadecimal digits",
                       2 * size);
        complain(r, problem);
        return;
    }
    err_ignore(hex_decode(span_str(text), out, size, NULL), "digits checked above");
}

static void read_hex(struct reader *r, const json_t *value, uint8_t *out, size_t size) {
    const char *text = read_string(r, value);
    if (text != NULL) {
        decode_hex(r, text, out, size);
    }
}

/* `count` items of `size` bytes each, from the arena. */
static uint8_t *read_hex_list(struct reader *r, const json_t *value, size_t size, size_t limit,
                              size_t *count) {
    *count = list_size(r, value, limit);
    if (*count == 0) {
        return NULL;
    }
    uint8_t *items = arena_alloc(r->arena, *count * size);
    for (size_t i = 0; i < *count; i++) {
        size_t old = enter_index(r, i);
        read_hex(r, json_array_get(value, i), items + i * size, size);
        leave(r, old);
    }
    return items;
}

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
        complain(r, "longer than 253 bytes");
    } else if (strcmp(text, "*") != 0 && !is_ip_address(text) && !is_uri(text) &&
               (is_all_digits_and_dots(text) || !is_dns_name(text))) {
        complain(r, "neither a DNS name, an IP address, a URI nor \"*\"");
    }
}

static void read_sans(struct reader *r, const json_t *value, void *target) {
    struct policy_entry *entry = target;
    size_t count = list_size(r, value, LIMIT_SANS);
    entry->sans = arena_alloc(r->arena, (count + 1) * sizeof *entry->sans);
    for (size_t i = 0; i < count; i++) {
        size_t old = enter_index(r, i);
        const char *text = read_string(r, json_array_get(value, i));
        if (text != NULL) {
            check_san(r, text);
            entry->sans[i] = arena_strndup(r->arena, text, strlen(text));
        }
        leave(r, old);
    }
    entry->san_count = count;
}

static void read_secret_id(struct reader *r, const json_t *value, void *target) {
    struct policy_entry *entry = target;
    const char *text = read_string(r, value);
    if (text == NULL) {
        return;
    }
    size_t size = strlen(text);
    if (size > LIMIT_SECRET_ID) {
        complain(r, "longer than 512 bytes");
        return;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            complain(r, "holds a control character");
            return;
        }
    }
    entry->workload_secret_id = arena_strndup(r->arena, text, size);
}

static void read_role(struct reader *r, const json_t *value, void *target) {
    struct policy_entry *entry = target;
    const char *text = read_string(r, value);
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (strcmp(text, "coordinator") != 0) {
        complain(r, "must be \"coordinator\" or absent");
        return;
    }
    entry->role = ROLE_COORDINATOR;
}

static const struct field policy_fields[] = {
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
    size_t old = enter(r, key);
    entry->workload_secret_id = arena_strndup(r->arena, "", 0);
    decode_hex(r, key, entry->hash, SHA256_SIZE);
    READ_OBJECT(r, value, policy_fields, entry);
    leave(r, old);
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
        complain(r, "must be an object with at least one policy");
        return;
    }
    if (count > LIMIT_POLICIES) {
        complain(r, "more than 1024 policies");
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
        complain(r, "no policy has the role \"coordinator\"");
    }
}

/* --- Reference values: TCB and guest policy */

#define TCB_FIELD(member)                                                                          \
    static void read_tcb_##member(struct reader *r, const json_t *value, void *target) {           \
        ((struct snp_reference *)target)->minimum_tcb.member = read_u8(r, value);                  \
    }
TCB_FIELD(fmc)
TCB_FIELD(bootloader)
TCB_FIELD(tee)
TCB_FIELD(snp)
TCB_FIELD(microcode)

static const struct field tcb_fields[] = {
    {"BootloaderVersion", true, read_tcb_bootloader},
    {"TEEVersion", true, read_tcb_tee},
    {"SNPVersion", true, read_tcb_snp},
    {"MicrocodeVersion", true, read_tcb_microcode},
    {"FMCVersion", false, read_tcb_fmc},
};

static void read_tcb(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *ref = target;
    READ_OBJECT(r, value, tcb_fields, ref);
    bool has_fmc = json_object_get(value, "FMCVersion") != NULL;
    size_t old = enter(r, "FMCVersion");
    if (has_fmc && ref->product != SNP_TURIN) {
        complain(r, "exists on product Turin only");
    } else if (!has_fmc && ref->product == SNP_TURIN) {
        complain(r, "must not be empty on product Turin");
    }
    leave(r, old);
}

static void read_abi_minor(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->policy_abi_minor = read_u8(r, value);
}

static void read_abi_major(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->policy_abi_major = read_u8(r, value);
}

static void allow_bit(struct reader *r, const json_t *value, void *target, unsigned bit) {
    if (read_bool(r, value)) {
        ((struct snp_reference *)target)->policy_allowed |= UINT64_C(1) << bit;
    }
}

static void require_bit(struct reader *r, const json_t *value, void *target, unsigned bit) {
    if (read_bool(r, value)) {
        ((struct snp_reference *)target)->policy_required |= UINT64_C(1) << bit;
    }
}

/* Bits of POLICY: AMD 56860, table "Guest Policy". */
#define POLICY_BIT(name, action, bit)                                                              \
    static void read_bit_##name(struct reader *r, const json_t *value, void *target) {             \
        action(r, value, target, (bit));                                                           \
    }
POLICY_BIT(smt, allow_bit, 16)
POLICY_BIT(single_socket, require_bit, 20)
POLICY_BIT(cxl, allow_bit, 21)
POLICY_BIT(aes256_xts, require_bit, 22)
POLICY_BIT(rapl, require_bit, 23)
POLICY_BIT(ciphertext, require_bit, 24)
POLICY_BIT(page_swap, require_bit, 25)

/* Bits that would let the host read or move the guest. */
static void read_forbidden(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (read_bool(r, value)) {
        complain(r, "must be false: it would open the guest to the host");
    }
}

static const struct field guest_policy_fields[] = {
    {"ABIMinor", false, read_abi_minor},
    {"ABIMajor", false, read_abi_major},
    {"SMT", false, read_bit_smt},
    {"MigrateMA", false, read_forbidden},
    {"Debug", false, read_forbidden},
    {"SingleSocket", false, read_bit_single_socket},
    {"CXLAllowed", false, read_bit_cxl},
    {"MemAES256XTS", false, read_bit_aes256_xts},
    {"RAPLDis", false, read_bit_rapl},
    {"CipherTextHidingDRAM", false, read_bit_ciphertext},
    {"PageSwapDisable", false, read_bit_page_swap},
};

static void read_guest_policy(struct reader *r, const json_t *value, void *target) {
    READ_OBJECT(r, value, guest_policy_fields, target);
}

/* --- Reference values: one set */

const char *snp_product_name(enum snp_product p) {
    static const char *const names[] = {
        [SNP_PRODUCT_UNKNOWN] = "unknown",
        [SNP_MILAN] = "Milan",
        [SNP_GENOA] = "Genoa",
        [SNP_TURIN] = "Turin",
    };
    return (size_t)p < sizeof names / sizeof names[0] ? names[p] : names[SNP_PRODUCT_UNKNOWN];
}

static void read_product(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *ref = target;
    const char *text = read_string(r, value);
    for (enum snp_product p = SNP_MILAN; text != NULL && p <= SNP_TURIN; p++) {
        if (strcmp(text, snp_product_name(p)) == 0) {
            ref->product = p;
            return;
        }
    }
    complain(r, "must be \"Milan\", \"Genoa\" or \"Turin\"");
}

static void read_measurement(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *ref = target;
    const char *text = read_string(r, value);
    if (text == NULL) {
        return;
    }
    decode_hex(r, text, ref->measurement, sizeof ref->measurement);
    if (strlen(text) == 96 && strspn(text, "0") == 96) {
        complain(r, "is all zero, no guest measures to that");
    }
}

static void read_chip_ids(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *ref = target;
    size_t before = r->problems.size;
    ref->chip_ids =
        (uint8_t(*)[64])read_hex_list(r, value, 64, LIMIT_CHIP_IDS, &ref->chip_id_count);
    for (size_t i = 0; i < ref->chip_id_count && r->problems.size == before; i++) {
        if (span_is_zero(SPAN(ref->chip_ids[i]))) {
            size_t old = enter_index(r, i);
            complain(r, "is all zero, which stands for a masked chip");
            leave(r, old);
        }
    }
}

static void read_simulated_roots(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *ref = target;
    ref->simulated_roots = (uint8_t(*)[32])read_hex_list(r, value, 32, LIMIT_REFERENCE_VALUES,
                                                         &ref->simulated_root_count);
}

static void read_platform(struct reader *r, const json_t *value, void *target) {
    (void)target;
    (void)read_string(r, value);
}

static void read_cpus(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        complain(r, "must be a whole number");
    }
}

static void refuse_unsupported(struct reader *r, const json_t *value, void *target) {
    (void)value;
    (void)target;
    complain(r, "not supported by this version; remove it");
}

/* ProductName first: MinimumTCB depends on it. */
static const struct field snp_fields[] = {
    {"ProductName", true, read_product},
    {"Platform", false, read_platform},
    {"TrustedMeasurement", true, read_measurement},
    {"MinimumTCB", true, read_tcb},
    {"GuestPolicy", true, read_guest_policy},
    {"PlatformInfo", false, refuse_unsupported},
    {"MinimumMitigationVector", false, refuse_unsupported},
    {"AllowedChipIDs", false, read_chip_ids},
    {"SimulatedRoots", false, read_simulated_roots},
    {"CPUs", false, read_cpus},
};

static void read_snp(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t count = list_size(r, value, LIMIT_REFERENCE_VALUES);
    m->references = arena_alloc(r->arena, (count + 1) * sizeof *m->references);
    m->reference_count = count;
    for (size_t i = 0; i < count; i++) {
        size_t old = enter_index(r, i);
        READ_OBJECT(r, json_array_get(value, i), snp_fields, &m->references[i]);
        leave(r, old);
    }
}

static void refuse_tdx(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (!json_is_null(value) && (!json_is_array(value) || json_array_size(value) > 0)) {
        complain(r, "TDX is not supported by this version; remove it");
    }
}

static const struct field reference_fields[] = {
    {"snp", false, read_snp},
    {"tdx", false, refuse_tdx},
};

static void read_references(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t before = r->problems.size;
    READ_OBJECT(r, value, reference_fields, m);
    if (m->reference_count == 0 && r->problems.size == before) {
        complain(r, "must hold at least one set of reference values in \"snp\"");
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
        (uint8_t(*)[32])read_hex_list(r, value, 32, LIMIT_OWNER_KEYS, &m->owner_count);
    if (r->problems.size != before || m->owner_count == 0) {
        return;
    }
    qsort(m->owner_digests, m->owner_count, 32, compare_digests);
    for (size_t i = 1; i < m->owner_count; i++) {
        if (memcmp(m->owner_digests[i - 1], m->owner_digests[i], 32) == 0) {
            complain(r, "names one key twice");
            return;
        }
    }
}

/* RFC 8017 appendix A.1.1, nothing behind it. */
static bool is_rsa_public_key(struct span der) {
    AUTO(key_deinit)
    struct key key = {0};
    return is_ok(key_from_pkcs1(der, SHARE_KEY_BITS_MIN, &key, NULL));
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
    const char *text = read_string(r, value);
    if (text == NULL) {
        return;
    }
    size_t size = strlen(text) / 2;
    if (size == 0 || size > SHARE_KEY_DER_MAX) {
        complain(r, "must be the hexadecimal PKCS#1 form of an RSA public key");
        return;
    }
    size_t before = r->problems.size;
    uint8_t *der = arena_alloc(r->arena, size);
    decode_hex(r, text, der, size);
    struct span key = span_of(der, size);
    if (r->problems.size != before) {
        return;
    }
    if (!is_rsa_public_key(key)) {
        complain(r, "not a PKCS#1 RSA public key of at least 2048 bits");
    } else if (is_listed(m->share_owners, m->share_owner_count, key)) {
        complain(r, "stands here twice");
    } else {
        m->share_owners[m->share_owner_count++] = key;
    }
}

static void read_share_owners(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t count = list_size(r, value, LIMIT_OWNER_KEYS);
    m->share_owners = arena_alloc(r->arena, (count + 1) * sizeof *m->share_owners);
    for (size_t i = 0; i < count; i++) {
        size_t old = enter_index(r, i);
        read_share_owner(r, json_array_get(value, i), m);
        leave(r, old);
    }
}

static const struct field manifest_fields[] = {
    {"Policies", true, read_policies},
    {"ReferenceValues", true, read_references},
    {"WorkloadOwnerKeyDigests", false, read_owner_digests},
    {"SeedshareOwnerPubKeys", false, read_share_owners},
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
    READ_OBJECT(&r, root, manifest_fields, m);
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
