/* Texts: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_texts.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

void node_texts_deinit(struct node_texts *texts) {
    for (size_t i = 0; i < texts->count; i++) {
        mem_free(texts->items[i].path);
        buf_deinit(&texts->items[i].before);
        buf_deinit(&texts->items[i].after);
    }
    mem_free(texts->items);
    *texts = (struct node_texts){0};
}

static struct node_text *find(const struct node_texts *texts, const char *path) {
    for (size_t i = 0; i < texts->count; i++) {
        if (strcmp(texts->items[i].path, path) == 0) {
            return &texts->items[i];
        }
    }
    return NULL;
}

/* Takes `path`. */
static RESULT load_one(struct node_texts *texts, const struct node_root *root, char *path,
                       struct err *err) {
    struct node_text text = {.path = path};
    struct result r = node_root_read(root, path, LIMIT_TOML_FILE, &text.before, &text.stat, err);
    if (!is_ok(r)) {
        mem_free(path);
        buf_deinit(&text.before);
        return r;
    }
    text.exists = text.stat.exists;
    buf_append_span(&text.after, buf_span(&text.before));
    texts->items = mem_realloc(texts->items, (texts->count + 1) * sizeof *texts->items);
    texts->items[texts->count++] = text;
    return OK;
}

RESULT node_texts_load(struct node_texts *texts, const struct node_root *root, const char *handler,
                       struct err *err) {
    for (int place = 0; place < CONTAINERD_PLACES; place++) {
        char *path = containerd_config_path(texts->flavor, texts->main_path,
                                            (enum containerd_place)place, handler);
        if (path == NULL || find(texts, path) != NULL) {
            mem_free(path);
            continue;
        }
        TRY(load_one(texts, root, path, err));
    }
    return OK;
}

void node_texts_facts(const struct node_texts *texts, const char *handler,
                      struct containerd_facts *facts) {
    facts->flavor = texts->flavor;
    facts->path = texts->main_path;
    for (int place = 0; place < CONTAINERD_PLACES; place++) {
        char *path = containerd_config_path(texts->flavor, texts->main_path,
                                            (enum containerd_place)place, handler);
        const struct node_text *text = path != NULL ? find(texts, path) : NULL;
        facts->files[place] = (struct containerd_file){0};
        if (text != NULL && text->exists) {
            facts->files[place] = (struct containerd_file){true, buf_span(&text->after)};
        }
        mem_free(path);
    }
}

/* Behind those that were changed before it: the order in which the node stays whole. */
static struct node_text *move_last(struct node_texts *texts, struct node_text *text) {
    struct node_text moved = *text;
    size_t index = (size_t)(text - texts->items);
    memmove(text, text + 1, (texts->count - index - 1) * sizeof *text);
    texts->items[texts->count - 1] = moved;
    return &texts->items[texts->count - 1];
}

void node_texts_apply(struct node_texts *texts, const struct containerd_change *change) {
    for (size_t i = 0; i < change->count; i++) {
        const struct containerd_edit *edit = &change->edits[i];
        struct node_text *text = find(texts, edit->path);
        CHECK(text != NULL);
        if (!node_text_differs(text)) {
            text = move_last(texts, text);
        }
        text->exists = !edit->is_deletion;
        buf_clear(&text->after);
        buf_append_span(&text->after, buf_span(&edit->text));
    }
}

bool node_text_differs(const struct node_text *text) {
    return text->exists != text->stat.exists ||
           !span_equal(buf_span(&text->before), buf_span(&text->after));
}
