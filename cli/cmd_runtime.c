/* contrast runtime: the handler's name from the installer's own code, texts around it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_runtime.h"

#include <stdlib.h>
#include <string.h>

#include "cli/resource_text.h"
#include "installer/handler_name.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

#define VMM_MEMORY 128               /* MiB beside the guest's own: hypervisor, shim */
#define CONFIG_MAP_MAX (1000 * 1000) /* bytes of the file in it; Kubernetes takes 1 MiB in all */

#define AKS_LABEL "kubernetes.azure.com/kata-cc-isolation"

struct options {
    const char *config;
    const char *platform;
    const char *namespace;
    const char *image;
    const char *target;        /* NULL = none */
    struct cli_list selectors; /* "KEY=VALUE" */
    bool is_uninstall;
    struct arena arena; /* of what had to be quoted */
};

struct runtime {
    struct options options;
    struct buf json; /* of --config */
    char *text;      /* the same, as it stands in the ConfigMap; jansson's allocation */
    struct node_config config;
    char handler[HANDLER_NAME_SIZE];
};

static void runtime_deinit(struct runtime *r) {
    arena_deinit(&r->options.arena);
    node_config_deinit(&r->config);
    buf_deinit(&r->json);
    free(r->text);
}

static RESULT check_selectors(const struct cli_list *list, struct err *err) {
    static const char *const ours[] = {"kubernetes.io/os=", "kubernetes.io/arch=", AKS_LABEL "="};
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        TRY(resource_text_check_label("--node-selector", item, err));
        size_t size = strcspn(item, "=") + 1;
        bool is_twice = false;
        for (size_t k = 0; k < i; k++) {
            is_twice = is_twice || strncmp(list->items[k], item, size) == 0;
        }
        for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++) {
            is_twice = is_twice || strncmp(ours[k], item, size) == 0;
        }
        ENSURE(!is_twice, err, USAGE, "--node-selector: %.80s: this label is there already", item);
    }
    return OK;
}

static RESULT parse(struct cli *cli, int argc, char **argv, struct options *o, struct err *err) {
    const struct cli_option table[] = {
        {"config", 0, CLI_STRING, (void *)&o->config},
        {"platform", 0, CLI_STRING, (void *)&o->platform},
        {"namespace", 'n', CLI_STRING, (void *)&o->namespace},
        {"image", 0, CLI_STRING, (void *)&o->image},
        {"target-config", 0, CLI_STRING, (void *)&o->target},
        {"node-selector", 0, CLI_STRINGS, &o->selectors},
        {"uninstall", 0, CLI_FLAG, &o->is_uninstall},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, NULL, err));
    ENSURE(o->config != NULL, err, USAGE, "--config FILE is needed; see --help");
    o->namespace = o->namespace == NULL ? "kube-system" : o->namespace;
    o->image = o->image == NULL ? CMD_RUNTIME_IMAGE : o->image;
    TRY(resource_text_check_name("--namespace", o->namespace, true, err));
    if (o->target != NULL) {
        TRY(resource_text_check_name("--target-config", o->target, false, err));
        o->target = resource_text_scalar(&o->arena, o->target);
    }
    TRY(check_selectors(&o->selectors, err));
    TRY(resource_text_check_image("--image", o->image, err));
    o->namespace = resource_text_scalar(&o->arena, o->namespace);
    o->image = resource_text_scalar(&o->arena, o->image);
    return OK;
}

static RESULT name(struct runtime *r, struct err *err) {
    const struct options *o = &r->options;
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

static RESULT load(struct runtime *r, struct err *err) {
    const struct options *o = &r->options;
    TRY(file_read(o->config, LIMIT_NODE_CONFIG, &r->json, err));
    struct result result = node_config_parse(buf_span(&r->json), o->platform, &r->config, err);
    if (!is_ok(result)) {
        return err_wrap(result, err, "%s", o->config);
    }
    json_t *root = json_loadb((const char *)r->json.data, r->json.size, 0, NULL);
    r->text = json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    json_decref(root);
    CHECK(r->text != NULL);
    ENSURE(strlen(r->text) <= CONFIG_MAP_MAX, err, CONFIG, "%s: %zu bytes, a ConfigMap takes %d",
           o->config, strlen(r->text), CONFIG_MAP_MAX);
    return name(r, err);
}

/* --- Texts */

/* The nodes that get the runtime, and the only ones where its pods may run. */
static void put_selector(struct buf *out, const struct runtime *r, const char *indent) {
    buf_appendf(out,
                "%snodeSelector:\n"
                "%s  kubernetes.io/os: linux\n"
                "%s  kubernetes.io/arch: amd64\n",
                indent, indent, indent);
    if (strncmp(r->config.platform->name, "AKS-", 4) == 0) {
        buf_appendf(out, "%s  " AKS_LABEL ": \"true\"\n", indent);
    }
    const struct cli_list *list = &r->options.selectors;
    for (size_t i = 0; i < list->count; i++) {
        size_t size = strcspn(list->items[i], "=");
        buf_appendf(out, "%s  %.*s: \"%s\"\n", indent, (int)size, list->items[i],
                    list->items[i] + size + 1);
    }
}

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
    buf_append_str(out, "scheduling:\n");
    put_selector(out, r, "  ");
    buf_append_str(out, "---\n");
}

/* The file as a block scalar, anew from its JSON: tabs at the head of a line would be taken for
 * indentation, and other characters than ASCII's might not arrive as they are. */
static void put_config(struct buf *out, const struct runtime *r) {
    buf_appendf(out,
                "# What is installed, and where it comes from.\n"
                "apiVersion: v1\n"
                "kind: ConfigMap\n"
                "metadata:\n"
                "  name: %s-config\n"
                "  namespace: %s\n"
                "data:\n"
                "  contrast-node-install.json: |\n",
                r->handler, r->options.namespace);
    for (const char *line = r->text; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        buf_appendf(out, "    %.*s\n", (int)size, line);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
    buf_append_str(out, "---\n");
}

static void put_set_head(struct buf *out, const struct runtime *r) {
    const char *suffix = r->options.is_uninstall ? "uninstaller" : "nodeinstaller";
    char sum[2 * SHA256_SIZE + 1]; /* another file of the same handler reaches the pods, too */
    uint8_t digest[SHA256_SIZE];
    sha256(span_str(r->text), digest);
    hex_encode(SPAN(digest), sum);
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
                "  # An update goes from node to node: each restarts its containerd and confirms.\n"
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
                "        contrast.edgeless.systems/platform: %s\n"
                "        checksum/config: %s\n",
                r->handler, suffix, r->options.namespace, r->handler, suffix, r->handler, suffix,
                r->handler, suffix, r->config.platform->name, sum);
    buf_append_str(out,
                   "    spec:\n"
                   "      hostPID: true # to see which pods run, and to reach the host\n"
                   "      automountServiceAccountToken: false\n"
                   "      priorityClassName: system-node-critical\n"
                   "      # Time for the step that is under way; restarting containerd is one.\n"
                   "      terminationGracePeriodSeconds: 120\n"
                   "      tolerations:\n"
                   "        - operator: Exists\n");
    put_selector(out, r, "      ");
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
                "            runAsUser: 0\n"
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

/* Of the uninstaller's pods nothing is left to watch: they only stay, and that one runs tells that
 * its node is done. */
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
                            "            periodSeconds: 10\n"
                            "            timeoutSeconds: 5\n");
    }
    buf_append_str(out, "          # The journal and containerd's socket belong to root; it needs "
                        "no privilege beside.\n"
                        "          securityContext:\n"
                        "            runAsUser: 0\n"
                        "            allowPrivilegeEscalation: false\n"
                        "            readOnlyRootFilesystem: true\n"
                        "            capabilities: {drop: [\"ALL\"]}\n"
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
