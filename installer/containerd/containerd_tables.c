/* Tables: see the header. Keys as in containerd's docs/cri/config.md.
 *
 * A drop-in has the version of the file that imports it: containerd 2.0 and 2.1 merge first and
 * migrate the whole by one version, later ones refuse a drop-in that is newer than its importer.
 * Both take a file without a version for migrated when they read it, so version 3 suits it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_tables.h"

#include "installer/toml/toml.h"

const char *containerd_tables_runtimes(int schema) {
    if (schema == 1) {
        return "cri";
    }
    return schema == 2 ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
}

const char *containerd_tables_images(int schema) {
    return schema < 3 ? containerd_tables_runtimes(schema) : "io.containerd.cri.v1.images";
}

static void append_runtime_header(int schema, const char *handler, const char *below,
                                  struct buf *out) {
    buf_append_str(out, "[plugins.");
    toml_encode_key(containerd_tables_runtimes(schema), out);
    buf_append_str(out, ".containerd.runtimes.");
    toml_encode_key(handler, out);
    buf_appendf(out, "%s]\n", below);
}

static void append_string(const char *key, const char *value, struct buf *out) {
    buf_appendf(out, "%s = ", key);
    toml_encode_string(value, out);
    buf_append_str(out, "\n");
}

static void append_runtime(int schema, const struct containerd_runtime *runtime, struct buf *out) {
    append_runtime_header(schema, runtime->handler, "", out);
    append_string("runtime_type", runtime->runtime_type, out);
    append_string("runtime_path", runtime->runtime_path, out);
    if (runtime->pod_annotation_count > 0) {
        buf_append_str(out, "pod_annotations = [");
        for (size_t i = 0; i < runtime->pod_annotation_count; i++) {
            buf_append_str(out, i > 0 ? ", " : "");
            toml_encode_string(runtime->pod_annotations[i], out);
        }
        buf_append_str(out, "]\n");
    }
    buf_append_str(out, "privileged_without_host_devices = true\n");
    if (runtime->snapshotter != NULL) {
        append_string("snapshotter", runtime->snapshotter, out);
    }
    append_runtime_header(schema, runtime->handler, ".options", out);
    append_string("ConfigPath", runtime->config_path, out);
}

/* From 2.0 on the images plugin must know, too; its migration of older versions forgets it, and
 * keeps what stands there under the new name. */
static void append_snapshotter(const struct containerd_runtime *runtime, bool has_images,
                               struct buf *out) {
    if (has_images) {
        buf_append_str(out, "[plugins.");
        toml_encode_key(containerd_tables_images(3), out);
        buf_append_str(out, ".runtime_platforms.");
        toml_encode_key(runtime->handler, out);
        buf_append_str(out, "]\n");
        append_string("snapshotter", runtime->snapshotter, out);
    }
    if (runtime->snapshotter_address != NULL) {
        buf_append_str(out, "[proxy_plugins.");
        toml_encode_key(runtime->snapshotter, out);
        buf_append_str(out, "]\ntype = \"snapshot\"\n");
        append_string("address", runtime->snapshotter_address, out);
    }
}

/* tardev reads layers by the annotations of snapshots, and compressed layers again on commit. */
static void append_flags(int schema, struct buf *out) {
    buf_append_str(out, "[plugins.");
    toml_encode_key(containerd_tables_images(schema), out);
    buf_append_str(out, schema < 3 ? ".containerd]\n" : "]\n");
    buf_append_str(out, "disable_snapshot_annotations = false\n"
                        "discard_unpacked_layers = false\n");
}

void containerd_tables_encode(int schema, const struct containerd_runtime *runtime,
                              enum containerd_table_form form, struct buf *out) {
    if (form == CONTAINERD_TABLE_DROP_IN) {
        schema = schema == 1 ? 3 : schema;
        buf_appendf(out, "version = %d\n", schema);
    }
    if (form == CONTAINERD_TABLE_DROP_IN && runtime->snapshotter != NULL) {
        append_flags(schema, out);
    }
    append_runtime(schema, runtime, out);
    if (runtime->snapshotter != NULL) {
        append_snapshotter(runtime, form != CONTAINERD_TABLE_1X, out);
    }
    out->size--; /* the last LF */
}

void containerd_tables_runc(int schema, struct buf *out) {
    append_runtime_header(schema, "runc", "", out);
    buf_append_str(out, "runtime_type = \"io.containerd.runc.v2\"");
}
