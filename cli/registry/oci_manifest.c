/* Manifests: see oci_manifest.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/oci_manifest.h"

#include <string.h>

#include "cli/registry/image_ref.h"
#include "cli/registry/oci_json.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum kind { KIND_UNKNOWN, KIND_INDEX, KIND_MANIFEST, KIND_SCHEMA1 };

static const struct {
    const char *name;
    enum kind kind;
} KINDS[] = {
    {"application/vnd.oci.image.index.v1+json", KIND_INDEX},
    {"application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX},
    {"application/vnd.oci.image.manifest.v1+json", KIND_MANIFEST},
    {"application/vnd.docker.distribution.manifest.v2+json", KIND_MANIFEST},
    {"application/vnd.docker.distribution.manifest.v1+json", KIND_SCHEMA1},
    {"application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_SCHEMA1},
};

static const char *const CONFIGS[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
};

static const char *const LAYERS[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
};

void oci_manifest_deinit(struct oci_manifest *m) {
    mem_free(m->layers);
    *m = (struct oci_manifest){0};
}

/* Parameters ("; charset=utf-8") do not count. */
static enum kind kind_of(const char *type) {
    size_t n = strcspn(type, "; \t");
    for (size_t i = 0; i < COUNT(KINDS); i++) {
        if (strlen(KINDS[i].name) == n && strncasecmp(KINDS[i].name, type, n) == 0) {
            return KINDS[i].kind;
        }
    }
    return KIND_UNKNOWN;
}

static bool is_one_of(const char *text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- descriptors ---- */

static RESULT read_descriptor(const json_t *d, uint64_t limit, struct oci_descriptor *out,
                              struct err *err) {
    const char *digest = NULL;
    const json_t *size = json_object_get(d, "size");
    ENSURE(json_is_object(d), err, MALFORMED, "not an object");
    TRY(oci_json_text(d, "digest", &digest, err));
    ENSURE(digest != NULL, err, MALFORMED, "it has no digest");
    TRY(image_ref_digest(span_str(digest), out->digest, err));
    ENSURE(json_is_integer(size) && json_integer_value(size) >= 0, err, MALFORMED,
           "'size' is not a number of bytes");
    out->size = (uint64_t)json_integer_value(size);
    ENSURE(out->size <= limit, err, TOO_LARGE, "%llu bytes, more than the limit of %llu",
           (unsigned long long)out->size, (unsigned long long)limit);
    return OK;
}

static RESULT read_media_type(const json_t *d, const char **out, struct err *err) {
    TRY(oci_json_text(d, "mediaType", out, err));
    ENSURE(*out != NULL, err, MALFORMED, "it has no mediaType");
    return OK;
}

/* ---- a manifest ---- */

static RESULT read_layer(const json_t *layer, struct oci_descriptor *out, struct err *err) {
    const char *type = NULL;
    TRY(read_descriptor(layer, LIMIT_REGISTRY_BLOB, out, err));
    TRY(read_media_type(layer, &type, err));
    bool foreign = strstr(type, "foreign") != NULL || strstr(type, "nondistributable") != NULL;
    const json_t *urls = json_object_get(layer, "urls");
    ENSURE(!foreign && (urls == NULL || json_array_size(urls) == 0), err, INVALID,
           "it lies outside the registry ('%s'); push the image with all its layers", type);
    ENSURE(is_one_of(type, LAYERS, COUNT(LAYERS)), err, INVALID,
           "'%s' is not a layer of a container image", type);
    return OK;
}

static RESULT read_layers(const json_t *root, struct oci_manifest *m, struct err *err) {
    const json_t *list = json_object_get(root, "layers");
    ENSURE(json_is_array(list), err, MALFORMED, "'layers' is not a list");
    size_t count = json_array_size(list);
    ENSURE(count >= 1, err, INVALID, "it has no layers");
    ENSURE(count <= LIMIT_REGISTRY_LAYERS, err, TOO_LARGE, "%zu layers, more than the limit of %d",
           count, LIMIT_REGISTRY_LAYERS);
    m->layers = mem_calloc(count, sizeof *m->layers);
    m->layer_count = count;
    for (size_t i = 0; i < count; i++) {
        struct result r = read_layer(json_array_get(list, i), &m->layers[i], err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "layer %zu", i);
        }
    }
    return OK;
}

static RESULT read_manifest(const json_t *root, struct oci_manifest *m, struct err *err) {
    const char *type = NULL;
    const json_t *config = json_object_get(root, "config");
    struct result r = read_descriptor(config, LIMIT_REGISTRY_DOCUMENT, &m->config, err);
    if (is_ok(r)) {
        r = read_media_type(config, &type, err);
    }
    if (!is_ok(r)) {
        return err_wrap(r, err, "config");
    }
    ENSURE(is_one_of(type, CONFIGS, COUNT(CONFIGS)), err, INVALID,
           "it is no container image: its config is '%s'", type);
    return read_layers(root, m, err);
}

/* ---- an index ---- */

static RESULT fits(const json_t *entry, bool alone, bool *out, struct err *err) {
    const json_t *platform = json_object_get(entry, "platform");
    const char *os = NULL;
    const char *arch = NULL;
    const char *variant = NULL;
    if (platform == NULL || json_is_null(platform)) {
        *out = alone;
        return OK;
    }
    ENSURE(json_is_object(platform), err, MALFORMED, "'platform' is not an object");
    TRY(oci_json_text(platform, "os", &os, err));
    TRY(oci_json_text(platform, "architecture", &arch, err));
    TRY(oci_json_text(platform, "variant", &variant, err));
    bool plain = variant == NULL || variant[0] == '\0' || strcmp(variant, "v1") == 0;
    *out =
        os != NULL && strcmp(os, "linux") == 0 && arch != NULL && plain &&
        (strcmp(arch, "amd64") == 0 || strcmp(arch, "x86_64") == 0 || strcmp(arch, "x86-64") == 0);
    return OK;
}

/* Signatures, bills of materials and the like, which have a platform when they are about one. */
static bool is_artifact(const json_t *entry) {
    const json_t *kind = json_object_get(entry, "artifactType");
    const char *type = json_string_value(json_object_get(entry, "mediaType"));
    return (kind != NULL && !json_is_null(kind)) || (type != NULL && kind_of(type) == KIND_UNKNOWN);
}

static void append_platform(const json_t *entry, struct buf *out) {
    const json_t *p = json_object_get(entry, "platform");
    const char *os = json_string_value(json_object_get(p, "os"));
    const char *arch = json_string_value(json_object_get(p, "architecture"));
    const char *variant = json_string_value(json_object_get(p, "variant"));
    if (os != NULL && arch != NULL && out->size < 400) {
        buf_appendf(out, "%s%s/%s%s%s", out->size > 0 ? ", " : "", os, arch, variant ? "/" : "",
                    variant ? variant : "");
    }
}

static RESULT refuse_platforms(const json_t *list, struct err *err) {
    AUTO(buf_deinit)
    struct buf have = {0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        append_platform(json_array_get(list, i), &have);
    }
    return err_set(err, ERR_INVALID, "it is not built for linux/amd64 (it has: %.400s)",
                   have.size > 0 ? buf_cstr(&have) : "nothing, or nothing that names its platform");
}

static RESULT read_entry(const json_t *entry, struct oci_descriptor *out, struct err *err) {
    const char *type = NULL;
    TRY(read_descriptor(entry, LIMIT_REGISTRY_DOCUMENT, out, err));
    TRY(read_media_type(entry, &type, err));
    enum kind kind = kind_of(type);
    ENSURE(kind == KIND_INDEX || kind == KIND_MANIFEST, err, INVALID,
           "'%s' is no manifest of an image", type);
    return OK;
}

static RESULT read_index(const json_t *root, struct oci_manifest *m, struct err *err) {
    const json_t *list = json_object_get(root, "manifests");
    ENSURE(json_is_array(list), err, MALFORMED, "'manifests' is not a list");
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        bool good = false;
        const json_t *entry = json_array_get(list, i);
        struct result r = fits(entry, count == 1, &good, err);
        good = good && (count == 1 || !is_artifact(entry));
        if (is_ok(r) && good) {
            r = read_entry(entry, &m->chosen, err);
        }
        if (!is_ok(r)) {
            return err_wrap(r, err, "entry %zu", i);
        }
        if (good) {
            return OK;
        }
    }
    return refuse_platforms(list, err);
}

/* ---- the whole ---- */

/* From mediaType, else from the answer's header, else from the shape; they must not contradict one
 * another, or two readers would see two images in the same bytes. */
static RESULT find_kind(const json_t *root, const char *content_type, enum kind *out,
                        struct err *err) {
    const char *type = NULL;
    TRY(oci_json_text(root, "mediaType", &type, err));
    bool has_list = json_object_get(root, "manifests") != NULL;
    bool has_image =
        json_object_get(root, "layers") != NULL || json_object_get(root, "config") != NULL;
    ENSURE(json_object_get(root, "fsLayers") == NULL, err, INVALID,
           "it is stored in the old format 'schema 1'; push it again with a current tool");
    ENSURE(!(has_list && has_image), err, MALFORMED, "it is a manifest and an index at once");
    enum kind kind = type != NULL ? kind_of(type) : has_list ? KIND_INDEX : KIND_MANIFEST;
    enum kind header = content_type != NULL ? kind_of(content_type) : KIND_UNKNOWN;
    ENSURE(kind != KIND_SCHEMA1 && header != KIND_SCHEMA1, err, INVALID,
           "it is stored in the old format 'schema 1'; push it again with a current tool");
    ENSURE(kind != KIND_UNKNOWN, err, INVALID, "'%s' is no image", type);
    ENSURE(header == KIND_UNKNOWN || header == kind, err, MALFORMED,
           "the answer's Content-Type '%.100s' contradicts its content", content_type);
    *out = kind;
    return OK;
}

static RESULT read_root(const json_t *root, const char *content_type, struct oci_manifest *m,
                        struct err *err) {
    enum kind kind = KIND_UNKNOWN;
    const json_t *version = json_object_get(root, "schemaVersion");
    ENSURE(json_is_integer(version), err, MALFORMED, "'schemaVersion' is not a number");
    ENSURE(json_integer_value(version) != 1, err, INVALID,
           "it is stored in the old format 'schema 1'; push it again with a current tool");
    ENSURE(json_integer_value(version) == 2, err, INVALID, "'schemaVersion' is not 2");
    TRY(find_kind(root, content_type, &kind, err));
    m->is_index = kind == KIND_INDEX;
    return m->is_index ? read_index(root, m, err) : read_manifest(root, m, err);
}

struct result oci_manifest_parse(struct span text, const char *content_type,
                                 struct oci_manifest *out, struct err *err) {
    AUTO(oci_json_free)
    json_t *root = NULL;
    struct oci_manifest m = {0};
    TRY(oci_json_parse(text, LIMIT_REGISTRY_DOCUMENT, "manifest", &root, err));
    struct result r = read_root(root, content_type, &m, err);
    if (!is_ok(r)) {
        oci_manifest_deinit(&m);
        return err_wrap(r, err, "manifest");
    }
    *out = m;
    return OK;
}
