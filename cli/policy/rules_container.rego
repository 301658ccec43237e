# Second part of the rules: containers, their processes and kernel settings.
#
# SPDX-License-Identifier: Apache-2.0

# --- Containers

CreateContainerRequest := true if {
    not has_state
    count(matches) > 0
}

CreateContainerRequest := {"allowed": true, "ops": ops} if {
    has_state
    index := matches[0]
    ops := array.concat(
        [{"op": "add", "path": concat("", ["/pstate/", key]), "value": pins[key]} | pins[key]],
        [{"op": "add", "path": container_key(input.container_id), "value": index}])
}

RemoveContainerRequest := true if {
    not has_state
    input.timeout == 0
}

RemoveContainerRequest := {"allowed": true, "ops": ops} if {
    has_state
    input.timeout == 0
    is_number(known_index)
    ops := [{"op": "remove", "path": container_key(input.container_id)}]
}

has_state if {
    is_object(data.pstate)
}

container_key(id) := concat("", ["/pstate/c:", id])

known_index := data.pstate[concat("", ["c:", input.container_id])]

matches := [i | c := policy_data.containers[i]; container_ok(c)]

# What stays the same for all containers of the pod. The prefix keeps ids of containers apart.
pins[key] := value if {
    value := annotations[pin_keys[key]]
}

pin_keys := {
    "p:id": "io.kubernetes.cri.sandbox-id", "p:name": "io.kubernetes.cri.sandbox-name",
    "p:namespace": "io.kubernetes.cri.sandbox-namespace", "p:uid": "io.kubernetes.cri.sandbox-uid",
    "p:network": "nerdctl/network-namespace"
}

pins_ok if {
    not has_state
}

pins_ok if {
    has_state
    count([k | pins[k]; pin_needed(k); not pin_ok(k)]) == 0
}

pin_needed(key) if {
    not partial
}

pin_needed(key) if {
    not own_pins[key]
}

# Requests of other projects' tests are put together from several pods.
own_pins := {"p:id", "p:uid"}

pin_ok(key) if {
    absent(data.pstate, key)
}

pin_ok(key) if {
    data.pstate[key] == pins[key]
}

annotations := input.OCI.Annotations

container_ok(c) if {
    type_ok(c)
    pins_ok
    request_ok(c)
    annotations_ok(c)
    oci_ok(c)
    process_ok(c, input.OCI.Process)
    oom_ok(c, input.OCI.Process.OOMScoreAdj)
    linux_ok(c, input.OCI.Linux)
    mounts_ok(c, input.OCI.Mounts)
    storages_ok(c)
    devices_ok(c)
}

type_ok(c) if {
    c.sandbox
    annotations["io.kubernetes.cri.container-type"] == "sandbox"
    annotations["io.katacontainers.pkg.oci.container_type"] == "pod_sandbox"
    absent(annotations, "io.kubernetes.cri.container-name")
}

type_ok(c) if {
    not c.sandbox
    annotations["io.kubernetes.cri.container-type"] == "container"
    annotations["io.katacontainers.pkg.oci.container_type"] == "pod_container"
    annotations["io.kubernetes.cri.container-name"] == c.name
}

request_ok(c) if {
    input.sandbox_pidns == false
    input.shared_mounts == []
    input.string_user == null
    input.stdin_port == 0
    input.stdout_port == 0
    input.stderr_port == 0
    exec_id_ok(input.exec_id)
    id_ok(c)
}

exec_id_ok(id) if {
    id == input.container_id
}

exec_id_ok("") if {
    partial
}

id_ok(c) if {
    input.container_id == bundle
    sandbox_id_ok(c)
}

id_ok(c) if {
    partial
    regex.match("^[-0-9a-z]{0,64}$", input.container_id)
}

sandbox_id_ok(c) if {
    not c.sandbox
}

sandbox_id_ok(c) if {
    annotations["io.kubernetes.cri.sandbox-id"] == bundle
}

# Requests may leave things out that containerd always sends.
partial if {
    policy_data.partial
}

# --- Annotations: each is known, and each value has its form

bundle_folder := "/run/containerd/io.containerd.runtime.v2.task/k8s.io/"

bundle := id if {
    path := annotations["io.katacontainers.pkg.oci.bundle_path"]
    startswith(path, bundle_folder)
    id := substring(path, count(bundle_folder), -1)
    regex.match("^[-0-9a-z]{1,64}$", id)
}

annotations_ok(c) if {
    needed := {k | k := always[_]} | needed_images(c)
    count([k | needed[k]; absent(annotations, k)]) == 0
    count([k | annotations[k]; not annotation_ok(c, k, annotations[k])]) == 0
}

always := {
    "io.katacontainers.pkg.oci.bundle_path", "io.kubernetes.cri.sandbox-id",
    "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace"
}

needed_images(c) := {"io.kubernetes.cri.image-name"} if {
    not c.sandbox
    not partial
}

needed_images(c) := {"io.kubernetes.cri.sandbox-log-directory"} if {
    c.sandbox
}

needed_images(c) := set() if {
    not c.sandbox
    partial
}

annotation_ok(c, key, value) if {
    regex.match(annotation_forms[key], value)
}

annotation_forms := {
    "io.katacontainers.config.agent.policy": "^[A-Za-z0-9+/=]*$",
    "io.katacontainers.config.hypervisor.cc_init_data": "^[A-Za-z0-9+/=]*$",
    "io.katacontainers.pkg.oci.bundle_path": "^/run/containerd/[-0-9a-zA-Z_./]*$",
    "io.katacontainers.pkg.oci.container_type": "^pod_(sandbox|container)$",
    "io.kubernetes.cri.container-name": "^[-0-9a-z]{1,63}$",
    "io.kubernetes.cri.container-type": "^(sandbox|container)$",
    "io.kubernetes.cri.podsandbox.image-name":
        "^([-0-9a-z.:]+/)*[-0-9a-z]*pause[-0-9a-z]*(:[-0-9a-z_.]{1,127})?(@sha256:[0-9a-f]{64})?$",
    "io.kubernetes.cri.sandbox-cpu-period": "^[0-9]{1,19}$",
    "io.kubernetes.cri.sandbox-cpu-quota": "^-?[0-9]{1,19}$",
    "io.kubernetes.cri.sandbox-cpu-shares": "^[0-9]{1,19}$",
    "io.kubernetes.cri.sandbox-id": "^[0-9a-f]{64}$",
    "io.kubernetes.cri.sandbox-memory": "^[0-9]{1,19}$",
    "io.kubernetes.cri.sandbox-uid": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "io.containerd.cri.runtime-handler": "^[-0-9a-z.]{1,253}$",
    "nerdctl/network-namespace":
        "^/var/run/netns/cni-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
}

# A newer containerd's: all of them are for its own use.
annotation_ok(c, key, value) if {
    partial
    regex.match("^io[.]kubernetes[.]cri[.][-a-z.]{1,64}$", key)
    absent(annotation_forms, key)
    not checked_apart[key]
    regex.match("^[-0-9A-Za-z_.:/@]{0,253}$", value)
}

checked_apart := {
    "io.kubernetes.cri.image-name", "io.kubernetes.cri.sandbox-log-directory",
    "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace"
}

annotation_ok(c, "io.kubernetes.cri.sandbox-name", value) if {
    regex.match(policy_data.namePattern, value)
}

annotation_ok(c, "io.kubernetes.cri.sandbox-namespace", value) if {
    value == policy_data.namespace
}

annotation_ok(c, "io.kubernetes.cri.sandbox-namespace", value) if {
    absent(policy_data, "namespace")
    regex.match("^[0-9a-z]([-0-9a-z]{0,61}[0-9a-z])?$", value)
}

annotation_ok(c, "io.kubernetes.cri.image-name", value) if {
    value == c.images[_]
}

annotation_ok(c, "io.kubernetes.cri.sandbox-log-directory", value) if {
    start := concat("", ["/var/log/pods/",
        annotations["io.kubernetes.cri.sandbox-namespace"], "_",
        annotations["io.kubernetes.cri.sandbox-name"], "_"])
    startswith(value, start)
    log_uid_ok(substring(value, count(start), -1))
}

log_uid_ok(uid) if {
    uid == annotations["io.kubernetes.cri.sandbox-uid"]
}

log_uid_ok(uid) if {
    absent(annotations, "io.kubernetes.cri.sandbox-uid")
    regex.match(annotation_forms["io.kubernetes.cri.sandbox-uid"], uid)
}

annotation_ok(c, key, value) if {
    c.gpus > 0
    regex.match("^cdi.k8s.io/vfio[0-9]{1,4}$", key)
    startswith(key, "cdi.k8s.io/")
    regex.match("^nvidia[.]com/gpu=[0-9]{1,4}$", value)
}

# --- The OCI document beside process, mounts and kernel settings

oci_ok(c) if {
    o := input.OCI
    versions[o.Version]
    o.Hooks == null
    o.Solaris == null
    o.Windows == null
    o.Root.Path == concat("", ["/run/kata-containers/", bundle, "/rootfs"])
    o.Root.Readonly == c.readonlyRoot
    hostname_ok(c, o.Hostname)
}

# What containerd 1.4 to 2.2 write.
versions := {
    "1.0.2", "1.0.2-dev", "1.1.0", "1.1.0-rc.1", "1.2.0", "1.2.1", "1.3.0"
}

hostname_ok(c, "") if {
    not c.sandbox
}

hostname_ok(c, name) if {
    partial
    regex.match("^[-0-9a-z.]{0,253}$", name)
}

hostname_ok(c, name) if {
    c.sandbox
    name == pod_hostname
}

# The kubelet cuts at 63 characters, and then dashes and dots at the end.
pod_hostname := policy_data.hostname

pod_hostname := name if {
    absent(policy_data, "hostname")
    name := trim_right(substring(pod_fact("p:name"), 0, 63), "-.")
}

# --- The process

process_ok(c, p) if {
    count(p.Args) > 0
    p.Args == [fill(a) | a := c.args[_]]
    same_or_open(c, "cwd", p.Cwd)
    p.Terminal == c.tty
    p.NoNewPrivileges == c.noNewPrivileges
    p.ConsoleSize == null
    p.SelinuxLabel == ""
    apparmor_ok(c, p.ApparmorProfile)
    p.Rlimits == []
    user_ok(c, p.User)
    caps_ok(c, p.Capabilities)
    env_ok(c, p.Env)
}

# Fields that come from the image are absent when the image was not read.
same_or_open(c, key, value) if {
    absent(c, key)
}

same_or_open(c, key, value) if {
    c[key] == value
}

apparmor_ok(c, "") := true

apparmor_ok(c, "cri-containerd.apparmor.d") := true

apparmor_ok(c, "unconfined") if {
    c.privileged
}

user_ok(c, u) if {
    same_or_open(c, "uid", u.UID)
    same_or_open(c, "gid", u.GID)
    u.Username == ""
    gids_ok(c, u.AdditionalGids)
}

gids_ok(c, given) if {
    absent(c, "gids")
    is_array(given)
}

gids_ok(c, given) if {
    same_set(c.gids, given)
}

caps_ok(c, given) if {
    same_caps(c.caps, given.Bounding)
    same_caps(c.caps, given.Effective)
    same_caps(c.caps, given.Permitted)
    given.Ambient == []
    given.Inheritable == []
}

same_caps(wanted, given) if {
    same_set(wanted, given)
}

# The name of the default set stands for the set in one of the agent's own test requests.
same_caps(wanted, ["$(default_caps)"]) if {
    partial
    wanted == default_caps
}

default_caps := [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_SETUID", "CAP_SYS_CHROOT"
]

# -998: the sandbox. Containers: -997 guaranteed, 2 to 999 burstable, 1000 best effort.
oom_ok(c, score) if {
    c.sandbox
    score == -998
}

oom_ok(c, -997) if {
    not c.sandbox
}

oom_ok(c, score) if {
    not c.sandbox
    in_range(score, 2, 1000)
}

oom_ok(c, score) if {
    partial
    in_range(score, -1000, 1000)
}

# --- Environment: nothing missing, nothing added, nothing twice

env_ok(c, given) if {
    is_array(given)
    count({g | g := given[_]}) == count(given)
    count({split(g, "=")[0] | g := given[_]}) == count(given)
    wanted := {fill(e) | e := c.env[_]}
    count([g | g := given[_]; not wanted[g]; not open_env_ok(c, g)]) == 0
    services_ok({n | n := split(given[_], "=")[0]; startswith(n, "KUBERNETES_")})
    all_there(c, wanted, given)
}

# The kubelet tells the API server's address in eight variables or not at all.
services_ok(names) if {
    count(names) == 0
}

services_ok(names) if {
    count(names) >= 8
}

all_there(c, wanted, given) if {
    partial
}

all_there(c, wanted, given) if {
    count(wanted - {g | g := given[_]}) == 0
    names := {split(g, "=")[0] | g := given[_]}
    count([n | c.openEnv[n]; not names[n]]) == 0
}

open_env_ok(c, g) if {
    n := split(g, "=")[0]
    form := env_forms[c.openEnv[n]]
    regex.match(form, substring(g, count(n) + 1, -1))
}

open_env_ok(c, "HOSTNAME=$(host-name)") if {
    partial
}

open_env_ok(c, g) if {
    regex.match(service_env, g)
    service_ok(c, g)
    not named(c, split(g, "=")[0])
}

service_ok(c, g) if {
    c.serviceLinks
}

# The API server's address is there always.
service_ok(c, g) if {
    startswith(g, "KUBERNETES_")
}

# Without state nothing is known of the pod when a probe runs.
open_env_ok(c, g) if {
    not has_state
    absent(input, "OCI")
    e := text(c.env[_])
    contains(e, "\u0001")
    startswith(e, concat("", [split(g, "=")[0], "="]))
}

named(c, name) if {
    startswith(text(c.env[_]), concat("", [name, "="]))
}

named(c, name) if {
    c.openEnv[name]
}

env_forms := {
    "ip": "^[0-9a-f.:]{2,39}$",
    "ips": "^[0-9a-f.:]{2,39}(,[0-9a-f.:]{2,39})*$",
    "node": "^[0-9a-z]([-0-9a-z.]{0,251}[0-9a-z])?$",
    "number": "^[0-9]{1,20}$",
    "any": "(?s)^.*$"
}

service_env := "^[A-Z][A-Z0-9_]*_(SERVICE_(HOST|PORT|PORT_[A-Z0-9_]+)|PORT|PORT_[0-9]+_(TCP|UDP)(_(ADDR|PORT|PROTO))?)=(((tcp|udp)://)?([0-9]{1,3}([.][0-9]{1,3}){3}|[0-9a-f:]{2,39}|\\[[0-9a-f:]{2,39}\\])(:[0-9]{1,5})?|[0-9]{1,5}|tcp|udp)$"

# --- Kernel settings

linux_ok(c, l) if {
    l.Devices == []
    l.GIDMappings == []
    l.UIDMappings == []
    l.IntelRdt == null
    l.MountLabel == ""
    l.RootfsPropagation == ""
    l.Seccomp == null
    cgroup_ok(l.CgroupsPath)
    namespaces_ok(l.Namespaces)
    masked_ok(c, l.MaskedPaths)
    readonly_ok(c, l.ReadonlyPaths)
    count([k | l.Sysctl[k]; not sysctl_ok(c, k, l.Sysctl[k])]) == 0
    is_object(l.Sysctl)
    count([k | c.sysctls[k]; absent(l.Sysctl, k)]) == 0
    resources_ok(l.Resources)
}

cgroup_ok(path) if {
    regex.match("^[-0-9a-z_./]*(:[-0-9a-z_.]*:|/)[-0-9a-z]{1,64}$", path)
    endswith(path, input.container_id)
    cgroup_uid_ok(path)
}

cgroup_ok(path) if {
    partial
    regex.match("^([-0-9a-z_./]*(:[-0-9a-z_.]*:|/)[-0-9a-z]{1,64})?$", path)
}

# Both spellings of the pod's id, cgroupfs and systemd.
cgroup_uid_ok(path) if {
    contains(path, concat("", ["pod", annotations["io.kubernetes.cri.sandbox-uid"], "/"]))
}

cgroup_uid_ok(path) if {
    uid := replace(annotations["io.kubernetes.cri.sandbox-uid"], "-", "_")
    contains(path, concat("", ["pod", uid, ".slice:"]))
}

cgroup_uid_ok(path) if {
    absent(annotations, "io.kubernetes.cri.sandbox-uid")
}

own_namespaces := {"ipc", "mount", "uts"}

namespaces_ok(given) if {
    own := [n | n := given[_]; n.Path == ""; own_namespaces[n.Type]]
    count(own) == 3
    {n.Type | n := own[_]} == own_namespaces
    count([n | n := given[_]; not own_namespaces[n.Type]; not network_namespace_ok(n)]) == 0
    count(given) - count(own) <= 1
}

network_namespace_ok(n) if {
    partial
    n.Type == "network"
    regex.match("^/run/netns/[-0-9a-z]{1,64}$", n.Path)
}

masked_ok(c, []) if {
    c.privileged
}

# All that are needed, some that newer containerds add, nothing twice.
masked_ok(c, given) if {
    not c.privileged
    set := {g | g := given[_]}
    count(set) == count(given)
    count(masked - set) == 0
    count([g | g := given[_]; not masked[g]; not masked_by_newer(g)]) == 0
}

masked := {
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi",
    "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware"
}

masked_by_newer(path) if {
    path == "/proc/interrupts"
}

masked_by_newer(path) if {
    path == "/sys/devices/virtual/powercap"
}

masked_by_newer(path) if {
    regex.match("^/sys/devices/system/cpu/cpu[0-9]{1,4}/thermal_throttle$", path)
}

readonly_ok(c, []) if {
    c.privileged
}

readonly_ok(c, given) if {
    not c.privileged
    same_set(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"], given)
}

sysctl_ok(c, key, value) if {
    c.sysctls[key] == value
}

sysctl_ok(c, key, value) if {
    absent(c.sysctls, key)
    usual_sysctls[key] == value
}

usual_sysctls := {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647"
}

# How much of the machine a container gets is the host's; how it is accounted is not.
resources_ok(r) if {
    r.Devices == []
    r.HugepageLimits == []
    r.BlockIO == null
    r.Network == null
    r.Pids == null
    cpu_ok(r.CPU)
    memory_ok(r.Memory)
}

cpu_ok(null) if {
    partial
}

cpu_ok(u) if {
    u.Cpus == ""
    u.Mems == ""
    u.RealtimePeriod == 0
    u.RealtimeRuntime == 0
    periods[u.Period]
    in_range(u.Quota, -1, 1000000000000)
    in_range(u.Shares, 0, 262144)
}

periods := {0, 100000}

memory_ok(null) := true

memory_ok(m) if {
    m.DisableOOMKiller == false
    m.Kernel == 0
    m.KernelTCP == 0
    m.Swap == 0
    m.Swappiness == 0
    in_range(m.Limit, 0, 1152921504606846976)
    in_range(m.Reservation, 0, 1152921504606846976)
}

# --- Programs of probes and hooks: in the container that they belong to, as its own process

ExecProcessRequest if {
    input.string_user == null
    input.stdin_port == 0
    input.stdout_port == 0
    input.stderr_port == 0
    process_id_ok(input.exec_id)
    c := policy_data.containers[i]
    exec_target_ok(i)
    exec_process_ok(c, input.process)
}

process_id_ok(id) if {
    regex.match("^[-0-9a-z]{1,64}$", id)
}

process_id_ok("") if {
    partial
}

exec_oom_ok(0) := true

exec_oom_ok(score) if {
    partial
    in_range(score, -1000, 1000)
}

exec_target_ok(i) if {
    known_index == i
}

exec_target_ok(i) if {
    not has_state
}

exec_process_ok(c, p) if {
    count([1 | p.Args == [fill(a) | a := c.commands[k][_]]; c.commands[k]]) > 0
    same_or_open(c, "cwd", p.Cwd)
    p.Terminal == c.tty
    p.NoNewPrivileges == c.noNewPrivileges
    exec_oom_ok(p.OOMScoreAdj)
    p.Capabilities == null
    p.ConsoleSize == null
    p.SelinuxLabel == ""
    p.Rlimits == []
    apparmor_ok(c, p.ApparmorProfile)
    user_ok(c, p.User)
    env_ok(c, p.Env)
}

# --- Helpers

in_range(n, low, high) if {
    is_number(n)
    n >= low
    n <= high
    n == round(n)
}

distinct(list) if {
    is_array(list)
    count(list) == count({x | x := list[_]})
}

same_set(wanted, given) if {
    is_array(given)
    count(given) == count({g | g := given[_]})
    {w | w := wanted[_]} == {g | g := given[_]}
}

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

# What only the cluster knows stands as \u0001name\u0001; texts of users have no \u0001.
fill(t) := filled if {
    parts := split(text(t), "\u0001")
    out := [p | x := parts[i]; p := filled_part(i, x)]
    count(out) == count(parts)
    filled := concat("", out)
}

filled_part(i, x) := x if {
    i % 2 == 0
}

filled_part(i, x) := pod_values[x] if {
    i % 2 == 1
}

pod_values["host"] := pod_hostname

pod_values["name"] := pod_fact("p:name")

pod_values["namespace"] := pod_fact("p:namespace")

pod_values["uid"] := pod_fact("p:uid")

pod_fact(key) := annotations[pin_keys[key]]

pod_fact(key) := data.pstate[key] if {
    absent(input, "OCI")
}
