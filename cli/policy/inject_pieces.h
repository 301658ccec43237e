/* Inject pieces: the containers, volume and mount that generate adds to a pod, as JSON.
 *
 *   contrast-initializer   gets key, certificates and secret, before everything else
 *   contrast-service-mesh  proxy for TLS (annotations servicemesh-...; mesh_spec.h)
 *   contrast-renewer       renews the certificate (annotation renew-certificates; docs/renewal.md)
 *
 * The last two are native sidecars: Kubernetes 1.29 and later keep an init container with
 * restartPolicy Always running beside the others, and end it with them (also in a Job). Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_INJECT_PIECES_H
#define CONTRAST_INJECT_PIECES_H

#include <jansson.h>

#include "cli/policy/inject.h"

#define INJECT_PIECES_VOLUME "contrast-secrets"
#define INJECT_PIECES_PATH "/contrast"
#define INJECT_PIECES_COMMAND "/usr/bin/contrast-initializer"

/* In the order in which they stand in initContainers. */
enum inject_pieces_kind {
    INJECT_PIECES_INITIALIZER,
    INJECT_PIECES_MESH,
    INJECT_PIECES_RENEWER,
    INJECT_PIECES_KINDS,
};

const char *inject_pieces_name(enum inject_pieces_kind kind);
/* What its command begins with; NULL = the image's entrypoint. */
const char *inject_pieces_command(enum inject_pieces_kind kind);

/* The caller owns what these return. */
json_t *inject_pieces_container(enum inject_pieces_kind kind, const struct workload *w,
                                const struct inject_config *config);
json_t *inject_pieces_volume(void); /* one item of volumes */
json_t *inject_pieces_mount(void);  /* one item of volumeMounts */
/* Variables by which a program knows whom to trust, as items of env. */
json_t *inject_pieces_trust(const struct inject_config *config);
/* inject_mesh.c */
json_t *inject_pieces_mesh(const struct workload *w, const struct inject_config *config);
json_t *inject_pieces_variable(const char *name, const char *value);

#endif
