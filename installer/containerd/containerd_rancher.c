/* k3s and RKE2: their config.toml is rendered at each start from a template, so ours goes into the
 * template or, where the rendered file imports a folder, into a drop-in; see containerd_config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_check.h"
#include "installer/containerd/containerd_plan.h"
#include "installer/containerd/containerd_tables.h"

#define TEMPLATE_BASE "{{ template \"base\" . }}\n" /* k3s docs, "Configuring containerd" */

/* --- k3s and RKE2 */

/* A newer k3s renders version 3 unless only the template of version 2 is there. */
static enum containerd_place choose_template(const struct containerd_plan *p, int rendered_schema) {
    if (containerd_check_older(p->facts->daemon, 2, 0)) {
        return CONTAINERD_TEMPLATE;
    }
    if (containerd_plan_file(p, CONTAINERD_TEMPLATE_V3)->exists) {
        return CONTAINERD_TEMPLATE_V3;
    }
    bool is_kept = rendered_schema == 2 && containerd_plan_file(p, CONTAINERD_TEMPLATE)->exists;
    return is_kept ? CONTAINERD_TEMPLATE : CONTAINERD_TEMPLATE_V3;
}

/* Tables of the base cannot be changed from a template, only new ones added. */
static RESULT check_flags(const struct containerd_plan *p, const struct containerd_editor *rendered,
                          int schema) {
    if (p->runtime->snapshotter == NULL) {
        return OK;
    }
    const char *images = containerd_tables_images(schema);
    const char *const old_path[] = {"plugins", images, "containerd", NULL};
    const char *const new_path[] = {"plugins", images, NULL};
    const struct toml_node *table = toml_get(rendered->toml.root, schema < 3 ? old_path : new_path);
    const struct toml_node *flag = toml_key(table, "disable_snapshot_annotations");
    const struct toml_node *discard = toml_key(table, "discard_unpacked_layers");
    bool is_off = toml_is(flag, TOML_KIND_BOOL) && !flag->boolean;
    bool is_kept = !toml_is(discard, TOML_KIND_BOOL) || !discard->boolean;
    ENSURE(is_off && is_kept, p->err, CONFIG,
           "%.300s: the snapshotter of %.64s needs disable_snapshot_annotations = false and "
           "discard_unpacked_layers = false, and a template cannot change tables of its base; "
           "update to a release that imports config-v3.toml.d, or set them in a template of your "
           "own",
           p->facts->path, p->handler);
    return OK;
}

static RESULT put_template(struct containerd_plan *p, enum containerd_place place) {
    AUTO(containerd_plan_free_path)
    char *path = containerd_plan_path(p, place);
    AUTO(buf_deinit)
    struct buf start = {0};
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    const struct containerd_file *file = containerd_plan_file(p, place);
    if (file->exists) {
        buf_append_span(&start, file->text);
    } else {
        containerd_plan_created(span_str(TEMPLATE_BASE), &start);
    }
    TRY(containerd_file_open(&e, path, buf_span(&start), true, p->facts->discard_edits, p->err));
    bool is_old = containerd_check_older(p->facts->daemon, 2, 0);
    containerd_tables_encode(place == CONTAINERD_TEMPLATE ? 2 : 3, p->runtime,
                             is_old ? CONTAINERD_TABLE_1X : CONTAINERD_TABLE_2X, &body);
    TRY(containerd_file_block(&e, p->handler, buf_cstr(&body), p->err));
    TRY(containerd_file_finish(&e, &text, p->err));
    containerd_plan_put(p, place, buf_span(&text));
    return OK;
}

RESULT containerd_rancher_install(struct containerd_plan *p) {
    const struct containerd_file *rendered = containerd_plan_file(p, CONTAINERD_MAIN);
    ENSURE(rendered->exists, p->err, CONFIG,
           "%.300s does not exist: it is written when the service starts; start it once",
           p->facts->path);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    AUTO(containerd_plan_free_path)
    char *drop_in = containerd_plan_path(p, CONTAINERD_DROP_IN);
    int schema = 0;
    TRY(containerd_file_open(&e, p->facts->path, rendered->text, false, true, p->err));
    TRY(containerd_check_schema_of(&e, &schema, p->err));
    TRY(containerd_check_schema(p, &e, schema));
    TRY(containerd_check_cri(p, &e));
    TRY(containerd_check_foreign(p, &e));
    bool is_old = containerd_check_older(p->facts->daemon, 2, 0);
    if (!is_old && containerd_file_imports(&e, drop_in)) {
        TRY(containerd_plan_drop_in(p, schema));
        TRY(containerd_plan_strip(p, CONTAINERD_TEMPLATE, true));
        return containerd_plan_strip(p, CONTAINERD_TEMPLATE_V3, true);
    }
    enum containerd_place place = choose_template(p, schema);
    enum containerd_place other =
        place == CONTAINERD_TEMPLATE ? CONTAINERD_TEMPLATE_V3 : CONTAINERD_TEMPLATE;
    TRY(check_flags(p, &e, schema));
    TRY(put_template(p, place));
    TRY(containerd_plan_strip(p, other, true));
    return containerd_plan_no_drop_in(p);
}
