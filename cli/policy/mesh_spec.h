/* Mesh spec: what the annotations of the service mesh say, checked before the sidecar reads them.
 *
 *   servicemesh-ingress:  entry ("##" entry)*, or empty: every port wants a client's certificate
 *     entry = name "#" port "#" ("true" | "false")      true: this port is not proxied at all;
 *                                                       false: TLS, but without client certificate
 *   servicemesh-egress:   entry ("##" entry)*
 *     entry = name "#" listen-ip ":" port "#" remote-host ":" port    listen-ip in 127.0.0.0/8
 *   servicemesh-admin-interface-port: port
 *
 * Ports are 1 to 65535, decimal; 15006 and 15007 are the proxy's own. Names (letters, digits,
 * "-", "_", "." ) are unique within one annotation. Source: Contrast, "Service mesh", the format of
 * the annotations. Pure; nothing is allocated. Failure: INVALID with the entry and the reason.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MESH_SPEC_H
#define CONTRAST_MESH_SPEC_H

#include "lib/base/bytes.h"

#define MESH_SPEC_PORT 15006           /* the proxy: connections with a client's certificate */
#define MESH_SPEC_PORT_NO_CLIENT 15007 /* the proxy: those without */

/* Each takes a NUL-terminated text of any size. */
RESULT mesh_spec_check_ingress(const char *text, struct err *err);
RESULT mesh_spec_check_egress(const char *text, struct err *err);
/* `egress`: the checked text of the other annotation, NULL = none; its ports are taken. The port
 * goes to `out`. */
RESULT mesh_spec_check_admin(const char *text, const char *egress, uint16_t *out, struct err *err);

#endif
