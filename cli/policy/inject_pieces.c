/* Inject pieces: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject_pieces.h"

#define COORDINATOR_HOST "coordinator-ready"

static const struct {
    const char *name;
    const char *command;
} kinds[INJECT_PIECES_KINDS] = {
    [INJECT_PIECES_INITIALIZER] = {"contrast-initializer", INJECT_PIECES_COMMAND},
    [INJECT_PIECES_MESH] = {"contrast-service-mesh", NULL},
    [INJECT_PIECES_RENEWER] = {"contrast-renewer", INJECT_PIECES_COMMAND},
};

const char *inject_pieces_name(enum inject_pieces_kind kind) {
    return kinds[kind].name;
}

const char *inject_pieces_command(enum inject_pieces_kind kind) {
    return kinds[kind].command;
}

json_t *inject_pieces_variable(const char *name, const char *value) {
    return json_pack("{s:s, s:s}", "name", name, "value", value);
}

json_t *inject_pieces_trust(const struct inject_config *config) {
    return json_pack("[o, o]",
                     inject_pieces_variable("CONTRAST_OWNER_KEY_DIGESTS", config->owner_digests),
                     inject_pieces_variable("CONTRAST_PERMITTED_ROOTS", config->permitted_roots));
}

json_t *inject_pieces_mount(void) {
    return json_pack("{s:s, s:s}", "name", INJECT_PIECES_VOLUME, "mountPath", INJECT_PIECES_PATH);
}

json_t *inject_pieces_volume(void) {
    return json_pack("{s:s, s:{s:s}}", "name", INJECT_PIECES_VOLUME, "emptyDir", "medium",
                     "Memory");
}

/* The initializer and the renewer are one program. */
static json_t *make_program(enum inject_pieces_kind kind, const struct inject_config *config) {
    const char *host = config->coordinator_host;
    json_t *env = inject_pieces_trust(config);
    json_array_insert_new(
        env, 0, inject_pieces_variable("COORDINATOR_HOST", host != NULL ? host : COORDINATOR_HOST));
    return json_pack("{s:s, s:s, s:[s], s:o, s:[o]}", "name", kinds[kind].name, "image",
                     config->initializer_image, "command", kinds[kind].command, "env", env,
                     "volumeMounts", inject_pieces_mount());
}

static void add_variable(json_t *container, const char *name, const char *value) {
    json_array_append_new(json_object_get(container, "env"), inject_pieces_variable(name, value));
}

json_t *inject_pieces_container(enum inject_pieces_kind kind, const struct workload *w,
                                const struct inject_config *config) {
    if (kind == INJECT_PIECES_MESH) {
        return inject_pieces_mesh(w, config);
    }
    json_t *container = make_program(kind, config);
    if (kind == INJECT_PIECES_RENEWER) {
        add_variable(container, "CONTRAST_RENEW", "true");
        json_object_set_new(container, "restartPolicy", json_string("Always"));
    } else if (!w->is_meshed) {
        /* Guests that drop packets until the proxy is up need not wait for one. */
        add_variable(container, "CONTRAST_DISABLE_SERVICE_MESH", "true");
    }
    return container;
}
