/* Inject mesh: the sidecar that speaks TLS for the pod.
 *
 * It reads what the annotations say from three variables, gets its certificate from /contrast, sets
 * up packet redirection (so: privileged, NET_ADMIN, user 0 whatever the pod's security context
 * says), and is up when it takes connections on its port. Without `command`: the image's
 * entrypoint. Source: Contrast, "Service mesh".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject_pieces.h"
#include "cli/policy/mesh_spec.h"

static void add_admin(json_t *container, const char *text) {
    uint16_t port = 0;
    struct result r = mesh_spec_check_admin(text, NULL, &port, NULL);
    CHECK(is_ok(r)); /* pod_annotations_check came before */
    json_array_append_new(json_object_get(container, "env"),
                          inject_pieces_variable("CONTRAST_ADMIN_PORT", text));
    json_object_set_new(
        container, "ports",
        json_pack("[{s:s, s:i}]", "name", "contrast-admin", "containerPort", (int)port));
}

static json_t *make_security(void) {
    return json_pack("{s:b, s:{s:[s]}, s:i, s:b}", "privileged", 1, "capabilities", "add",
                     "NET_ADMIN", "runAsUser", 0, "runAsNonRoot", 0);
}

json_t *inject_pieces_mesh(const struct workload *w, const struct inject_config *config) {
    const char *ingress = w->mesh_ingress != NULL ? w->mesh_ingress : "";
    const char *egress = w->mesh_egress != NULL ? w->mesh_egress : "";
    json_t *container =
        json_pack("{s:s, s:s, s:s, s:[o, o], s:[o], s:o, s:{s:{s:i}, s:i, s:i}, s:{s:{s:s}}}",
                  "name", inject_pieces_name(INJECT_PIECES_MESH), "image",
                  config->service_mesh_image, "restartPolicy", "Always", "env",
                  inject_pieces_variable("CONTRAST_INGRESS_PROXY_CONFIG", ingress),
                  inject_pieces_variable("CONTRAST_EGRESS_PROXY_CONFIG", egress), "volumeMounts",
                  inject_pieces_mount(), "securityContext", make_security(), "startupProbe",
                  "tcpSocket", "port", MESH_SPEC_PORT, "periodSeconds", 1, "failureThreshold", 60,
                  "resources", "requests", "memory", "100Mi");
    CHECK(container != NULL);
    if (w->mesh_admin != NULL) {
        add_admin(container, w->mesh_admin);
    }
    return container;
}
