# Third part of the rules: containers, their annotations and kernel settings.
#
# SPDX-License-Identifier: Apache-2.0

# --- Containers

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
    no_ports
    exec_id_ok(input.exec_id)
    id_ok(c)
}

no_ports if {
    input.stdin_port == 0
    input.stdout_port == 0
    input.stderr_port == 0
}

# Agents before the ports were invented (Kata 3.3)
no_ports if {
    count([k | port_names[k]; not absent(input, k)]) == 0
}

port_names := {"stderr_port", "stdin_port", "stdout_port"}

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

# --- Annotations: each is known, and each value has its form

# Where containerd of several distributions keeps its tasks
bundle_folders := {
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
    "/run/k0s/containerd/io.containerd.runtime.v2.task/k8s.io",
    "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io",
    "/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task/k8s.io"
}

# No id looks like the name of a copied file: CopyFile would reach into its folder.
bundle := id if {
    parts := split(annotations["io.katacontainers.pkg.oci.bundle_path"], "/")
    last := count(parts) - 1
    bundle_folders[concat("/", array.slice(parts, 0, last))]
    id := parts[last]
    regex.match("^[-0-9a-z]{1,64}$", id)
    not regex.match("-[0-9a-z]{16}-", id)
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

needed_images(c) := {"io.kubernetes.cri.image-name", "io.kubernetes.cri.sandbox-uid"} if {
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
    "io.katacontainers.pkg.oci.bundle_path": "^/[-0-9a-zA-Z_./]*$",
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
    regex.match("^io[.]kubernetes[.]cri[.][-a-z.]{1,64}$", key)
    absent(annotation_forms, key)
    not checked_apart[key]
    regex.match("^[-0-9A-Za-z_.:/@]{0,253}$", value)
}

checked_apart := {
    "io.kubernetes.cri.image-name", "io.kubernetes.cri.sandbox-log-directory",
    "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace"
}

# The pod's own, for the shim
annotation_ok(c, key, value) if {
    policy_data.annotations[key] == value
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
    regex.match(version, o.Version)
    o.Hooks == null
    o.Solaris == null
    o.Windows == null
    root_path_ok(o.Root.Path)
    o.Root.Readonly == c.readonlyRoot
    hostname_ok(c, o.Hostname)
}

root_path_ok(path) if {
    path == concat("", ["/run/kata-containers/", bundle, "/rootfs"])
}

# Of the runtime specification: containerd 1.4 writes 1.0.2-dev, 2.2 writes 1.3.0.
version := "^1[.][0-9]{1,2}[.][0-9]{1,2}(-dev|-rc[.][0-9])?$"

hostname_ok(c, "") if {
    not c.sandbox
}

hostname_ok(c, name) if {
    partial
    regex.match("^[-0-9a-z.]{0,253}$", name)
}

hostname_ok(c, name) if {
    c.sandbox
    host_ok(name)
    host_told(name)
}

# The name that the guest got with the sandbox, where it got one.
host_told(name) if {
    not has_state
}

host_told(name) if {
    object_or(data.pstate, "p:sandbox", "") == ""
}

host_told(name) if {
    data.pstate["p:sandbox"] == name
}

# A container's name of the host is its sandbox's.
host_ok(name) if {
    data.pstate["p:host"] == name
}

host_ok(name) if {
    not is_string(data.pstate["p:host"])
    host_form_ok(name)
}

host_form_ok(name) if {
    absent(policy_data, "fqdn")
    name == short_host
}

host_form_ok(name) if {
    start := concat("", [short_host, ".", policy_data.fqdn, ".", pod_fact("p:namespace"), ".svc."])
    startswith(name, start)
    regex.match("^[-0-9a-z.]{1,64}$", name)
}

# A pod of an indexed job has the job's name and its index.
host_form_ok(name) if {
    absent(policy_data, "hostname")
    policy_data.indexed
    startswith(name, policy_data.name)
    regex.match("-[0-9]+$", name)
    start := concat("", [name, "-"])
    startswith(pod_fact("p:name"), start)
    regex.match("^[bcdfghjklmnpqrstvwxz2456789]+$", substring(pod_fact("p:name"), count(start), -1))
}

# The kubelet cuts at 63 characters, and then dashes and dots at the end.
short_host := policy_data.hostname

short_host := name if {
    absent(policy_data, "hostname")
    name := trim_right(substring(pod_fact("p:name"), 0, 63), "-.")
}

# --- Kernel settings

linux_ok(c, l) if {
    nodes_ok(c, l.Devices)
    l.GIDMappings == []
    l.UIDMappings == []
    l.IntelRdt == null
    l.MountLabel == ""
    l.RootfsPropagation == object_or(c, "rootPropagation", "")
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
    not contains(path, "..")
    endswith(path, input.container_id)
    cgroup_uid_ok(path)
}

cgroup_ok(path) if {
    partial
    regex.match("^([-0-9a-z_./]*(:[-0-9a-z_.]*:|/)[-0-9a-z]{1,64})?$", path)
    not contains(path, "..")
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

# A guest whose network is a namespace in it; which one is pinned (rules_state.rego).
network_namespace_ok(n) if {
    partial
    n.Type == "network"
    regex.match("^(/var)?/run/netns/[-0-9a-z]{1,64}$", n.Path)
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
    count(r.HugepageLimits) <= 8
    count([h | h := r.HugepageLimits[_]; not hugepages_ok(h)]) == 0
    r.BlockIO == null
    r.Network == null
    r.Pids == null
    cpu_ok(r.CPU)
    memory_ok(r.Memory)
}

hugepages_ok(h) if {
    regex.match("^[0-9]{1,4}[KMG]B$", h.Pagesize)
    in_range(h.Limit, 0, 1152921504606846976)
}

cpu_ok(null) if {
    partial
}

cpu_ok(u) if {
    u.Cpus == ""
    u.Mems == ""
    u.RealtimePeriod == 0
    u.RealtimeRuntime == 0
    in_range(u.Period, 0, 1000000)
    u.Period % 1000 == 0
    in_range(u.Quota, -1, 1000000000000)
    in_range(u.Shares, 0, 262144)
}

memory_ok(null) := true

memory_ok(m) if {
    m.DisableOOMKiller == false
    m.Kernel == 0
    m.KernelTCP == 0
    m.Swappiness == 0
    in_range(m.Limit, 0, 1152921504606846976)
    in_range(m.Reservation, 0, 1152921504606846976)
    swap_ok(m)
}

swap_ok(m) if {
    m.Swap == 0
}

# containerd sets memory and swap together to the limit, so that there is no swap.
swap_ok(m) if {
    m.Limit > 0
    m.Swap == m.Limit
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
