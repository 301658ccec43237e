/* The registry client: see registry.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/registry.h"

#include <string.h>

#include "cli/registry/image_cache.h"
#include "cli/registry/oci_manifest.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

struct registry {
    struct registry_session *session; /* owned; NULL when offline */
    struct image_cache *cache;        /* owned; NULL without */
};

/* ---- life ---- */

static RESULT open_parts(const struct registry_config *config, struct registry *r,
                         struct err *err) {
    ENSURE(!config->is_offline || !config->no_cache, err, CONFIG,
           "offline, all that is known of images comes from the cache: do not switch it off");
    if (!config->no_cache) {
        TRY(image_cache_open(config->cache_folder, &r->cache, err));
    }
    return config->is_offline ? OK : registry_session_open(&config->session, &r->session, err);
}

struct result registry_open(const struct registry_config *config, struct registry **out,
                            struct err *err) {
    struct registry *r = mem_zalloc(sizeof *r);
    struct result done = open_parts(config, r, err);
    if (!is_ok(done)) {
        registry_close(r);
        return done;
    }
    *out = r;
    return OK;
}

void registry_close(struct registry *r) {
    if (r != NULL) {
        registry_session_close(r->session);
        image_cache_close(r->cache);
        mem_free(r);
    }
}

void registry_image_deinit(struct registry_image *i) {
    for (size_t n = 0; n < i->layer_count; n++) {
        layer_result_deinit(&i->layers[n].result);
    }
    mem_free(i->layers);
    buf_deinit(&i->config_text);
    oci_config_deinit(&i->config);
    *i = (struct registry_image){0};
}

/* ---- documents ---- */

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
        ENSURE(r->session != NULL, err, NOT_FOUND,
               "offline, and the cache does not have %s; run once with a network", name);
        TRY(registry_session_document(r->session, ref, part, name, &d, err));
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
    return OK;
}

/* What a tag means now. The document is kept: whoever fetches the image needs it next. */
static RESULT resolve_tag(struct registry *r, const struct image_ref *ref,
                          struct registry_document *document, uint8_t digest[SHA256_SIZE],
                          struct err *err) {
    if (r->session == NULL) {
        ENSURE(image_cache_get_tag(r->cache, ref, digest), err, NOT_FOUND,
               "offline, and the cache has not seen this tag; run once with a network, or name "
               "the digest");
        return get_document(r, ref, REGISTRY_MANIFEST, digest, 0, document, err);
    }
    TRY(registry_session_document(r->session, ref, REGISTRY_MANIFEST, ref->tag, document, err));
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
    if (r->cache != NULL && r->session != NULL && !ref->has_digest) {
        image_cache_put_document(r->cache, text);
        image_cache_put_tag(r->cache, ref, digest);
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

/* ---- layers ---- */

struct pour {
    struct layer *layer;
    struct fetch_progress *progress;
};

static RESULT feed_layer(void *data, struct span bytes, struct err *err) {
    struct pour *p = data;
    TRY(layer_feed(p->layer, bytes, err));
    fetch_progress_add(p->progress, bytes.size);
    return OK;
}

static RESULT check_layer(const struct registry_layer *l, const uint8_t diff_id[SHA256_SIZE],
                          struct err *err) {
    char want[IMAGE_REF_DIGEST_TEXT];
    char have[IMAGE_REF_DIGEST_TEXT];
    ENSURE(memcmp(l->result.blob_sha256, l->digest, SHA256_SIZE) == 0, err, DIFFERS,
           "the registry serves other bytes: %s",
           image_ref_digest_text(l->result.blob_sha256, have));
    ENSURE(memcmp(l->result.diff_id, diff_id, SHA256_SIZE) == 0, err, DIFFERS,
           "the image's config says that it unpacks to %s, and it unpacks to %s",
           image_ref_digest_text(diff_id, want), image_ref_digest_text(l->result.diff_id, have));
    return OK;
}

static RESULT stream_layer(struct registry *r, const struct image_ref *ref,
                           struct fetch_progress *progress, struct registry_layer *l,
                           struct err *err) {
    struct pour pour = {.progress = progress};
    TRY(layer_new(0, &pour.layer, err));
    const struct registry_consumer consumer = {&pour, feed_layer};
    struct result done = registry_session_blob(r->session, ref, l->digest, l->size, &consumer, err);
    if (is_ok(done)) {
        done = layer_finish(pour.layer, &l->result, err);
    }
    layer_free(pour.layer);
    return done;
}

/* `l` has digest and size; its result is filled. */
static RESULT get_layer(struct registry *r, const struct image_ref *ref,
                        const uint8_t diff_id[SHA256_SIZE], struct fetch_progress *progress,
                        struct registry_layer *l, struct err *err) {
    l->is_cached = r->cache != NULL && image_cache_get_layer(r->cache, diff_id, &l->result);
    if (l->is_cached) {
        fetch_progress_end(progress, "cached");
        return OK;
    }
    struct result done =
        r->session != NULL
            ? stream_layer(r, ref, progress, l, err)
            : err_set(err, ERR_NOT_FOUND,
                      "offline, and the cache does not have it; run once with a network");
    if (is_ok(done)) {
        done = check_layer(l, diff_id, err);
    }
    fetch_progress_end(progress, is_ok(done) ? "done" : "failed");
    if (is_ok(done) && r->cache != NULL) {
        image_cache_put_layer(r->cache, &l->result);
    }
    return done;
}

static RESULT get_layers(struct registry *r, const struct image_ref *ref,
                         const struct oci_manifest *m, struct fetch_progress *progress,
                         struct registry_image *image, struct err *err) {
    AUTO(buf_deinit)
    struct buf name = {0};
    image_ref_text(ref, &name);
    image->layers = mem_calloc(m->layer_count, sizeof *image->layers);
    image->layer_count = m->layer_count;
    for (size_t i = 0; i < m->layer_count; i++) {
        struct registry_layer *l = &image->layers[i];
        char digest[IMAGE_REF_DIGEST_TEXT];
        memcpy(l->digest, m->layers[i].digest, SHA256_SIZE);
        l->size = m->layers[i].size;
        fetch_progress_begin(progress, buf_cstr(&name), i + 1, m->layer_count,
                             image_ref_digest_text(l->digest, digest), l->size);
        struct result done = get_layer(r, ref, image->config.diff_ids[i], progress, l, err);
        if (!is_ok(done)) {
            return err_wrap(done, err, "layer %zu of %zu (%s)", i + 1, m->layer_count, digest);
        }
    }
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
    image->config_text = d.body;
    d.body = (struct buf){0};
    return OK;
}

static RESULT fetch(struct registry *r, const struct image_ref *ref,
                    struct fetch_progress *progress, struct registry_image *image,
                    struct err *err) {
    AUTO(oci_manifest_deinit)
    struct oci_manifest m = {0};
    TRY(find_manifest(r, ref, image, &m, err));
    TRY(get_config(r, ref, &m, image, err));
    return get_layers(r, ref, &m, progress, image, err);
}

static RESULT name_image(struct result r, const struct image_ref *ref, struct err *err) {
    AUTO(buf_deinit)
    struct buf name = {0};
    image_ref_text(ref, &name);
    return err_wrap(r, err, "image %s", buf_cstr(&name));
}

struct result registry_fetch_image(struct registry *r, const struct image_ref *ref,
                                   struct fetch_progress *progress, struct registry_image *out,
                                   struct err *err) {
    struct registry_image image = {0};
    struct result done = fetch(r, ref, progress, &image, err);
    if (!is_ok(done)) {
        registry_image_deinit(&image);
        return name_image(done, ref, err);
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
        return name_image(done, ref, err);
    }
    remember_top(r, ref, buf_span(&d.body), found);
    memcpy(digest, found, sizeof found);
    return OK;
}
