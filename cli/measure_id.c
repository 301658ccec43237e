/* contrast measure id-block: see cmd_measure.h.
 *
 * Two uses: show what given files hold and whether it holds together; make a block and its
 * signatures. A private key is read into memory that is wiped, used once and never printed; to sign
 * with, its file must be its owner's alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "attest/launch/id_block.h"
#include "cli/cmd_measure.h"
#include "cli/image_reference.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/pem.h"

#define KEYS_MAX 8

const char CMD_MEASURE_ID_HELP[] =
    "Usage: contrast measure id-block FILE...\n"
    "       contrast measure id-block --launch-digest HEX|--igvm FILE --id-key PEM [OPTION]...\n"
    "                --out-block FILE --out-auth FILE\n\n"
    "Shows an SEV-SNP ID block (96 bytes), an ID authentication page (4096 bytes) and P-384 keys\n"
    "(PEM): what they say, and the key digests that reports show. With block and page it verifies\n"
    "both signatures; a false one is exit 3. With --out-block it makes and signs them.\n\n"
    "  --launch-digest HEX  what the guest must measure to, 96 digits (also: --measurement)\n"
    "  --igvm FILE          or the digest, policy and identifiers of this IGVM file\n"
    "  --policy N           guest policy (0x30000: SMT allowed; the file's with --igvm)\n"
    "  --guest-svn N        version of the image, for rollback checks (default 0, or the file's)\n"
    "  --family-id HEX      32 digits of your choice (default zeros, or the file's)\n"
    "  --image-id HEX       the same\n"
    "  --id-key PEM         private P-384 key that signs the block; mode 0600\n"
    "  --author-key PEM     private P-384 key that signs the ID key; mode 0600\n"
    "  --out-block FILE, --out-auth FILE\n"
    "                       where to write them; QEMU takes both in base64\n\n"
    "Examples:\n"
    "  contrast measure id-block id-block.bin id-auth.bin\n"
    "  contrast measure id-block id-key.pem\n"
    "  contrast measure id-block --igvm pod-vm.igvm --guest-svn 3 --id-key id-key.pem \\\n"
    "      --out-block id-block.bin --out-auth id-auth.bin\n";

struct request {
    const char *digest;
    const char *igvm;
    const char *policy;
    const char *svn;
    const char *family;
    const char *image;
    const char *id_key;
    const char *author_key;
    const char *out_block;
    const char *out_auth;
    struct cli_list paths;
    bool has_block;
    struct id_block block;
    bool has_auth;
    struct id_block_auth auth;
    json_t *keys;     /* owned: {"file", "digest"} of each PEM file */
    json_t *warnings; /* owned */
};

static void request_deinit(struct request *q) {
    json_decref(q->keys);
    json_decref(q->warnings);
}

static RESULT parse(struct cli *cli, int argc, char **argv, struct request *q, struct err *err) {
    const char *alias = NULL;
    const struct cli_option options[] = {
        {"launch-digest", 0, CLI_STRING, (void *)&q->digest},
        {"measurement", 0, CLI_STRING, (void *)&alias},
        {"igvm", 0, CLI_STRING, (void *)&q->igvm},
        {"policy", 0, CLI_STRING, (void *)&q->policy},
        {"guest-svn", 0, CLI_STRING, (void *)&q->svn},
        {"family-id", 0, CLI_STRING, (void *)&q->family},
        {"image-id", 0, CLI_STRING, (void *)&q->image},
        {"id-key", 0, CLI_STRING, (void *)&q->id_key},
        {"author-key", 0, CLI_STRING, (void *)&q->author_key},
        {"out-block", 0, CLI_STRING, (void *)&q->out_block},
        {"out-auth", 0, CLI_STRING, (void *)&q->out_auth},
    };
    TRY(cli_parse(cli, options, sizeof options / sizeof options[0], argc, argv, &q->paths, err));
    ENSURE(q->digest == NULL || alias == NULL, err, USAGE,
           "--launch-digest and --measurement are one option");
    q->digest = q->digest != NULL ? q->digest : alias;
    return OK;
}

static void warn_synthetic(struct request *q) {
    if (q->has_auth && id_block_is_synthetic(&q->auth)) {
        json_array_append_new(q->warnings,
                              json_string("the signature was made without a private key: anybody "
                                          "can make one for any image, so the ID key's digest "
                                          "proves nothing"));
    }
}

/* ---- keys ---- */

static RESULT read_pem(const char *path, struct key *key, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    TRY(file_read(path, LIMIT_PEM, &pem, err));
    struct result r = key_from_pem(buf_span(&pem), key, err);
    return image_reference_blame(r, err, path);
}

/* A private key to sign with: nobody but its owner may read the file. */
static RESULT read_signer(const char *path, struct key *key, struct err *err) {
    struct stat st;
    ENSURE(stat(path, &st) == 0, err, NOT_FOUND, "%s: no such key file", path);
    ENSURE((st.st_mode & (S_IRWXG | S_IRWXO)) == 0, err, CONFIG,
           "%s: others may read this key (mode %03o): chmod 600 it, and make a new one if they did",
           path, (unsigned)(st.st_mode & 0777));
    TRY(read_pem(path, key, err));
    ENSURE(key_is_private(key), err, INVALID, "%s: a public key cannot sign", path);
    return OK;
}

static RESULT show_key(struct request *q, const char *path, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    uint8_t bytes[ID_BLOCK_KEY_SIZE];
    uint8_t digest[48];
    TRY(read_pem(path, &key, err));
    TRY(image_reference_blame(id_block_key_encode(&key, bytes, err), err, path));
    id_block_key_digest(bytes, digest);
    json_t *entry = json_pack("{s:s}", "file", path);
    cmd_measure_put_hex(entry, "digest", SPAN(digest));
    CHECK(json_array_append_new(q->keys, entry) == 0);
    struct stat st;
    if (key_is_private(&key) && stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        json_array_append_new(q->warnings,
                              json_sprintf("%s: others may read this private key", path));
    }
    return OK;
}

/* ---- showing ---- */

static RESULT show_file(struct request *q, const char *path, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    TRY(file_read(path, LIMIT_PEM, &bytes, err));
    if (pem_is_text(buf_span(&bytes))) {
        ENSURE(json_array_size(q->keys) < KEYS_MAX, err, USAGE, "more than %d keys", KEYS_MAX);
        return show_key(q, path, err);
    }
    if (bytes.size == ID_BLOCK_SIZE) {
        ENSURE(!q->has_block, err, USAGE, "%s: a second ID block", path);
        TRY(image_reference_blame(id_block_parse(buf_span(&bytes), &q->block, err), err, path));
        q->has_block = true;
        return OK;
    }
    ENSURE(bytes.size == ID_BLOCK_AUTH_SIZE, err, INVALID,
           "%s: %zu bytes: neither an ID block (96), nor an ID authentication page (4096), nor PEM",
           path, bytes.size);
    ENSURE(!q->has_auth, err, USAGE, "%s: a second ID authentication page", path);
    TRY(image_reference_blame(id_block_auth_parse(buf_span(&bytes), &q->auth, err), err, path));
    q->has_auth = true;
    return OK;
}

static void put_block(json_t *document, const struct id_block *block) {
    cmd_measure_put_hex(document, "launch_digest", SPAN(block->launch_digest));
    cmd_measure_put_number(document, "policy", block->policy);
    json_object_set_new(document, "guest_svn", json_integer(block->guest_svn));
    cmd_measure_put_hex(document, "family_id", SPAN(block->family_id));
    cmd_measure_put_hex(document, "image_id", SPAN(block->image_id));
    uint8_t bytes[ID_BLOCK_SIZE];
    id_block_encode(block, bytes);
    cmd_measure_put_hex(document, "id_block", SPAN(bytes));
}

static void put_auth(json_t *document, const struct id_block_auth *auth) {
    uint8_t digest[48];
    id_block_key_digest(auth->id_key, digest);
    cmd_measure_put_hex(document, "id_key_digest", SPAN(digest));
    if (auth->has_author) {
        id_block_key_digest(auth->author_key, digest);
        cmd_measure_put_hex(document, "author_key_digest", SPAN(digest));
    }
}

/* A single key has its digest as a field of its own, for scripts. */
static void put_keys(json_t *document, const json_t *keys) {
    if (json_array_size(keys) == 1) {
        json_object_set(document, "key_digest", json_object_get(json_array_get(keys, 0), "digest"));
    }
}

static void print_keys(const struct cli *cli, const json_t *keys) {
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; !cli->json && json_array_size(keys) > 1 && i < json_array_size(keys); i++) {
        const json_t *entry = json_array_get(keys, i);
        buf_appendf(&text, "%s  %s\n", json_string_value(json_object_get(entry, "digest")),
                    json_string_value(json_object_get(entry, "file")));
    }
    cli_print_text(buf_span(&text));
}

/* Prints all that is known; SIGNATURE when block and page are there and do not hold together. */
static RESULT print_all(struct cli *cli, struct request *q, struct err *err) {
    json_t *document = json_object();
    struct result r = OK;
    if (q->has_block) {
        put_block(document, &q->block);
    }
    if (q->has_auth) {
        put_auth(document, &q->auth);
    }
    if (q->has_block && q->has_auth) {
        r = id_block_verify(&q->block, &q->auth, err);
        json_object_set_new(document, "signatures_valid", json_boolean(is_ok(r)));
    }
    put_keys(document, q->keys);
    json_object_set(document, "keys", q->keys);
    warn_synthetic(q);
    json_object_set(document, "warnings", q->warnings);
    cmd_measure_print(cli, document);
    print_keys(cli, q->keys);
    return r;
}

static RESULT show(struct cli *cli, struct request *q, struct err *err) {
    ENSURE(q->paths.count > 0, err, USAGE,
           "name an ID block, an ID authentication page or a key; see --help");
    for (size_t i = 0; i < q->paths.count; i++) {
        TRY(show_file(q, q->paths.items[i], err));
    }
    return print_all(cli, q, err);
}

/* ---- making ---- */

static RESULT fill_from_igvm(struct request *q, struct err *err) {
    struct igvm_measurement m;
    struct result r = image_reference_measure(q->igvm, 0, &m, err);
    if (!is_ok(r) && r.code != ERR_DIFFERS) { /* the block made here replaces the file's */
        return r;
    }
    if (m.has_id_block) {
        q->block = m.id_block.block;
    }
    memcpy(q->block.launch_digest, m.digest.value, sizeof q->block.launch_digest);
    q->block.policy = m.policy;
    return OK;
}

static RESULT fill_block(struct request *q, struct err *err) {
    ENSURE((q->digest != NULL) != (q->igvm != NULL), err, USAGE,
           "give the launch digest with --launch-digest or the image with --igvm, one of them");
    ENSURE(q->igvm != NULL || q->policy != NULL, err, USAGE,
           "--policy is missing: the policy that the guest is started with, such as 0x30000");
    if (q->igvm != NULL) {
        TRY(fill_from_igvm(q, err));
    }
    uint64_t svn = q->block.guest_svn;
    TRY(cmd_measure_hex("launch-digest", q->digest, q->block.launch_digest,
                        sizeof q->block.launch_digest, err));
    TRY(cmd_measure_hex("family-id", q->family, q->block.family_id, sizeof q->block.family_id,
                        err));
    TRY(cmd_measure_hex("image-id", q->image, q->block.image_id, sizeof q->block.image_id, err));
    TRY(cmd_measure_number("policy", q->policy, UINT64_MAX, &q->block.policy, err));
    TRY(cmd_measure_number("guest-svn", q->svn, UINT32_MAX, &svn, err));
    q->block.guest_svn = (uint32_t)svn;
    q->has_block = true;
    return OK;
}

static RESULT sign(struct request *q, struct err *err) {
    AUTO(key_deinit)
    struct key id = {0};
    AUTO(key_deinit)
    struct key author = {0};
    TRY(read_signer(q->id_key, &id, err));
    if (q->author_key != NULL) {
        TRY(read_signer(q->author_key, &author, err));
    }
    TRY(id_block_sign(&q->block, &id, q->author_key != NULL ? &author : NULL, &q->auth, err));
    q->has_auth = true;
    return OK;
}

static RESULT make(struct cli *cli, struct request *q, struct err *err) {
    ENSURE(q->paths.count == 0, err, USAGE, "unexpected argument '%s' while making an ID block",
           q->paths.items[0]);
    ENSURE(q->out_block != NULL && q->out_auth != NULL && q->id_key != NULL, err, USAGE,
           "to make an ID block, give --id-key, --out-block and --out-auth; see --help");
    TRY(fill_block(q, err));
    TRY(sign(q, err));
    uint8_t block[ID_BLOCK_SIZE];
    uint8_t auth[ID_BLOCK_AUTH_SIZE];
    id_block_encode(&q->block, block);
    id_block_auth_encode(&q->auth, auth);
    TRY(file_write(q->out_block, SPAN(block), 0644, err));
    TRY(file_write(q->out_auth, SPAN(auth), 0644, err));
    return print_all(cli, q, err);
}

RESULT cmd_measure_id(struct cli *cli, int argc, char **argv, struct err *err) {
    AUTO(request_deinit)
    struct request q = {.keys = json_array(), .warnings = json_array()};
    TRY(parse(cli, argc, argv, &q, err));
    bool makes = q.out_block != NULL || q.out_auth != NULL || q.id_key != NULL ||
                 q.digest != NULL || q.igvm != NULL;
    return makes ? make(cli, &q, err) : show(cli, &q, err);
}
