/* Generate's images: see gen_images.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_images.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/registry/fetch_images.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CHAIN_TEXT (IMAGE_REF_DIGEST_TEXT - 1)

struct entry {
    char *reference; /* as the pod has it; owned, as all of it */
    char *where;
    char *pinned; /* NULL: it has a digest itself */
    struct image_ref ref;
};

struct gen_images {
    struct registry *registry;
    enum fetch_progress_mode mode;
    enum layer_dialect dialect;
    size_t workers;
    struct entry *entries; /* owned */
    size_t count;
    size_t capacity;
    struct image_list list;
};

/* ---- life ---- */

struct mirrors {
    struct registry_mirror items[CLI_LIST_MAX];
    char *hosts[CLI_LIST_MAX]; /* owned */
    size_t count;
};

static void free_mirrors(struct mirrors *m) {
    for (size_t i = 0; i < m->count; i++) {
        mem_free(m->hosts[i]);
    }
}

static RESULT read_mirrors(const struct cli_list *list, struct mirrors *out, struct err *err) {
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        const char *text = list->items[i];
        const char *equals = strchr(text, '=');
        ENSURE(equals != NULL && equals != text && equals[1] != '\0', err, USAGE,
               "--registry-mirror '%.200s': want HOST=URL, as in "
               "docker.io=https://mirror.example/hub",
               text);
        char *host = mem_strndup(text, (size_t)(equals - text));
        out->hosts[out->count] = host;
        out->items[out->count++] = (struct registry_mirror){.host = host, .url = equals + 1};
    }
    return OK;
}

RESULT gen_images_open(const struct gen_images_config *config, struct gen_images **out,
                       struct err *err) {
    AUTO(free_mirrors)
    struct mirrors mirrors = {0};
    TRY(read_mirrors(config->mirrors, &mirrors, err));
    size_t workers = fetch_images_workers();
    struct registry_config rc = {
        .session = {.http = {.ca_file = config->ca_file},
                    .mirrors = mirrors.items,
                    .mirror_count = mirrors.count},
        .session_count = workers,
        .cache_folder = config->cache_folder,
        .no_cache = config->no_cache,
        .is_offline = config->is_offline,
    };
    if (config->insecure != NULL) {
        rc.session.insecure = config->insecure->items;
        rc.session.insecure_count = config->insecure->count;
    }
    struct registry *registry = NULL;
    TRY(registry_open(&rc, &registry, err));
    struct gen_images *g = mem_zalloc(sizeof *g);
    g->registry = registry;
    g->dialect = config->dialect;
    g->mode = config->mode;
    g->workers = workers;
    *out = g;
    return OK;
}

static void free_entry(struct entry *e) {
    mem_free(e->reference);
    mem_free(e->where);
    mem_free(e->pinned);
}

void gen_images_close(struct gen_images *g) {
    if (g == NULL) {
        return;
    }
    for (size_t i = 0; i < g->count; i++) {
        free_entry(&g->entries[i]);
    }
    mem_free(g->entries);
    image_list_deinit(&g->list);
    registry_close(g->registry);
    mem_free(g);
}

/* ---- adding ---- */

static const struct entry *find_entry(const struct gen_images *g, const char *reference) {
    for (size_t i = 0; i < g->count; i++) {
        if (strcmp(g->entries[i].reference, reference) == 0) {
            return &g->entries[i];
        }
    }
    return NULL;
}

/* True when the reference itself ends with the tag of `ref`. */
static bool has_own_tag(const char *reference, const struct image_ref *ref) {
    size_t size = strlen(reference);
    size_t tag = strlen(ref->tag);
    return size > tag && reference[size - tag - 1] == ':' &&
           strcmp(reference + size - tag, ref->tag) == 0;
}

static void warn_tag(const struct entry *e) {
    if (e->ref.has_digest || strcmp(e->ref.tag, "latest") != 0) {
        return;
    }
    log_warn("%s: image '%.200s' %s: what it is today gets pinned; name a version, so that readers "
             "see which one that is",
             e->where, e->reference,
             has_own_tag(e->reference, &e->ref) ? "has the tag 'latest'"
                                                : "has no tag, which means 'latest'");
}

RESULT gen_images_add(struct gen_images *g, const char *reference, const char *where,
                      struct err *err) {
    if (find_entry(g, reference) != NULL) {
        return OK;
    }
    struct image_ref ref;
    struct result r = image_ref_parse(span_str(reference), &ref, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s", where);
    }
    ENSURE(g->count < LIMIT_GEN_IMAGES, err, TOO_LARGE, "%s: more than %d different images", where,
           LIMIT_GEN_IMAGES);
    if (g->count == g->capacity) {
        g->capacity = g->capacity == 0 ? 16 : 2 * g->capacity;
        g->entries = mem_realloc(g->entries, g->capacity * sizeof *g->entries);
    }
    struct entry *e = &g->entries[g->count++];
    *e = (struct entry){.reference = mem_strdup(reference), .where = mem_strdup(where), .ref = ref};
    warn_tag(e);
    return OK;
}

/* ---- from a registry's image to a policy's ---- */

/* chain_1 = diff_1; chain_n = SHA-256 of "chain_{n-1} diff_n" (OCI image spec, "Layer ChainID");
 * the snapshotter names a layer by the SHA-256 of the chain id's text. */
static void fill_layers(const struct registry_image *from, enum layer_dialect dialect,
                        struct image *out) {
    uint8_t chain[SHA256_SIZE];
    uint8_t id[SHA256_SIZE];
    char text[2 * CHAIN_TEXT + 2];
    out->layers = mem_calloc(from->layer_count, sizeof *out->layers);
    out->layer_count = from->layer_count;
    for (size_t i = 0; i < from->layer_count; i++) {
        const uint8_t *diff = from->config.diff_ids[i];
        if (i == 0) {
            memcpy(chain, diff, sizeof chain);
        } else {
            image_ref_digest_text(chain, text);
            text[CHAIN_TEXT] = ' ';
            image_ref_digest_text(diff, text + CHAIN_TEXT + 1);
            sha256(span_str(text), chain);
        }
        struct image_layer *layer = &out->layers[from->layer_count - 1 - i];
        image_ref_digest_text(chain, text);
        sha256(span_str(text), id);
        hex_encode(SPAN(id), layer->id);
        hex_encode(SPAN(from->layers[i].result.roots[dialect].root_hash), layer->root);
    }
}

static json_t *list_of(const struct oci_texts *texts) {
    json_t *list = json_array();
    for (size_t i = 0; i < texts->count; i++) {
        CHECK(json_array_append_new(list, json_string(texts->items[i])) == 0);
    }
    return list;
}

/* What image_read reads of a config: without history, labels and whatever else makes them long. */
static void append_config(const struct oci_config *c, struct buf *out) {
    json_t *volumes = json_object();
    for (size_t i = 0; i < c->volumes.count; i++) {
        CHECK(json_object_set_new(volumes, c->volumes.items[i], json_object()) == 0);
    }
    json_t *root =
        json_pack("{s:{s:s, s:s, s:o, s:o, s:o, s:o}}", "config", "User", c->user, "WorkingDir",
                  c->working_dir, "Env", list_of(&c->env), "Cmd", list_of(&c->cmd), "Entrypoint",
                  list_of(&c->entrypoint), "Volumes", volumes);
    CHECK(root != NULL);
    char *text = json_dumps(root, JSON_COMPACT);
    CHECK(text != NULL);
    buf_append_str(out, text);
    free(text); /* jansson's */
    json_decref(root);
}

/* The file as a container sees it: of the topmost layer that says something about it. */
static const struct layer_file *find_file(const struct registry_image *image, bool is_group) {
    for (size_t i = image->layer_count; i > 0; i--) {
        const struct layer_result *l = &image->layers[i - 1].result;
        const struct layer_file *f = is_group ? &l->group : &l->passwd;
        if (f->state != LAYER_FILE_ABSENT) {
            return f;
        }
    }
    return NULL;
}

static void fill_file(const struct entry *e, const struct registry_image *image, bool is_group,
                      struct buf *out) {
    const struct layer_file *f = find_file(image, is_group);
    if (f != NULL && f->state == LAYER_FILE_PRESENT) {
        buf_append_span(out, buf_span(&f->content));
    } else if (f != NULL && f->state == LAYER_FILE_OTHER) {
        log_warn("%s: image '%.200s': its etc/%s is no plain file, and is taken as empty; set "
                 "runAsUser and runAsGroup when the pod does not start",
                 e->where, e->reference, is_group ? "group" : "passwd");
    }
}

static void warn_dialects(const struct gen_images *g, const struct entry *e, size_t number,
                          const struct layer_result *l) {
    enum layer_dialect other = g->dialect == LAYER_MSFT ? LAYER_UPSTREAM : LAYER_MSFT;
    char root[2 * SHA256_SIZE + 1];
    if (layer_dialects_differ(l)) {
        hex_encode(SPAN(l->roots[other].root_hash), root);
        log_warn("%s: image '%.200s': layer %zu has symbolic links of more than 100 bytes: the "
                 "policy fits nodes with the indexer '%s', and on those with '%s', whose root hash "
                 "is %s, the pod does not start",
                 e->where, e->reference, number, layer_dialect_name(g->dialect),
                 layer_dialect_name(other), root);
    }
}

/* The node's indexer leaves out what these are about: the pod will not see it. */
static void warn_lost(const struct gen_images *g, const struct entry *e, size_t number,
                      const struct layer_result *l) {
    size_t count = 0;
    const char *first = NULL;
    for (size_t i = 0; i < l->warning_count; i++) {
        if ((l->warnings[i].dialects & 1U << g->dialect) != 0) {
            first = count++ == 0 ? l->warnings[i].text : first;
        }
    }
    if (count > 0) {
        log_warn("%s: image '%.200s': layer %zu: %.500s (%" PRIu64 " such messages; "
                 "`contrast layer hash` shows all)",
                 e->where, e->reference, number, first, count + l->warnings_dropped);
    }
}

static RESULT append_image(struct gen_images *g, const struct entry *e,
                           const struct registry_image *image, struct err *err) {
    struct image *out = &g->list.items[g->list.count];
    AUTO(buf_deinit)
    struct buf config = {0};
    append_config(&image->config, &config);
    struct result r = image_read(e->reference, buf_span(&config), out, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s", e->where);
    }
    g->list.count++;
    fill_file(e, image, false, &out->passwd);
    fill_file(e, image, true, &out->group);
    fill_layers(image, g->dialect, out);
    for (size_t i = 0; i < image->layer_count; i++) {
        if (!image->layers[i].is_shared) {
            warn_dialects(g, e, i + 1, &image->layers[i].result);
            warn_lost(g, e, i + 1, &image->layers[i].result);
        }
    }
    return OK;
}

/* The same image under the name that it is pinned to. */
static void append_pinned(struct gen_images *g, const char *pinned) {
    const struct image *from = &g->list.items[g->list.count - 1];
    struct image *out = &g->list.items[g->list.count++];
    *out = (struct image){.reference = mem_strdup(pinned),
                          .config = json_incref(from->config),
                          .layer_count = from->layer_count};
    buf_append_span(&out->passwd, buf_span(&from->passwd));
    buf_append_span(&out->group, buf_span(&from->group));
    out->layers = mem_calloc(from->layer_count, sizeof *out->layers);
    memcpy(out->layers, from->layers, from->layer_count * sizeof *out->layers);
}

static RESULT finish_entry(struct gen_images *g, struct entry *e,
                           const struct registry_image *image, struct err *err) {
    TRY(append_image(g, e, image, err));
    if (!e->ref.has_digest) {
        AUTO(buf_deinit)
        struct buf pinned = {0};
        image_ref_pin(span_str(e->reference), image->digest, &pinned);
        e->pinned = mem_strdup(buf_cstr(&pinned));
        if (find_entry(g, e->pinned) == NULL) {
            append_pinned(g, e->pinned);
        }
    }
    return OK;
}

static RESULT fetch_items(struct gen_images *g, struct fetch_item *items, struct err *err) {
    struct fetch_progress progress;
    fetch_progress_init(&progress, g->mode, STDERR_FILENO);
    struct result r = fetch_images(g->registry, items, g->count, g->workers, &progress, err);
    fetch_progress_deinit(&progress);
    return r;
}

RESULT gen_images_fetch(struct gen_images *g, struct err *err) {
    struct fetch_item *items = mem_calloc(g->count + 1, sizeof *items);
    for (size_t i = 0; i < g->count; i++) {
        items[i] = (struct fetch_item){.ref = g->entries[i].ref, .where = g->entries[i].where};
    }
    g->list.items = mem_calloc(2 * g->count + 1, sizeof *g->list.items);
    struct result r = fetch_items(g, items, err);
    for (size_t i = 0; i < g->count && is_ok(r); i++) {
        r = finish_entry(g, &g->entries[i], &items[i].image, err);
    }
    for (size_t i = 0; i < g->count; i++) {
        registry_image_deinit(&items[i].image);
    }
    mem_free(items);
    return r;
}

const struct image_list *gen_images_list(const struct gen_images *g) {
    return &g->list;
}

const char *gen_images_pin(const struct gen_images *g, const char *reference) {
    const struct entry *e = find_entry(g, reference);
    return e != NULL ? e->pinned : NULL;
}
