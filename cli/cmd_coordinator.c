/* contrast coordinator: a text with a few places to fill.
 *
 * deployments/examples/coordinator.yaml is what it prints without options.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_coordinator.h"

#include <inttypes.h>
#include <string.h>

#include "cli/resource_text.h"

struct options {
    int64_t replicas;
    const char *namespace; /* NULL = none is written */
    const char *image;
    const char *runtime_class;
    struct arena arena; /* of what had to be quoted */
};

static void options_deinit(struct options *o) {
    arena_deinit(&o->arena);
}

static RESULT parse(struct cli *cli, int argc, char **argv, struct options *o, struct err *err) {
    const struct cli_option table[] = {
        {"replicas", 0, CLI_NUMBER, &o->replicas},
        {"namespace", 'n', CLI_STRING, (void *)&o->namespace},
        {"image", 0, CLI_STRING, (void *)&o->image},
        {"runtime-class", 0, CLI_STRING, (void *)&o->runtime_class},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, NULL, err));
    o->image = o->image == NULL ? CMD_COORDINATOR_IMAGE : o->image;
    o->runtime_class = o->runtime_class == NULL ? "contrast-cc" : o->runtime_class;
    ENSURE(o->replicas == 1 || o->replicas == 3 || o->replicas == 5, err, USAGE,
           "--replicas: want 1, 3 or 5; an even number survives no more failures");
    if (o->namespace != NULL) {
        TRY(resource_text_check_name("--namespace", o->namespace, true, err));
        o->namespace = resource_text_scalar(&o->arena, o->namespace);
    }
    TRY(resource_text_check_name("--runtime-class", o->runtime_class, false, err));
    TRY(resource_text_check_image("--image", o->image, err));
    o->runtime_class = resource_text_scalar(&o->arena, o->runtime_class);
    o->image = resource_text_scalar(&o->arena, o->image);
    return OK;
}

/* metadata of one of the resources. */
static void put_head(struct buf *out, const struct options *o, const char *api, const char *kind,
                     const char *name) {
    buf_appendf(out, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", api, kind, name);
    if (o->namespace != NULL) {
        buf_appendf(out, "  namespace: %s\n", o->namespace);
    }
    buf_append_str(out, "  labels:\n    app: coordinator\n");
}

/* Whom to ask, and the address to be asked at. Names are relative to the namespace, whichever that
 * is, and to the cluster's domain. */
static void put_environment(struct buf *out, const struct options *o) {
    buf_append_str(out, "          env:\n"
                        "            - name: POD_NAME\n"
                        "              valueFrom:\n"
                        "                fieldRef:\n"
                        "                  fieldPath: metadata.name\n"
                        "            - name: CONTRAST_ADDRESS\n"
                        "              value: $(POD_NAME).coordinator:7443\n"
                        "            - name: CONTRAST_PEERS\n"
                        "              value: ");
    for (int64_t i = 0; i < o->replicas; i++) {
        buf_appendf(out, "%scoordinator-%" PRId64 ".coordinator:7777", i > 0 ? "," : "", i);
    }
    buf_append_str(out, "\n");
}

static void put_affinity(struct buf *out, unsigned weight, const char *key) {
    buf_appendf(out,
                "            - weight: %u\n"
                "              podAffinityTerm:\n"
                "                topologyKey: %s\n"
                "                labelSelector:\n"
                "                  matchLabels:\n"
                "                    app: coordinator\n",
                weight, key);
}

static void put_pod_head(struct buf *out, const struct options *o) {
    buf_appendf(out,
                "    spec:\n"
                "      runtimeClassName: %s\n"
                "      # It asks nothing of the API server.\n"
                "      automountServiceAccountToken: false\n"
                "      # A minute for preStop, then time to hand over and to leave.\n"
                "      terminationGracePeriodSeconds: 120\n"
                "      # Each on a machine of its own, in a zone of its own, where there are so "
                "many.\n"
                "      affinity:\n"
                "        podAntiAffinity:\n"
                "          preferredDuringSchedulingIgnoredDuringExecution:\n",
                o->runtime_class);
    put_affinity(out, 100, "kubernetes.io/hostname");
    put_affinity(out, 50, "topology.kubernetes.io/zone");
}

static void put_probes(struct buf *out) {
    buf_append_str(out, "          # Alive means that it answers; a replica without a quorum is.\n"
                        "          startupProbe:\n"
                        "            tcpSocket:\n"
                        "              port: user-api\n"
                        "            periodSeconds: 1\n"
                        "            failureThreshold: 60\n"
                        "          livenessProbe:\n"
                        "            tcpSocket:\n"
                        "              port: user-api\n"
                        "            periodSeconds: 10\n"
                        "            failureThreshold: 3\n"
                        "          # Ready means that nothing is founded yet, or that it is up to "
                        "date.\n"
                        "          readinessProbe:\n"
                        "            exec:\n"
                        "              command:\n"
                        "                - /usr/bin/contrast\n"
                        "                - status\n"
                        "                - --coordinator=127.0.0.1:1313\n"
                        "                - --ready\n"
                        "            periodSeconds: 10\n"
                        "            timeoutSeconds: 10\n"
                        "          # A rolling update or a drain waits here until the others are a "
                        "quorum without it.\n"
                        "          lifecycle:\n"
                        "            preStop:\n"
                        "              exec:\n"
                        "                command:\n"
                        "                  - /usr/bin/contrast\n"
                        "                  - status\n"
                        "                  - --coordinator=127.0.0.1:1313\n"
                        "                  - --safe-to-stop\n"
                        "                  - --wait=60\n");
}

static void put_container(struct buf *out, const struct options *o) {
    buf_appendf(out,
                "      containers:\n"
                "        - name: coordinator\n"
                "          image: %s\n"
                "          command: [\"/usr/bin/contrast-coordinator\"]\n",
                o->image);
    put_environment(out, o);
    buf_append_str(out, "          ports:\n"
                        "            - name: user-api\n"
                        "              containerPort: 1313\n"
                        "            - name: mesh-api\n"
                        "              containerPort: 7777\n"
                        "            - name: raft\n"
                        "              containerPort: 7443\n");
    put_probes(out);
    buf_append_str(out, "          securityContext:\n"
                        "            allowPrivilegeEscalation: false\n"
                        "            readOnlyRootFilesystem: true\n"
                        "          resources:\n"
                        "            requests: {cpu: 250m, memory: 512Mi}\n"
                        "            limits: {memory: 512Mi}\n");
}

static void put_set(struct buf *out, const struct options *o) {
    buf_append_str(
        out,
        "# The Coordinator: replicas that replicate the manifest and the CA key among each other. "
        "No\n"
        "# volume: state lives in guest memory only, and a restarted replica joins as a new "
        "member.\n");
    put_head(out, o, "apps/v1", "StatefulSet", "coordinator");
    buf_appendf(out,
                "spec:\n"
                "  serviceName: coordinator\n"
                "  replicas: %" PRId64 "\n"
                "  # All start at once: a founding needs all of them. Updates go one by one.\n"
                "  podManagementPolicy: Parallel\n"
                "  updateStrategy:\n"
                "    type: RollingUpdate\n"
                "  selector:\n"
                "    matchLabels:\n"
                "      app: coordinator\n"
                "  template:\n"
                "    metadata:\n"
                "      labels:\n"
                "        app: coordinator\n"
                "      annotations:\n"
                "        contrast.edgeless.systems/pod-role: coordinator\n",
                o->replicas);
    put_pod_head(out, o);
    put_container(out, o);
}

static void put_services(struct buf *out, const struct options *o) {
    buf_append_str(out, "---\n"
                        "# Addresses of the single replicas, also before they are ready: they need "
                        "each other to become so.\n");
    put_head(out, o, "v1", "Service", "coordinator");
    buf_append_str(out, "spec:\n"
                        "  clusterIP: None\n"
                        "  publishNotReadyAddresses: true\n"
                        "  selector:\n"
                        "    app: coordinator\n"
                        "  ports:\n"
                        "    - name: user-api\n"
                        "      port: 1313\n"
                        "    - name: mesh-api\n"
                        "      port: 7777\n"
                        "    - name: raft\n"
                        "      port: 7443\n"
                        "---\n"
                        "# Replicas that can serve: for initializers and clients.\n");
    put_head(out, o, "v1", "Service", "coordinator-ready");
    buf_append_str(out, "spec:\n"
                        "  selector:\n"
                        "    app: coordinator\n"
                        "  ports:\n"
                        "    - name: user-api\n"
                        "      port: 1313\n"
                        "    - name: mesh-api\n"
                        "      port: 7777\n");
}

/* What is not ready counts as missing, and stays: its memory may be what a recovery needs. */
static void put_budget(struct buf *out, const struct options *o) {
    buf_append_str(out, "---\n");
    buf_append_str(
        out, o->replicas > 1
                 ? "# A node drain takes one replica at a time: the others keep the quorum.\n"
                 : "# Nobody keeps the state while the one replica is away: a node drain waits for "
                   "you.\n");
    put_head(out, o, "policy/v1", "PodDisruptionBudget", "coordinator");
    buf_appendf(out,
                "spec:\n"
                "  maxUnavailable: %d\n"
                "  selector:\n"
                "    matchLabels:\n"
                "      app: coordinator\n",
                o->replicas > 1 ? 1 : 0);
}

static void put_network(struct buf *out, const struct options *o) {
    buf_append_str(out, "---\n"
                        "# Raft is for the replicas alone. Out: names, the replicas, AMD's key "
                        "service (kdsintf.amd.com).\n"
                        "# The network belongs to the host all the same: this keeps others' pods "
                        "away, not the host.\n");
    put_head(out, o, "networking.k8s.io/v1", "NetworkPolicy", "coordinator");
    buf_append_str(out, "spec:\n"
                        "  podSelector:\n"
                        "    matchLabels:\n"
                        "      app: coordinator\n"
                        "  policyTypes: [Ingress, Egress]\n"
                        "  ingress:\n"
                        "    - ports:\n"
                        "        - {protocol: TCP, port: 1313}\n"
                        "        - {protocol: TCP, port: 7777}\n"
                        "    - from:\n"
                        "        - podSelector:\n"
                        "            matchLabels:\n"
                        "              app: coordinator\n"
                        "      ports:\n"
                        "        - {protocol: TCP, port: 7443}\n"
                        "  egress:\n"
                        "    - ports:\n"
                        "        - {protocol: UDP, port: 53}\n"
                        "        - {protocol: TCP, port: 53}\n"
                        "        - {protocol: TCP, port: 443}\n"
                        "    - to:\n"
                        "        - podSelector:\n"
                        "            matchLabels:\n"
                        "              app: coordinator\n"
                        "      ports:\n"
                        "        - {protocol: TCP, port: 7777}\n"
                        "        - {protocol: TCP, port: 7443}\n");
}

RESULT cmd_coordinator(struct cli *cli, int argc, char **argv, struct err *err) {
    AUTO(options_deinit)
    struct options options = {.replicas = 3};
    TRY(parse(cli, argc, argv, &options, err));
    AUTO(buf_deinit)
    struct buf text = {0};
    put_set(&text, &options);
    put_services(&text, &options);
    put_budget(&text, &options);
    put_network(&text, &options);
    return resource_text_print(cli, buf_span(&text), err);
}
