/* Pod tables: how the tables of pod_fields.h are written down. Internal to cli/policy.
 *
 *   pod_tables_owner.c      controllers, metadata     pod_tables_container.c  containers, probes
 *   pod_tables_spec.c       pods                      pod_tables_volume.c     volumes
 *
 * USED(name, type, why), USED_OBJECT(name, table, why), USED_LIST(name, table, why), the same with
 * IGNORED and REFUSED, and ONLY(name, type, values, why): refused but for these values. MORE is a
 * why that says: as the row above.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POD_TABLES_H
#define CONTRAST_POD_TABLES_H

#include "cli/policy/pod_fields.h"

#define POD_TABLE(name, root, ...)                                                                 \
    static const struct pod_field name##_fields[] = {__VA_ARGS__};                                 \
    const struct pod_table name = {name##_fields, sizeof name##_fields / sizeof(struct pod_field), \
                                   root}
#define LOCAL_TABLE_AT(name, root, ...)                                                            \
    static const struct pod_field name##_fields[] = {__VA_ARGS__};                                 \
    static const struct pod_table name = {name##_fields,                                           \
                                          sizeof name##_fields / sizeof(struct pod_field), root}
#define LOCAL_TABLE(name, ...) LOCAL_TABLE_AT(name, NULL, __VA_ARGS__)

#define MORE NULL
#define ROW(n, class, type, table, values, why)                                                    \
    { n, POD_FIELD_##class, POD_FIELD_##type, table, values, why }

#define USED(n, type, why) ROW(n, USED, type, NULL, NULL, why)
#define USED_OBJECT(n, t, why) ROW(n, USED, OBJECT, &(t), NULL, why)
#define USED_LIST(n, t, why) ROW(n, USED, LIST, &(t), NULL, why)
#define ONE_OF(n, values, why) ROW(n, USED, STRING, NULL, values, why)
#define IGNORED(n, type, why) ROW(n, IGNORED, type, NULL, NULL, why)
#define IGNORED_OBJECT(n, t, why) ROW(n, IGNORED, OBJECT, &(t), NULL, why)
#define IGNORED_LIST(n, t, why) ROW(n, IGNORED, LIST, &(t), NULL, why)
#define REFUSED(n, type, why) ROW(n, REFUSED, type, NULL, NULL, why)
#define ONLY(n, type, values, why) ROW(n, REFUSED, type, NULL, values, why)

extern const struct pod_table pod_tables_metadata;       /* of the pod or its template */
extern const struct pod_table pod_tables_plain_metadata; /* of anything else */
extern const struct pod_table pod_tables_spec;
extern const struct pod_table pod_tables_container;
extern const struct pod_table pod_tables_volume;
extern const struct pod_table pod_tables_claim;          /* PersistentVolumeClaim */
extern const struct pod_table pod_tables_label_selector; /* LabelSelector */
extern const struct pod_table pod_tables_field_ref;      /* ObjectFieldSelector */
extern const struct pod_table pod_tables_resource_ref;   /* ResourceFieldSelector */
extern const struct pod_table pod_tables_local_ref;      /* LocalObjectReference */

#endif
