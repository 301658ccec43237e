/* Image references: see image_reference.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/image_reference.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

/* Bits of POLICY: AMD 56860, table "Guest Policy". */
#define POLICY_SMT 16
#define POLICY_RESERVED_ONE 17
#define POLICY_MIGRATE_MA 18
#define POLICY_DEBUG 19
#define POLICY_SINGLE_SOCKET 20
#define POLICY_CXL 21
#define POLICY_AES_256_XTS 22
#define POLICY_RAPL_DIS 23
#define POLICY_HIDING_DRAM 24
#define POLICY_PAGE_SWAP_DISABLE 25
#define POLICY_BITS 26 /* higher ones must be zero */

static bool has_bit(uint64_t policy, unsigned bit) {
    return (policy >> bit & 1) != 0;
}

RESULT image_reference_blame(struct result r, struct err *err, const char *path) {
    if (r.code == ERR_INVALID || r.code == ERR_DIFFERS || r.code == ERR_SIGNATURE) {
        return err_wrap(r, err, "%s", path);
    }
    if (r.code != ERR_MALFORMED) {
        return r;
    }
    char text[ERR_TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%s", err != NULL ? err->text : "");
    return err_set(err, ERR_INVALID, "%s: %s", path, text);
}

static RESULT measure_open(struct launch_file *f, uint32_t mask, struct igvm_measurement *out,
                           struct err *err) {
    struct launch_source source = launch_file_source(f);
    struct result r = igvm_measure(&source, mask, out, err);
    /* A file that is written to breaks rules that it keeps at rest: say that first. */
    TRY(launch_file_finish(f, err));
    TRY(image_reference_blame(r, err, f->path));
    return image_reference_blame(igvm_check_id_block(out, err), err, f->path);
}

RESULT image_reference_measure(const char *path, uint32_t mask, struct igvm_measurement *out,
                               struct err *err) {
    struct launch_file f = {0};
    TRY(launch_file_open(path, &f, err));
    struct result r = measure_open(&f, mask, out, err);
    launch_file_close(&f);
    return r;
}

bool image_reference_is_igvm(const char *path) {
    struct launch_file f = {0};
    uint8_t magic[4];
    if (!is_ok(launch_file_open(path, &f, NULL))) {
        return false;
    }
    struct launch_source source = launch_file_source(&f);
    bool is = f.size >= sizeof magic &&
              is_ok(source.read(source.data, 0, magic, sizeof magic, NULL)) &&
              igvm_format_is(SPAN(magic));
    launch_file_close(&f);
    return is;
}

json_t *image_reference_policy(uint64_t policy) {
    json_t *object = json_pack(
        "{s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "ABIMajor",
        (int)(policy >> 8 & 0xFF), "ABIMinor", (int)(policy & 0xFF), "SMT",
        has_bit(policy, POLICY_SMT), "MigrateMA", has_bit(policy, POLICY_MIGRATE_MA), "Debug",
        has_bit(policy, POLICY_DEBUG), "SingleSocket", has_bit(policy, POLICY_SINGLE_SOCKET),
        "CXLAllowed", has_bit(policy, POLICY_CXL), "MemAES256XTS",
        has_bit(policy, POLICY_AES_256_XTS), "RAPLDis", has_bit(policy, POLICY_RAPL_DIS),
        "CipherTextHidingDRAM", has_bit(policy, POLICY_HIDING_DRAM), "PageSwapDisable",
        has_bit(policy, POLICY_PAGE_SWAP_DISABLE));
    CHECK(object != NULL);
    return object;
}

static json_t *hex(struct span bytes) {
    char *text = mem_alloc(2 * bytes.size + 1);
    hex_encode(bytes, text);
    json_t *value = json_string(text);
    mem_free(text);
    CHECK(value != NULL);
    return value;
}

static json_t *key_digest_list(const uint8_t key[ID_BLOCK_KEY_SIZE]) {
    uint8_t digest[48];
    id_block_key_digest(key, digest);
    json_t *list = json_array();
    CHECK(json_array_append_new(list, hex(SPAN(digest))) == 0);
    return list;
}

/* What firmware reports of a signed ID block. Zero identifiers say nothing. */
static void put_id_block(json_t *set, const struct igvm_id_block *id) {
    json_object_set_new(set, "TrustedIDKeyDigests", key_digest_list(id->auth.id_key));
    if (id->auth.has_author) {
        json_object_set_new(set, "TrustedAuthorKeyDigests", key_digest_list(id->auth.author_key));
    }
    if (id->block.guest_svn > 0) {
        json_object_set_new(set, "MinimumGuestSVN", json_integer(id->block.guest_svn));
    }
    if (!span_is_zero(SPAN(id->block.family_id))) {
        json_object_set_new(set, "FamilyID", hex(SPAN(id->block.family_id)));
    }
    if (!span_is_zero(SPAN(id->block.image_id))) {
        json_object_set_new(set, "ImageID", hex(SPAN(id->block.image_id)));
    }
}

json_t *image_reference_make(const struct igvm_measurement *m) {
    json_t *set = json_object();
    json_object_set_new(set, "TrustedMeasurement", hex(SPAN(m->digest.value)));
    json_object_set_new(set, "GuestPolicy", image_reference_policy(m->policy));
    if (m->has_id_block && m->id_block.is_signed) {
        put_id_block(set, &m->id_block);
    }
    return set;
}

/* ---- warnings ---- */

static void warn(json_t *list, const char *text) {
    CHECK(json_array_append_new(list, json_string(text)) == 0);
}

static void warn_differences(json_t *list, const struct igvm_measurement *m) {
    for (unsigned bit = 1; bit <= m->differences; bit <<= 1) {
        if ((m->differences & bit) != 0) {
            warn(list, igvm_difference_text((enum igvm_difference)bit));
        }
    }
    if (memcmp(m->digest.value, m->other_digest.value, sizeof m->digest.value) != 0) {
        char digest[2 * LAUNCH_DIGEST_SIZE + 1];
        hex_encode(SPAN(m->other_digest.value), digest);
        json_array_append_new(
            list, json_sprintf("by igvmmeasure's rules the launch digest would be %s; start the "
                               "guest once and compare its report before you rely on either",
                               digest));
    }
    if (m->skipped > 0) {
        json_array_append_new(list, json_sprintf("%zu optional headers of unknown types were "
                                                 "skipped; the igvm crate refuses such a file",
                                                 m->skipped));
    }
}

static void warn_policy(json_t *list, uint64_t policy) {
    if (has_bit(policy, POLICY_DEBUG)) {
        warn(list, "the policy permits debugging: the host can read such a guest, and no manifest "
                   "accepts it");
    }
    if (has_bit(policy, POLICY_MIGRATE_MA)) {
        warn(list, "the policy permits a migration agent: no manifest accepts such a guest");
    }
    if (!has_bit(policy, POLICY_RESERVED_ONE) || policy >> POLICY_BITS != 0) {
        warn(list, "the policy has a reserved bit wrong (17 must be 1, 63:26 zero): no security "
                   "processor starts such a guest");
    }
}

static void warn_id_block(json_t *list, const struct igvm_id_block *id) {
    struct err err = {0};
    if (!id->is_signed) {
        warn(list, "the file's ID block is not signed yet: whoever starts the guest signs it, and "
                   "its report will show that key; put its digest into TrustedIDKeyDigests");
        return;
    }
    if (!is_ok(id_block_verify(&id->block, &id->auth, &err))) {
        json_array_append_new(list, json_sprintf("the signature of the file's ID block does not "
                                                 "hold (%s): no security processor starts it",
                                                 err.text));
    }
    if (id_block_is_synthetic(&id->auth)) {
        warn(list, "the ID block's signature was made without a private key: anybody can make one "
                   "for any image, so the ID key's digest proves nothing");
    }
}

json_t *image_reference_warnings(const struct igvm_measurement *m) {
    json_t *list = json_array();
    warn_differences(list, m);
    warn_policy(list, m->policy);
    if (m->has_id_block) {
        warn_id_block(list, &m->id_block);
    }
    return list;
}
