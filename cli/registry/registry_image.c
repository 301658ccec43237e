/* The registry client's documents: from a reference to the manifest and config of the platform.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "cli/registry/oci_manifest.h"
#include "cli/registry/registry_parts.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define TIME_TEXT 32

/* ---- documents ---- */

static RESULT ask(struct registry *r, const struct image_ref *ref, enum registry_part part,
                  const char *name, struct registry_document *out, struct err *err) {
    struct registry_session *s = registry__take_session(r);
    struct result done = registry_session_document(s, ref, part, name, out, err);
    registry__put_back(r, s);
    return done;
}

/* A document that a digest names: from the cache, else from the registry. `size` is the
 * descriptor's, 0 when there is none. */
static RESULT get_document(struct registry *r, const struct image_ref *ref, enum registry_part part,
                           const uint8_t digest[SHA256_SIZE], uint64_t size,
                           struct registry_document *out, struct err *err) {
    char name[IMAGE_REF_DIGEST_TEXT];
    uint8_t actual[SHA256_SIZE];
    struct registry_document d = {0};
    image_ref_digest_text(digest, name);
    bool known = r->cache != NULL && image_cache_get_document(r->cache, digest, &d.body);
    if (!known) {
        ENSURE(registry__is_online(r), err, NOT_FOUND,
               "offline, and the cache does not have %s; run once with a network", name);
        TRY(ask(r, ref, part, name, &d, err));
    }
    sha256(buf_span(&d.body), actual);
    if (memcmp(actual, digest, sizeof actual) != 0 || (size != 0 && size != d.body.size)) {
        registry_document_deinit(&d);
        return err_set(err, ERR_DIFFERS,
                       "what the registry serves as %s has another digest or size", name);
    }
    if (!known && r->cache != NULL) {
        image_cache_put_document(r->cache, buf_span(&d.body));
    }
    *out = d;
    out->is_cached = known;
    return OK;
}

static const char *when_text(int64_t unix_s, char out[TIME_TEXT]) {
    struct tm utc;
    time_t at = (time_t)unix_s;
    if (gmtime_r(&at, &utc) == NULL || strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        out[0] = '\0';
    }
    return out;
}

static RESULT recall_tag(struct registry *r, const struct image_ref *ref,
                         uint8_t digest[SHA256_SIZE], struct err *err) {
    int64_t unix_s = 0;
    char when[TIME_TEXT];
    char text[IMAGE_REF_DIGEST_TEXT];
    ENSURE(image_cache_get_tag(r->cache, ref, digest, &unix_s), err, NOT_FOUND,
           "offline, and the cache has not seen this tag; run once with a network, or name "
           "the digest");
    log_warn("offline: image %s/%s:%s is taken for what it was at %s, %s", ref->host, ref->name,
             ref->tag, when_text(unix_s, when), image_ref_digest_text(digest, text));
    return OK;
}

/* What a tag means now. The document is kept: whoever fetches the image needs it next. */
static RESULT resolve_tag(struct registry *r, const struct image_ref *ref,
                          struct registry_document *document, uint8_t digest[SHA256_SIZE],
                          struct err *err) {
    if (!registry__is_online(r)) {
        TRY(recall_tag(r, ref, digest, err));
        return get_document(r, ref, REGISTRY_MANIFEST, digest, 0, document, err);
    }
    TRY(ask(r, ref, REGISTRY_MANIFEST, ref->tag, document, err));
    sha256(buf_span(&document->body), digest);
    return OK;
}

/* The reference's own document, and its digest. */
static RESULT get_top(struct registry *r, const struct image_ref *ref,
                      struct registry_document *document, uint8_t digest[SHA256_SIZE],
                      struct err *err) {
    if (ref->has_digest) {
        memcpy(digest, ref->digest, SHA256_SIZE);
        return get_document(r, ref, REGISTRY_MANIFEST, digest, 0, document, err);
    }
    return resolve_tag(r, ref, document, digest, err);
}

static const char *type_of(const struct registry_document *d) {
    return d->content_type[0] != '\0' ? d->content_type : NULL;
}

static void remember_top(struct registry *r, const struct image_ref *ref, struct span text,
                         const uint8_t digest[SHA256_SIZE]) {
    if (r->cache != NULL && registry__is_online(r) && !ref->has_digest) {
        image_cache_put_document(r->cache, text);
        image_cache_put_tag(r->cache, ref, digest, host_unix_s(&host_system));
    }
}

static void warn_stale(const struct image_ref *ref, const uint8_t digest[SHA256_SIZE],
                       const char *verb, const char *when) {
    char text[IMAGE_REF_DIGEST_TEXT];
    if (memcmp(digest, ref->digest, SHA256_SIZE) != 0) {
        log_warn("image %s/%s: the digest beside the tag '%s' counts, and the tag %s another image "
                 "%s: %s",
                 ref->host, ref->name, ref->tag, verb, when, image_ref_digest_text(digest, text));
    }
}

/* A tag beside a digest: no more requests than needed, and no failure, for it is only a word. */
static void check_tag(struct registry *r, const struct image_ref *ref, bool was_cached) {
    AUTO(registry_document_deinit)
    struct registry_document d = {0};
    uint8_t digest[SHA256_SIZE];
    int64_t unix_s = 0;
    char when[TIME_TEXT + 3] = "at ";
    if (!was_cached && registry__is_online(r)) {
        if (is_ok(ask(r, ref, REGISTRY_MANIFEST, ref->tag, &d, NULL))) {
            sha256(buf_span(&d.body), digest);
            warn_stale(ref, digest, "means", "now");
        }
    } else if (r->cache != NULL && image_cache_get_tag(r->cache, ref, digest, &unix_s)) {
        (void)when_text(unix_s, when + strlen(when));
        warn_stale(ref, digest, "meant", when);
    }
}

/* Down from the reference's document to the manifest of the platform. */
static RESULT find_manifest(struct registry *r, const struct image_ref *ref,
                            struct registry_image *image, struct oci_manifest *out,
                            struct err *err) {
    AUTO(registry_document_deinit)
    struct registry_document d = {0};
    struct oci_manifest m = {0};
    TRY(get_top(r, ref, &d, image->digest, err));
    TRY(oci_manifest_parse(buf_span(&d.body), type_of(&d), &m, err));
    remember_top(r, ref, buf_span(&d.body), image->digest);
    if (ref->has_digest && ref->tag[0] != '\0') {
        check_tag(r, ref, d.is_cached);
    }
    memcpy(image->manifest_digest, image->digest, SHA256_SIZE);
    for (int depth = 1; m.is_index; depth++) {
        struct oci_descriptor next = m.chosen;
        ENSURE(depth <= LIMIT_REGISTRY_NESTING, err, MALFORMED, "indexes nest more than %d deep",
               LIMIT_REGISTRY_NESTING);
        registry_document_deinit(&d);
        d = (struct registry_document){0};
        TRY(get_document(r, ref, REGISTRY_MANIFEST, next.digest, next.size, &d, err));
        TRY(oci_manifest_parse(buf_span(&d.body), type_of(&d), &m, err));
        memcpy(image->manifest_digest, next.digest, SHA256_SIZE);
    }
    *out = m;
    return OK;
}

/* ---- the whole ---- */

static RESULT get_config(struct registry *r, const struct image_ref *ref,
                         const struct oci_manifest *m, struct registry_image *image,
                         struct err *err) {
    struct oci_config *out = &image->config;
    AUTO(registry_document_deinit)
    struct registry_document d = {0};
    TRY(get_document(r, ref, REGISTRY_BLOB, m->config.digest, m->config.size, &d, err));
    TRY(oci_config_parse(buf_span(&d.body), out, err));
    ENSURE(out->diff_id_count == m->layer_count, err, MALFORMED,
           "the manifest has %zu layers, the image's config %zu", m->layer_count,
           out->diff_id_count);
    return OK;
}

static void fill_layers(const struct oci_manifest *m, struct registry_image *image) {
    image->layers = mem_calloc(m->layer_count, sizeof *image->layers);
    image->layer_count = m->layer_count;
    for (size_t i = 0; i < m->layer_count; i++) {
        memcpy(image->layers[i].digest, m->layers[i].digest, SHA256_SIZE);
        image->layers[i].size = m->layers[i].size;
    }
}

static RESULT open_image(struct registry *r, const struct image_ref *ref,
                         struct registry_image *image, struct err *err) {
    AUTO(oci_manifest_deinit)
    struct oci_manifest m = {0};
    TRY(find_manifest(r, ref, image, &m, err));
    TRY(get_config(r, ref, &m, image, err));
    fill_layers(&m, image);
    return OK;
}

struct result registry_open_image(struct registry *r, const struct image_ref *ref,
                                  struct registry_image *out, struct err *err) {
    struct registry_image image = {0};
    struct result done = open_image(r, ref, &image, err);
    if (!is_ok(done)) {
        registry_image_deinit(&image);
        return registry__name_image(done, ref, err);
    }
    *out = image;
    return OK;
}

struct result registry_resolve(struct registry *r, const struct image_ref *ref,
                               uint8_t digest[SHA256_SIZE], struct err *err) {
    AUTO(registry_document_deinit)
    struct registry_document d = {0};
    AUTO(oci_manifest_deinit)
    struct oci_manifest m = {0};
    uint8_t found[SHA256_SIZE] = {0};
    struct result done = get_top(r, ref, &d, found, err);
    if (is_ok(done)) {
        done = oci_manifest_parse(buf_span(&d.body), type_of(&d), &m, err);
    }
    if (!is_ok(done)) {
        return registry__name_image(done, ref, err);
    }
    remember_top(r, ref, buf_span(&d.body), found);
    memcpy(digest, found, sizeof found);
    return OK;
}
