/* What the tests of injection share: one configuration, pods, and the stage itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_INJECT_FIXTURE_H
#define CONTRAST_INJECT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/inject.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define P "contrast.edgeless.systems/"
#define DIGEST "@sha256:1111111111111111111111111111111111111111111111111111111111111111"

#define POD(annotations, spec)                                                                     \
    "kind: Pod\nmetadata:\n  name: p\n  annotations:\n    x: z\n" annotations "spec:\n" spec
#define WEB "  containers:\n  - name: web\n    image: i\n    command: [c]\n"
#define NOTE(text) "    " P text "\n"

struct bad {
    const char *text;
    const char *want;
};

static const struct inject_config fixture_config = {.initializer_image = "init:1",
                                                    .service_mesh_image = "mesh:1",
                                                    .owner_digests = "aa",
                                                    .permitted_roots = ""};

/* Appends what comes out of the stage for all pods of the text. */
static inline RESULT inject(const char *text, const struct inject_config *c, struct buf *out,
                            struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits = {0};
    TRY(yaml_parse("f.yaml", span_str(text), &file, err));
    yaml_edits_init(&edits, &file);
    TRY(workload_find(&file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        TRY(inject_pod(&list.items[i], c, &edits, err));
    }
    return yaml_edits_apply(&edits, out, err);
}

static inline void inject_ok(const char *text, const struct inject_config *c, struct buf *out) {
    struct err err = {0};
    if (!is_ok(inject(text, c, out, &err))) {
        fail_msg("%s\n%s", err.text, text);
    }
}

static inline void assert_refused(const char *text, const char *want) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err = {0};
    struct result r = inject(text, &fixture_config, &out, &err);
    if (r.code != ERR_INVALID || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, err.text);
    }
    assert_int_equal(out.size, 0);
}

static inline void assert_output(const char *text, const struct inject_config *c,
                                 const char *want) {
    AUTO(buf_deinit)
    struct buf out = {0};
    inject_ok(text, c, &out);
    if (strstr(buf_cstr(&out), want) == NULL) {
        fail_msg("no '%s' in\n%s", want, buf_cstr(&out));
    }
}

#endif
