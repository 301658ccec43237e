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
};

static RESULT parse(struct cli *cli, int argc, char **argv, struct options *o, struct err *err) {
    const struct cli_option table[] = {
        {"replicas", 0, CLI_NUMBER, &o->replicas},
        {"namespace", 'n', CLI_STRING, (void *)&o->namespace},
        {"image", 0, CLI_STRING, (void *)&o->image},
        {"runtime-class", 0, CLI_STRING, (void *)&o->runtime_class},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, NULL, err));
    o->replicas = o->replicas == 0 ? 3 : o->replicas;
    o->image = o->image == NULL ? CMD_COORDINATOR_IMAGE : o->image;
    o->runtime_class = o->runtime_class == NULL ? "contrast-cc" : o->runtime_class;
    ENSURE(o->replicas == 1 || o->replicas == 3 || o->replicas == 5, err, USAGE,
           "--replicas: want 1, 3 or 5; an even number survives no more failures");
    if (o->namespace != NULL) {
        TRY(resource_text_check_name("--namespace", o->namespace, true, err));
    }
    TRY(resource_text_check_name("--runtime-class", o->runtime_class, false, err));
    return resource_text_check_image("--image", o->image, err);
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

static void put_peers(struct buf *out, const struct options *o) {
    buf_append_str(out, "            - name: CONTRAST_PEERS\n              value: ");
    for (int64_t i = 0; i < o->replicas; i++) {
        buf_appendf(out, "%scoordinator-%" PRId64 ":7777", i > 0 ? "," : "", i);
    }
    buf_append_str(out, "\n");
}

static void put_pod_head(struct buf *out, const struct options *o) {
    const char *namespace = o->namespace != NULL ? o->namespace : "default";
    buf_appendf(out,
                "    spec:\n"
                "      runtimeClassName: %s\n"
                "      # It asks nothing of the API server.\n"
                "      automountServiceAccountToken: false\n"
                "      # Time to be sure that the others go on, to hand over and to leave.\n"
                "      terminationGracePeriodSeconds: 120\n"
                "      # Replicas call each other coordinator-0, coordinator-1, ...\n"
                "      dnsConfig:\n"
                "        searches:\n"
                "          - coordinator.%s.svc.cluster.local\n",
                o->runtime_class, namespace);
    buf_append_str(out, "      affinity:\n"
                        "        podAntiAffinity:\n"
                        "          preferredDuringSchedulingIgnoredDuringExecution:\n"
                        "            - weight: 100\n"
                        "              podAffinityTerm:\n"
                        "                topologyKey: kubernetes.io/hostname\n"
                        "                labelSelector:\n"
                        "                  matchLabels:\n"
                        "                    app: coordinator\n");
}

static void put_container(struct buf *out, const struct options *o) {
    buf_appendf(out,
                "      containers:\n"
                "        - name: coordinator\n"
                "          image: %s\n"
                "          command: [\"/usr/bin/contrast-coordinator\"]\n"
                "          env:\n",
                o->image);
    put_peers(out, o);
    buf_append_str(out, "          ports:\n"
                        "            - name: user-api\n"
                        "              containerPort: 1313\n"
                        "            - name: mesh-api\n"
                        "              containerPort: 7777\n"
                        "            - name: raft\n"
                        "              containerPort: 7443\n"
                        "          # Alive means that it answers; a replica without a quorum is.\n"
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
                        "          readinessProbe:\n"
                        "            tcpSocket:\n"
                        "              port: mesh-api\n"
                        "            periodSeconds: 5\n");
    buf_append_str(out,
                   "          # A rolling update waits here until the replica before is a member.\n"
                   "          lifecycle:\n"
                   "            preStop:\n"
                   "              exec:\n"
                   "                command:\n"
                   "                  - /usr/bin/contrast\n"
                   "                  - status\n"
                   "                  - --coordinator=127.0.0.1:1313\n"
                   "                  - --safe-to-stop\n"
                   "                  - --wait=60\n"
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
                "  podManagementPolicy: Parallel\n"
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

static void put_guards(struct buf *out, const struct options *o) {
    buf_append_str(out,
                   "---\n"
                   "# A node drain takes one replica at a time: the others keep the quorum.\n");
    put_head(out, o, "policy/v1", "PodDisruptionBudget", "coordinator");
    buf_append_str(out, "spec:\n"
                        "  maxUnavailable: 1\n"
                        "  selector:\n"
                        "    matchLabels:\n"
                        "      app: coordinator\n"
                        "---\n"
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
    struct options options = {0};
    TRY(parse(cli, argc, argv, &options, err));
    AUTO(buf_deinit)
    struct buf text = {0};
    put_set(&text, &options);
    put_services(&text, &options);
    put_guards(&text, &options);
    return resource_text_print(cli, buf_span(&text), err);
}
