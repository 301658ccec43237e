/* Pod tables: the pod spec.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/pod_tables.h"

#define SCHEDULER "on which node the pod runs, and when"
#define OWN_MACHINE "a confidential pod has its own machine and sees nothing of the node's; "
#define WINDOWS "for Windows nodes, where no confidential pod runs; remove it"

/* --- Scheduling */

LOCAL_TABLE(node_requirement, IGNORED("key", STRING, MORE), IGNORED("operator", STRING, MORE),
            IGNORED("values", STRINGS, MORE));
LOCAL_TABLE(node_term, IGNORED_LIST("matchExpressions", node_requirement, MORE),
            IGNORED_LIST("matchFields", node_requirement, MORE));
LOCAL_TABLE(node_selector, IGNORED_LIST("nodeSelectorTerms", node_term, MORE));
LOCAL_TABLE(preferred_node, IGNORED_OBJECT("preference", node_term, MORE),
            IGNORED("weight", INT, MORE));
LOCAL_TABLE(node_affinity,
            IGNORED_LIST("preferredDuringSchedulingIgnoredDuringExecution", preferred_node, MORE),
            IGNORED_OBJECT("requiredDuringSchedulingIgnoredDuringExecution", node_selector, MORE));
LOCAL_TABLE(pod_term, IGNORED_OBJECT("labelSelector", pod_tables_label_selector, MORE),
            IGNORED("matchLabelKeys", STRINGS, MORE), IGNORED("mismatchLabelKeys", STRINGS, MORE),
            IGNORED_OBJECT("namespaceSelector", pod_tables_label_selector, MORE),
            IGNORED("namespaces", STRINGS, MORE), IGNORED("topologyKey", STRING, MORE));
LOCAL_TABLE(preferred_pod, IGNORED_OBJECT("podAffinityTerm", pod_term, MORE),
            IGNORED("weight", INT, MORE));
LOCAL_TABLE(pod_affinity,
            IGNORED_LIST("preferredDuringSchedulingIgnoredDuringExecution", preferred_pod, MORE),
            IGNORED_LIST("requiredDuringSchedulingIgnoredDuringExecution", pod_term, MORE));
LOCAL_TABLE(affinity, IGNORED_OBJECT("nodeAffinity", node_affinity, MORE),
            IGNORED_OBJECT("podAffinity", pod_affinity, MORE),
            IGNORED_OBJECT("podAntiAffinity", pod_affinity, MORE));
LOCAL_TABLE(toleration, IGNORED("effect", STRING, MORE), IGNORED("key", STRING, MORE),
            IGNORED("operator", STRING, MORE), IGNORED("tolerationSeconds", INT, MORE),
            IGNORED("value", STRING, MORE));
LOCAL_TABLE(spread, IGNORED_OBJECT("labelSelector", pod_tables_label_selector, MORE),
            IGNORED("matchLabelKeys", STRINGS, MORE), IGNORED("maxSkew", INT, MORE),
            IGNORED("minDomains", INT, MORE), IGNORED("nodeAffinityPolicy", STRING, MORE),
            IGNORED("nodeTaintsPolicy", STRING, MORE), IGNORED("topologyKey", STRING, MORE),
            IGNORED("whenUnsatisfiable", STRING, MORE));
LOCAL_TABLE(named, IGNORED("name", STRING, MORE));
LOCAL_TABLE(readiness_gate, IGNORED("conditionType", STRING, MORE));

/* --- Names and addresses */

LOCAL_TABLE(dns_option, IGNORED("name", STRING, MORE), IGNORED("value", STRING, MORE));
LOCAL_TABLE(dns_config, IGNORED("nameservers", STRINGS, MORE),
            IGNORED_LIST("options", dns_option, MORE), IGNORED("searches", STRINGS, MORE));
LOCAL_TABLE(host_alias, IGNORED("ip", STRING, MORE), IGNORED("hostnames", STRINGS, MORE));
POD_TABLE(pod_tables_local_ref, NULL, IGNORED("name", STRING, MORE));

/* --- Security */

LOCAL_TABLE(app_armor, USED("localhostProfile", STRING, MORE), USED("type", STRING, MORE));
LOCAL_TABLE(seccomp, IGNORED("localhostProfile", STRING, MORE), IGNORED("type", STRING, MORE));
LOCAL_TABLE(selinux, IGNORED("level", STRING, MORE), IGNORED("role", STRING, MORE),
            IGNORED("type", STRING, MORE), IGNORED("user", STRING, MORE));
LOCAL_TABLE(sysctl, USED("name", STRING, MORE), USED("value", SCALAR, MORE));

LOCAL_TABLE(
    pod_security, USED("fsGroup", INT, "a group of every process, and of volumes in the guest"),
    ONE_OF("fsGroupChangePolicy", "Always|OnRootMismatch", "asked for with fsGroup"),
    USED("runAsGroup", INT, "the group"),
    USED("runAsNonRoot", BOOL, "then user 0 is an error here"), USED("runAsUser", INT, "the user"),
    USED("supplementalGroups", INTS, "groups of every process"),
    ONE_OF("supplementalGroupsPolicy", "Merge|Strict",
           "Strict: without those that the image's etc/group has for the user"),
    USED_LIST("sysctls", sysctl, "kernel settings; no others are taken"),
    USED_OBJECT("appArmorProfile", app_armor, "a Localhost profile is asked for by its name"),
    IGNORED_OBJECT("seccompProfile", seccomp,
                   "Kata hands none to the guest; the rules demand that"),
    IGNORED_OBJECT("seLinuxOptions", selinux,
                   "Kata hands none to the guest; the rules demand that"),
    IGNORED("seLinuxChangePolicy", STRING, "how the node labels volumes"),
    REFUSED("windowsOptions", OBJECT, WINDOWS));

/* --- The pod */

LOCAL_TABLE(os, ONLY("name", STRING, "linux", WINDOWS));
LOCAL_TABLE(pod_resources, IGNORED("limits", SCALARS, MORE), IGNORED("requests", SCALARS, MORE),
            REFUSED("claims", LIST, "devices of a driver on the node; ask for GPUs in limits"));

#define CONTAINERS                                                                                 \
    USED_LIST("containers", pod_tables_container, "what may be started"),                          \
        USED_LIST("initContainers", pod_tables_container, "as containers, sidecars among them"),   \
        REFUSED("ephemeralContainers", LIST,                                                       \
                "they join a running pod, whose policy knows nothing of them; remove the field")

POD_TABLE(
    pod_tables_spec, "spec", CONTAINERS,
    USED_LIST("volumes", pod_tables_volume, "where the containers' mounts come from"),
    USED_OBJECT("securityContext", pod_security, MORE),
    USED("hostname", STRING, "the host name; without it, the pod's name"),
    USED("subdomain", STRING, "part of the host name with setHostnameAsFQDN"),
    USED("setHostnameAsFQDN", BOOL, "the host name is name.subdomain.namespace.svc.DOMAIN"),
    USED("enableServiceLinks", BOOL, "without it no variables of other services"),
    USED("automountServiceAccountToken", BOOL, "without it no such mount"),
    USED("serviceAccountName", STRING, "the value of variables that name it"),
    USED("serviceAccount", STRING, "older name of serviceAccountName"),
    ONLY("hostNetwork", BOOL, "false",
         OWN_MACHINE "it has an address of its own: remove it, and name ports in a Service"),
    ONLY("hostPID", BOOL, "false",
         OWN_MACHINE "remove it, or run what watches nodes under the nodes' own runtime class"),
    ONLY("hostIPC", BOOL, "false", OWN_MACHINE "remove it, or share memory by an emptyDir"),
    ONLY(
        "shareProcessNamespace", BOOL, "false",
        "the policy ties each process to its own container; remove it, or run both programs in one "
        "container"),
    ONLY("hostUsers", BOOL, "true",
         "Kata maps no user ids in the guest, which is apart from the node anyway; remove it"),
    REFUSED("resourceClaims", LIST,
            "devices that a driver on the node picks, unseen by the policy; ask for GPUs in "
            "resources.limits"),
    IGNORED_OBJECT("os", os, "Linux, or it is refused"),
    IGNORED_OBJECT("resources", pod_resources,
                   "how much of the machine the pod gets is the host's"),
    IGNORED_LIST("hostAliases", host_alias, "lines of /etc/hosts, whose contents are the host's"),
    IGNORED("dnsPolicy", STRING, "which servers resolve names is the host's"),
    IGNORED_OBJECT("dnsConfig", dns_config, "which servers resolve names is the host's"),
    IGNORED_OBJECT("affinity", affinity, SCHEDULER), IGNORED("nodeName", STRING, SCHEDULER),
    IGNORED("nodeSelector", TEXTS, SCHEDULER), IGNORED("priority", INT, SCHEDULER),
    IGNORED("priorityClassName", STRING, SCHEDULER), IGNORED("preemptionPolicy", STRING, SCHEDULER),
    IGNORED("schedulerName", STRING, SCHEDULER), IGNORED_LIST("schedulingGates", named, SCHEDULER),
    IGNORED_LIST("tolerations", toleration, SCHEDULER),
    IGNORED_LIST("topologySpreadConstraints", spread, SCHEDULER),
    IGNORED("overhead", SCALARS, SCHEDULER),
    IGNORED("runtimeClassName", STRING, "decides whether the pod is ours; generate writes it"),
    IGNORED_LIST("imagePullSecrets", pod_tables_local_ref, "how the image is fetched"),
    IGNORED_LIST("readinessGates", readiness_gate, "when the pod counts as ready"),
    IGNORED("activeDeadlineSeconds", INT, "how long the host lets it run"),
    IGNORED("restartPolicy", STRING, "how often the host starts it again"),
    IGNORED("terminationGracePeriodSeconds", INT, "when the host kills it"));
