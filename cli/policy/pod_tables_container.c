/* Pod tables: containers and what belongs to one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/pod_tables.h"

#define KUBELET "the kubelet asks from outside; the agent hears nothing of it"
#define WHEN "when the kubelet asks, and what follows"
#define OF_GUEST "Kata hands none to the guest; the rules demand that"

/* --- Variables */

POD_TABLE(pod_tables_field_ref, NULL, IGNORED("apiVersion", STRING, "v1"),
          USED("fieldPath", STRING, "the pod's own value, or any of its form: docs/policy.md"));
POD_TABLE(pod_tables_resource_ref, NULL,
          USED("resource", STRING, "the limit or request; any number without one"),
          USED("containerName", STRING, MORE), USED("divisor", SCALAR, MORE));
LOCAL_TABLE(key_ref, USED("name", STRING, "searched in the files that are given"),
            USED("key", STRING, MORE), USED("optional", BOOL, MORE));
LOCAL_TABLE(value_from, USED_OBJECT("fieldRef", pod_tables_field_ref, MORE),
            USED_OBJECT("resourceFieldRef", pod_tables_resource_ref, MORE),
            USED_OBJECT("configMapKeyRef", key_ref, "its value becomes part of the policy"),
            USED_OBJECT("secretKeyRef", key_ref,
                        "its value becomes part of the policy, which is public"));
LOCAL_TABLE(env, USED("name", STRING, MORE), USED("value", STRING, MORE),
            USED_OBJECT("valueFrom", value_from, MORE));
LOCAL_TABLE(env_object, USED("name", STRING, "searched in the files that are given"),
            USED("optional", BOOL, MORE));
LOCAL_TABLE(env_from, USED("prefix", STRING, MORE), USED_OBJECT("configMapRef", env_object, MORE),
            USED_OBJECT("secretRef", env_object, MORE));

/* --- Probes and hooks */

LOCAL_TABLE(exec, USED("command", STRINGS, "may be run in this container, and no other program"));
LOCAL_TABLE(http_header, IGNORED("name", STRING, MORE), IGNORED("value", STRING, MORE));
LOCAL_TABLE(http_get, IGNORED("host", STRING, MORE), IGNORED_LIST("httpHeaders", http_header, MORE),
            IGNORED("path", STRING, MORE), IGNORED("port", SCALAR, MORE),
            IGNORED("scheme", STRING, MORE));
LOCAL_TABLE(tcp_socket, IGNORED("host", STRING, MORE), IGNORED("port", SCALAR, MORE));
LOCAL_TABLE(grpc, IGNORED("port", INT, MORE), IGNORED("service", STRING, MORE));
LOCAL_TABLE(sleep_action, IGNORED("seconds", INT, MORE));

LOCAL_TABLE(probe, USED_OBJECT("exec", exec, MORE), IGNORED_OBJECT("httpGet", http_get, KUBELET),
            IGNORED_OBJECT("tcpSocket", tcp_socket, KUBELET), IGNORED_OBJECT("grpc", grpc, KUBELET),
            IGNORED("initialDelaySeconds", INT, WHEN), IGNORED("timeoutSeconds", INT, WHEN),
            IGNORED("periodSeconds", INT, WHEN), IGNORED("successThreshold", INT, WHEN),
            IGNORED("failureThreshold", INT, WHEN),
            IGNORED("terminationGracePeriodSeconds", INT, WHEN));
LOCAL_TABLE(handler, USED_OBJECT("exec", exec, MORE), IGNORED_OBJECT("httpGet", http_get, KUBELET),
            IGNORED_OBJECT("tcpSocket", tcp_socket, KUBELET),
            IGNORED_OBJECT("sleep", sleep_action, KUBELET));
LOCAL_TABLE(lifecycle, USED_OBJECT("postStart", handler, MORE),
            USED_OBJECT("preStop", handler, "as postStart"),
            IGNORED("stopSignal", STRING, "the host may send any signal"));

/* --- Security */

LOCAL_TABLE(capabilities, USED("add", STRINGS, MORE), USED("drop", STRINGS, MORE));
LOCAL_TABLE(seccomp, IGNORED("type", STRING, MORE), IGNORED("localhostProfile", STRING, MORE));
LOCAL_TABLE(app_armor, USED("type", STRING, MORE), USED("localhostProfile", STRING, MORE));
LOCAL_TABLE(selinux, IGNORED("level", STRING, MORE), IGNORED("role", STRING, MORE),
            IGNORED("type", STRING, MORE), IGNORED("user", STRING, MORE));
LOCAL_TABLE(
    container_security, USED("runAsUser", INT, "the user"), USED("runAsGroup", INT, "the group"),
    USED("runAsNonRoot", BOOL, "then user 0 is an error here"),
    USED("privileged", BOOL, "all rights in the pod's own machine, none on the node"),
    USED("allowPrivilegeEscalation", BOOL, "false: noNewPrivileges"),
    USED("readOnlyRootFilesystem", BOOL, "the root must be mounted so"),
    USED_OBJECT("capabilities", capabilities, "exactly these"),
    USED_OBJECT("appArmorProfile", app_armor, "a Localhost profile is asked for by its name"),
    IGNORED_OBJECT("seccompProfile", seccomp, OF_GUEST),
    IGNORED_OBJECT("seLinuxOptions", selinux, OF_GUEST),
    ONLY("procMount", STRING, "Default",
         "the rules demand that parts of /proc are hidden; remove it, or set privileged: true"),
    REFUSED("windowsOptions", OBJECT,
            "for Windows nodes, where no confidential pod runs; remove it"));

/* --- Resources */

LOCAL_TABLE(
    resources, USED("limits", SCALARS, "nvidia.com/*: so many GPUs"),
    USED("requests", SCALARS, "values of variables that refer to them"),
    REFUSED("claims", LIST,
            "devices that a driver on the node picks, unseen by the policy; ask for GPUs in "
            "limits"));
LOCAL_TABLE(port, IGNORED("containerPort", INT, MORE), IGNORED("hostIP", STRING, MORE),
            IGNORED("hostPort", INT, MORE), IGNORED("name", STRING, MORE),
            IGNORED("protocol", STRING, MORE));
LOCAL_TABLE(resize, IGNORED("resourceName", STRING, MORE), IGNORED("restartPolicy", STRING, MORE));

/* --- Mounts */

LOCAL_TABLE(mount, USED("name", STRING, "a volume of the pod"),
            USED("mountPath", STRING, "the place"),
            USED("readOnly", BOOL, "an option of the mount"),
            ONLY("recursiveReadOnly", STRING, "Disabled|IfPossible",
                 "Kata cannot mount so; write readOnly: true alone"),
            ONE_OF("mountPropagation", "None|HostToContainer|Bidirectional",
                   "an option of the mount; it reaches this pod's containers alone"),
            USED("subPath", STRING,
                 "not of an emptyDir: the guest would get a copy of the node's folder"),
            USED("subPathExpr", STRING, "as subPath"));
LOCAL_TABLE(device, USED("name", STRING, "a persistentVolumeClaim of the pod"),
            USED("devicePath", STRING, "the guest gets this block device"));

#define PROBES                                                                                     \
    USED_OBJECT("livenessProbe", probe, MORE),                                                     \
        USED_OBJECT("readinessProbe", probe, "as livenessProbe"),                                  \
        USED_OBJECT("startupProbe", probe, "as livenessProbe"),                                    \
        USED_OBJECT("lifecycle", lifecycle, MORE)

POD_TABLE(pod_tables_container, NULL, USED("name", STRING, "the container's name"),
          USED("image", STRING, "the image and, where it is read, its settings and layers"),
          USED("command", STRINGS, "the program"), USED("args", STRINGS, "the program's arguments"),
          USED("workingDir", STRING, "the working folder"), USED_LIST("env", env, "the variables"),
          USED_LIST("envFrom", env_from, "the variables"), USED_LIST("volumeMounts", mount, MORE),
          USED_LIST("volumeDevices", device, MORE), PROBES,
          USED_OBJECT("securityContext", container_security, MORE),
          USED_OBJECT("resources", resources, MORE), USED("tty", BOOL, "a terminal, and TERM"),
          USED("terminationMessagePath", STRING, "a mount"),
          IGNORED("stdin", BOOL, "what is typed comes from the host: it is denied"),
          IGNORED("stdinOnce", BOOL, "as stdin"),
          IGNORED("terminationMessagePolicy", STRING, "what the kubelet shows of the end"),
          IGNORED("imagePullPolicy", STRING, "when the image is fetched"),
          IGNORED_LIST("ports", port,
                       "which ports are open is the program's; the rest is the host's"),
          IGNORED_LIST("resizePolicy", resize, "to resize a running container is denied"),
          IGNORED("restartPolicy", STRING, "how often and in which order it is started"));
