/* contrast runtime: the handler's name from the installer's own code, texts around it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_runtime.h"

#include <string.h>

#include "cli/resource_text.h"
#include "installer/handler_name.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

#define VMM_MEMORY 128 /* MiB beside the guest's own: hypervisor, shim */

struct options {
    const char *config;
    const char *platform;
    const char *namespace;
    const char *image;
    const char *target; /* NULL = none */
    bool is_uninstall;
};

struct runtime {
    struct options options;
    struct buf json; /* of --config */
    struct node_config config;
    char handler[HANDLER_NAME_SIZE];
};

static void runtime_deinit(struct runtime *r) {
    node_config_deinit(&r->config);
    buf_deinit(&r->json);
}

static RESULT parse(struct cli *cli, int argc, char **argv, struct options *o, struct err *err) {
    const struct cli_option table[] = {
        {"config", 0, CLI_STRING, (void *)&o->config},
        {"platform", 0, CLI_STRING, (void *)&o->platform},
        {"namespace", 'n', CLI_STRING, (void *)&o->namespace},
        {"image", 0, CLI_STRING, (void *)&o->image},
        {"target-config", 0, CLI_STRING, (void *)&o->target},
        {"uninstall", 0, CLI_FLAG, &o->is_uninstall},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, NULL, err));
    ENSURE(o->config != NULL, err, USAGE, "--config FILE is needed; see --help");
    o->namespace = o->namespace == NULL ? "kube-system" : o->namespace;
    o->image = o->image == NULL ? CMD_RUNTIME_IMAGE : o->image;
    TRY(resource_text_check_name("--namespace", o->namespace, true, err));
    if (o->target != NULL) {
        TRY(resource_text_check_name("--target-config", o->target, false, err));
    }
    return resource_text_check_image("--image", o->image, err);
}

static RESULT load(struct runtime *r, struct err *err) {
    const struct options *o = &r->options;
    TRY(file_read(o->config, LIMIT_NODE_CONFIG, &r->json, err));
    struct result result = node_config_parse(buf_span(&r->json), o->platform, &r->config, err);
    if (!is_ok(result)) {
        return err_wrap(result, err, "%s", o->config);
    }
    struct sri *digests = arena_alloc(&r->config.arena, r->config.file_count * sizeof *digests);
    for (size_t i = 0; i < r->config.file_count; i++) {
        digests[i] = r->config.files[i].integrity;
        ENSURE(digests[i].size > 0 || r->config.handler != NULL, err, CONFIG,
               "%s: files[%zu].integrity: needed here, because the handler's name depends on it: "
               "add \"sha256-<base64>\", or set runtimeHandlerName",
               o->config, i);
    }
    handler_name_make(&r->config, digests, r->handler);
    ENSURE(strlen(r->handler) + strlen("-nodeinstaller") <= 63, err, CONFIG,
           "%s: runtimeHandlerName: at most 49 characters, since it becomes part of a label",
           o->config);
    return OK;
}

/* --- Texts */

static void put_class(struct buf *out, const struct runtime *r) {
    buf_appendf(out,
                "# Pods with this runtime class run in confidential virtual machines of their own. "
                "The\n"
                "# overhead is what such a machine needs beside its containers.\n"
                "apiVersion: node.k8s.io/v1\n"
                "kind: RuntimeClass\n"
                "metadata:\n"
                "  name: %s\n"
                "handler: %s\n"
                "overhead:\n"
                "  podFixed:\n"
                "    memory: %uMi\n",
                r->handler, r->handler, r->config.kata.default_memory + VMM_MEMORY);
    if (strncmp(r->config.platform->name, "AKS-", 4) == 0) {
        buf_append_str(out, "scheduling:\n"
                            "  nodeSelector:\n"
                            "    kubernetes.azure.com/kata-cc-isolation: \"true\"\n");
    }
    buf_append_str(out, "---\n");
}

/* The file as a block scalar: JSON has no tab or control character outside of its strings' escapes
 * but white space; tabs in front of a line would be taken for indentation. */
static void put_config(struct buf *out, const struct runtime *r) {
    buf_appendf(out,
                "# What is installed, and where it comes from.\n"
                "apiVersion: v1\n"
                "kind: ConfigMap\n"
                "metadata:\n"
                "  name: %s-config\n"
                "  namespace: %s\n"
                "data:\n"
                "  contrast-node-install.json: ",
                r->handler, r->options.namespace);
    json_t *root = json_loadb((const char *)r->json.data, r->json.size, 0, NULL);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    json_decref(root);
    CHECK(text != NULL);
    buf_append_str(out, "|\n");
    for (const char *line = text; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        buf_appendf(out, "    %.*s\n", (int)size, line);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
    free(text);
    buf_append_str(out, "---\n");
}

static void put_set_head(struct buf *out, const struct runtime *r) {
    const char *suffix = r->options.is_uninstall ? "uninstaller" : "nodeinstaller";
    buf_appendf(out,
                "apiVersion: apps/v1\n"
                "kind: DaemonSet\n"
                "metadata:\n"
                "  name: %s-%s\n"
                "  namespace: %s\n"
                "  labels:\n"
                "    app: %s-%s\n"
                "spec:\n"
                "  selector:\n"
                "    matchLabels:\n"
                "      app: %s-%s\n"
                "  # One node after the other: a node restarts its containerd.\n"
                "  updateStrategy:\n"
                "    type: RollingUpdate\n"
                "    rollingUpdate:\n"
                "      maxUnavailable: 1\n"
                "  template:\n"
                "    metadata:\n"
                "      labels:\n"
                "        app: %s-%s\n"
                "      annotations:\n"
                "        contrast.edgeless.systems/pod-role: contrast-node-installer\n"
                "        contrast.edgeless.systems/platform: %s\n",
                r->handler, suffix, r->options.namespace, r->handler, suffix, r->handler, suffix,
                r->handler, suffix, r->config.platform->name);
    buf_append_str(out, "    spec:\n"
                        "      hostPID: true # to see which pods run, and to reach the host\n"
                        "      automountServiceAccountToken: false\n"
                        "      priorityClassName: system-node-critical\n"
                        "      tolerations:\n"
                        "        - operator: Exists\n");
    if (strncmp(r->config.platform->name, "AKS-", 4) == 0) {
        buf_append_str(out, "      nodeSelector:\n"
                            "        kubernetes.azure.com/kata-cc-isolation: \"true\"\n");
    }
}

static void put_installer(struct buf *out, const struct runtime *r) {
    const struct options *o = &r->options;
    buf_appendf(out,
                "      initContainers:\n"
                "        - name: installer\n"
                "          image: %s\n"
                "          command: [\"/usr/bin/contrast-node-installer\"]\n"
                "          args: [%s, %s]\n"
                "          terminationMessagePolicy: FallbackToLogsOnError\n"
                "          securityContext:\n"
                "            privileged: true\n"
                "          resources:\n"
                "            requests: {cpu: 100m, memory: 128Mi}\n"
                "          volumeMounts:\n"
                "            - {name: host, mountPath: /host}\n"
                "            - {name: config, mountPath: /config, readOnly: true}\n",
                o->image, o->is_uninstall ? "uninstall" : "install", r->config.platform->name);
    if (o->target != NULL) {
        buf_append_str(out,
                       "            - {name: target, mountPath: /target-config, readOnly: true}\n");
    }
}

/* Of the uninstaller's pods nothing is left to watch: they only stay. */
static void put_watch(struct buf *out, const struct runtime *r) {
    buf_appendf(out,
                "      containers:\n"
                "        - name: health\n"
                "          image: %s\n"
                "          command: [\"/usr/bin/contrast-node-health\"]\n"
                "          ports:\n"
                "            - {name: health, containerPort: 9103}\n",
                r->options.image);
    if (!r->options.is_uninstall) {
        buf_append_str(out, "          readinessProbe:\n"
                            "            httpGet: {path: /healthz, port: health}\n"
                            "            periodSeconds: 10\n");
    }
    buf_append_str(out, "          securityContext:\n"
                        "            allowPrivilegeEscalation: false\n"
                        "            readOnlyRootFilesystem: true\n"
                        "            capabilities: {drop: [\"ALL\"], add: [\"DAC_OVERRIDE\"]}\n"
                        "          resources:\n"
                        "            requests: {cpu: 10m, memory: 16Mi}\n"
                        "            limits: {memory: 32Mi}\n"
                        "          volumeMounts:\n"
                        "            - {name: host, mountPath: /host, readOnly: true}\n");
    if (r->options.target != NULL) {
        buf_append_str(out,
                       "            - {name: target, mountPath: /target-config, readOnly: true}\n");
    }
}

/* The snapshotter comes with the payload and runs from the runtime's folder on the host. */
static void put_snapshotter(struct buf *out, const struct runtime *r) {
    if (!r->config.platform->has_tardev || r->options.is_uninstall) {
        return;
    }
    buf_appendf(out,
                "        - name: tardev-snapshotter\n"
                "          image: %s\n"
                "          command:\n"
                "            - /usr/sbin/chroot\n"
                "            - /host\n"
                "            - " NODE_RUNTIME_ROOT "/%s/bin/tardev-snapshotter\n"
                "            - /var/lib/containerd/io.containerd.snapshotter.v1.tardev-%s\n"
                "            - /run/containerd/containerd.sock\n"
                "            - /run/containerd/tardev-snapshotter-%s.sock\n"
                "          securityContext:\n"
                "            privileged: true\n"
                "          resources:\n"
                "            requests: {cpu: 50m, memory: 128Mi}\n"
                "          volumeMounts:\n"
                "            - name: host\n"
                "              mountPath: /host\n"
                "              mountPropagation: Bidirectional\n",
                r->options.image, r->handler, r->handler, r->handler);
}

static void put_volumes(struct buf *out, const struct runtime *r) {
    buf_appendf(out,
                "      volumes:\n"
                "        - name: host\n"
                "          hostPath: {path: /, type: Directory}\n"
                "        - name: config\n"
                "          configMap: {name: %s-config}\n",
                r->handler);
    if (r->options.target != NULL) {
        buf_appendf(out,
                    "        - name: target\n"
                    "          configMap: {name: %s}\n",
                    r->options.target);
    }
}

RESULT cmd_runtime(struct cli *cli, int argc, char **argv, struct err *err) {
    AUTO(runtime_deinit)
    struct runtime r = {0};
    TRY(parse(cli, argc, argv, &r.options, err));
    TRY(load(&r, err));
    AUTO(buf_deinit)
    struct buf text = {0};
    if (r.options.is_uninstall) {
        buf_append_str(
            &text, "# Takes the runtime off every node again. First delete the pods that use "
                   "it, the installer's\n# DaemonSet and the RuntimeClass; delete this one when "
                   "all its pods are running.\n");
    } else {
        put_class(&text, &r);
    }
    put_config(&text, &r);
    put_set_head(&text, &r);
    put_installer(&text, &r);
    put_watch(&text, &r);
    put_snapshotter(&text, &r);
    put_volumes(&text, &r);
    return resource_text_print(cli, buf_span(&text), err);
}
