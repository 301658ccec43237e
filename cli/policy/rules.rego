# Runtime policy of a confidential pod: what the guest agent may be asked by the host.
#
# The agent evaluates data.agent_policy.<RequestName> for each request; everything that no rule
# allows is denied. policy_data below these rules describes the one pod that this guest may run.
#
# What version 1 enforces for each container: name, image reference, pod name and namespace, exact
# arguments, every environment variable (nothing missing, nothing added), mount destinations and
# read-only mounts, user and group where the pod names them, privileges.
#
# What it cannot know yet, because images are not read when it is made: entrypoint, environment and
# layers of an image. A container without "command" in the pod is therefore never started; variables
# that an image sets must be repeated in the pod. An image reference with a digest is compared as
# text: that the layers are those of the digest is left to the runtime. Contents of ConfigMaps,
# Secrets and other volumes, values of valueFrom, devices, namespaces, sysctls and the order of
# containers come from the host.
#
# SPDX-License-Identifier: Apache-2.0
package agent_policy

import future.keywords.if

default AddARPNeighborsRequest := false
default AddSwapPathRequest := false
default AddSwapRequest := false
default AllowRequestsFailingPolicy := false
default CloseStdinRequest := false
default CopyFileRequest := false
default CreateContainerRequest := false
default CreateSandboxRequest := false
default DestroySandboxRequest := true
default ExecProcessRequest := false
default GetDiagnosticDataRequest := false
default GetIPTablesRequest := false
default GetMetricsRequest := false
default GetOOMEventRequest := true
default GuestDetailsRequest := true
default ListInterfacesRequest := false
default ListRoutesRequest := false
default MemAgentCompactConfig := false
default MemAgentMemcgConfig := false
default MemHotplugByProbeRequest := false
default OnlineCPUMemRequest := true
default PauseContainerRequest := false
# The host sees what containers print.
default ReadStreamRequest := true
default RemoveContainerRequest := true
default RemoveStaleVirtiofsShareMountsRequest := true
default ReseedRandomDevRequest := false
default ResizeVolumeRequest := false
default ResumeContainerRequest := false
default SetGuestDateTimeRequest := false
default SetIPTablesRequest := false
default SetPolicyRequest := false
default SignalProcessRequest := true
default StartContainerRequest := true
default StartTracingRequest := false
default StatsContainerRequest := true
default StopTracingRequest := false
default TtyWinResizeRequest := true
default UpdateContainerRequest := false
default UpdateEphemeralMountsRequest := false
default UpdateInterfaceRequest := false
default UpdateRoutesRequest := false
default VolumeStatsRequest := false
default WaitProcessRequest := true
default WriteStreamRequest := false

# --- The sandbox

CreateSandboxRequest if {
    input.guest_hook_path == ""
    count(input.kernel_modules) == 0
    input.sandbox_pidns == false
}

UpdateInterfaceRequest if {
    input.interface.name != "lo"
}

UpdateRoutesRequest if {
    count([r | r := input.routes.Routes[_]; r.device == "lo"]) == 0
}

AddARPNeighborsRequest if {
    count([n | n := input.neighbors.ARPNeighbors[_]; n.device == "lo"]) == 0
}

CopyFileRequest if {
    startswith(input.path, "/run/kata-containers/shared/containers/")
    not contains(input.path, "..")
}

# --- Containers

CreateContainerRequest if {
    oci := input.OCI
    oci.Annotations["io.kubernetes.cri.container-type"] == "sandbox"
    sandbox_ok(oci)
    nothing_beside(input)
    oci.Process.Args == ["/pause"]
    count([m | m := oci.Mounts[_]; not usual_mounts[m.destination]]) == 0
    unprivileged(oci)
}

CreateContainerRequest if {
    oci := input.OCI
    oci.Annotations["io.kubernetes.cri.container-type"] == "container"
    sandbox_ok(oci)
    nothing_beside(input)
    count([c | c := containers[_]; container_ok(c, oci)]) == 1
}

ExecProcessRequest if {
    count([p | p := commands[_]; texts(p) == input.process.Args]) > 0
}

containers := array.concat(
    object_or(policy_data, "initContainers", []), object_or(policy_data, "containers", []))

commands := array.concat(
    array.concat(
        [p | p := containers[_].livenessProbe.exec.command],
        [p | p := containers[_].readinessProbe.exec.command]),
    array.concat(
        [p | p := containers[_].startupProbe.exec.command],
        [p | p := containers[_].lifecycle[_].exec.command]))

sandbox_ok(oci) if {
    oci.Annotations["io.kubernetes.cri.sandbox-namespace"] == policy_data.namespace
    regex.match(policy_data.namePattern, oci.Annotations["io.kubernetes.cri.sandbox-name"])
}

container_ok(c, oci) if {
    oci.Annotations["io.kubernetes.cri.container-name"] == c.name
    oci.Annotations["io.kubernetes.cri.image-name"] == c.image
    oci.Process.Args == array.concat(texts(c.command), texts(object_or(c, "args", [])))
    cwd_ok(c, oci)
    env_ok(object_or(c, "env", []), oci.Process.Env)
    mounts_ok(object_or(c, "volumeMounts", []), oci.Mounts)
    user_ok(c, oci)
    privileges_ok(c, oci)
}

# --- Environment

env_ok(wanted, given) if {
    count([e | e := wanted[_]; not has_env(e, given)]) == 0
    count([g | g := given[_]; not known_env(g, wanted)]) == 0
}

has_env(e, given) if {
    given[_] == concat("=", [e.name, text(object_or(e, "value", ""))])
}

has_env(e, given) if {
    e.valueFrom
    startswith(given[_], concat("", [e.name, "="]))
}

known_env(g, wanted) if {
    e := wanted[_]
    not e.valueFrom
    g == concat("=", [e.name, text(object_or(e, "value", ""))])
}

known_env(g, wanted) if {
    e := wanted[_]
    e.valueFrom
    startswith(g, concat("", [e.name, "="]))
}

known_env(g, wanted) if {
    usual_env[split(g, "=")[0]]
    not named(split(g, "=")[0], wanted)
}

# Addresses of services, which the kubelet adds: that of the API server always.
known_env(g, wanted) if {
    object_or(policy_data, "enableServiceLinks", true)
    regex.match(service_env, g)
    not named(split(g, "=")[0], wanted)
}

known_env(g, wanted) if {
    startswith(g, "KUBERNETES_")
    regex.match(service_env, g)
    not named(split(g, "=")[0], wanted)
}

known_env(g, wanted) if {
    g == "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    not named("PATH", wanted)
}

named(name, wanted) if {
    wanted[_].name == name
}

usual_env := {"HOSTNAME", "TERM"}

service_env := "^[A-Z][A-Z0-9_]*_(SERVICE_(HOST|PORT|PORT_[A-Z0-9_]+)|PORT|PORT_[0-9]+_(TCP|UDP)(_(ADDR|PORT|PROTO))?)=[-a-zA-Z0-9.:/]*$"

# --- Mounts

mounts_ok(wanted, given) if {
    count([m | m := given[_]; not mount_ok(m, wanted)]) == 0
    count([w | w := wanted[_]; not has_mount(w, given)]) == 0
}

mount_ok(m, wanted) if {
    usual_mounts[m.destination]
}

mount_ok(m, wanted) if {
    w := wanted[_]
    w.mountPath == m.destination
    writable_ok(w, m)
}

has_mount(w, given) if {
    given[_].destination == w.mountPath
}

writable_ok(w, m) if {
    not w.readOnly
}

writable_ok(w, m) if {
    w.readOnly
    m.options[_] == "ro"
}

usual_mounts := {
    "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/dev/termination-log", "/etc/hostname",
    "/etc/hosts", "/etc/resolv.conf", "/proc", "/sys", "/sys/fs/cgroup",
    "/var/run/secrets/kubernetes.io/serviceaccount"
}

# --- User and privileges: the container's own securityContext goes before the pod's

user_ok(c, oci) if {
    number_ok("runAsUser", c, oci.Process.User.UID)
    number_ok("runAsGroup", c, oci.Process.User.GID)
}

number_ok(key, c, given) if {
    is_boolean(setting(key, c))
}

number_ok(key, c, given) if {
    setting(key, c) == given
}

setting(key, c) := object_or(
    object_or(c, "securityContext", {}), key,
    object_or(object_or(policy_data, "securityContext", {}), key, false))

privileges_ok(c, oci) if {
    c.securityContext.privileged
}

privileges_ok(c, oci) if {
    object_or(object_or(c, "securityContext", {}), "privileged", false) == false
    no_new_ok(c, oci)
    caps_ok(c, oci)
}

no_new_ok(c, oci) if {
    object_or(object_or(c, "securityContext", {}), "allowPrivilegeEscalation", true) == true
}

no_new_ok(c, oci) if {
    oci.Process.NoNewPrivileges == true
}

caps_ok(c, oci) if {
    count([k | k := oci.Process.Capabilities[_][_]; not cap_ok(k, c)]) == 0
}

cap_ok(k, c) if {
    concat("", ["CAP_", c.securityContext.capabilities.add[_]]) == k
}

cap_ok(k, c) if {
    usual_caps[k]
    not is_dropped(k, c)
}

is_dropped(k, c) if {
    c.securityContext.capabilities.drop[_] == "ALL"
}

is_dropped(k, c) if {
    concat("", ["CAP_", c.securityContext.capabilities.drop[_]]) == k
}

unprivileged(oci) if {
    count([k | k := oci.Process.Capabilities[_][_]; not usual_caps[k]]) == 0
}

# Programs that the runtime would start beside the container, and folders of the host.
nothing_beside(request) if {
    count([h | h := request.OCI.Hooks[_][_]]) == 0
    count([m | m := request.shared_mounts[_]]) == 0
}

usual_caps := {
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_SETUID", "CAP_SYS_CHROOT"
}

cwd_ok(c, oci) if {
    not c.workingDir
}

cwd_ok(c, oci) if {
    c.workingDir == oci.Process.Cwd
}

# --- Helpers

object_or(o, key, fallback) := o[key]

object_or(o, key, fallback) := fallback if {
    absent(o, key)
}

absent(o, key) if {
    count([k | o[k]; k == key]) == 0
    count([k | o[k] == false; k == key]) == 0
}

# A long string is an array of its pieces: lines of a policy stay short.
text(t) := t if {
    is_string(t)
}

text(t) := concat("", t) if {
    is_array(t)
}

texts(list) := [text(t) | t := list[_]]
