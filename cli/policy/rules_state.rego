# Second part of the rules: what one request leaves for the next, and the order of containers.
#
# data.pstate has, with prefixes that keep names that the host chooses apart:
#
#   p:FACT   the same for the whole pod: name, namespace, uid, id, network, netns, host, sandbox,
#            pod-ip, pod-ips, host-ip, host-ips, node
#   n:NAME   addresses of a network interface
#   c:ID     index, in policy_data, of the container of that id
#   s:NAME   id of the running copy of a container; the sandbox has the empty name
#   d:NAME   the container has run
#
# SPDX-License-Identifier: Apache-2.0

has_state if {
    is_object(data.pstate)
}

# Requests may leave things out that containerd always sends: for tests alone.
partial if {
    policy_data.partial
}

first_time(key) if {
    partial
}

first_time(key) if {
    absent(data.pstate, key)
}

# --- Containers come and go

CreateContainerRequest := true if {
    not has_state
    count(matches) > 0
}

CreateContainerRequest := {"allowed": true, "ops": ops} if {
    has_state
    index := matches[0]
    facts := facts_of(policy_data.containers[index])
    ops := array.concat(
        [{"op": "add", "path": concat("", ["/pstate/", f[0]]), "value": f[1]} | f := facts[_]],
        [{"op": "add", "path": container_path, "value": index}])
}

container_path := concat("", ["/pstate/c:", input.container_id])

known_index := data.pstate[concat("", ["c:", input.container_id])]

known_name := policy_data.containers[known_index].name

StartContainerRequest := true if {
    not has_state
}

StartContainerRequest := true if {
    has_state
    partial
    not is_number(known_index)
}

# Only now the program runs. A container that could not be made is made once more under a new id.
StartContainerRequest := {"allowed": true, "ops": ops} if {
    has_state
    is_number(known_index)
    first_time(concat("", ["s:", known_name]))
    ops := [
        {"op": "add", "path": concat("", ["/pstate/s:", known_name]), "value": input.container_id},
        {"op": "add", "path": concat("", ["/pstate/d:", known_name]), "value": true}
    ]
}

RemoveContainerRequest := true if {
    not has_state
    remove_ok
}

RemoveContainerRequest := {"allowed": true, "ops": ops} if {
    has_state
    remove_ok
    is_number(known_index)
    ops := array.concat([{"op": "remove", "path": container_path}], stopped)
}

remove_ok if {
    in_range(input.timeout, 0, 4294967295)
}

stopped := [{"op": "remove", "path": concat("", ["/pstate/s:", known_name])} | is_running]

is_running if {
    data.pstate[concat("", ["s:", known_name])] == input.container_id
}

matches := [i | c := policy_data.containers[i]; container_ok(c); turn_ok(c, i)]

turn_ok(c, i) if {
    not has_state
}

turn_ok(c, i) if {
    partial
}

# An id is of one container, a container runs once at a time, the sandbox first, and others once
# all init containers before them have run. Kubelets restart containers in place: under a new id.
turn_ok(c, i) if {
    has_state
    absent(data.pstate, concat("", ["c:", input.container_id]))
    absent(data.pstate, concat("", ["s:", c.name]))
    sandbox_runs(c)
    init_runs(i)
}

sandbox_runs(c) if {
    c.sandbox
}

sandbox_runs(c) if {
    is_string(data.pstate["s:"])
}

init_runs(i) if {
    before := [concat("", ["d:", b.name]) | b := policy_data.containers[k]; k < i; b.init]
    count([d | d := before[_]; absent(data.pstate, d)]) == 0
}

# --- What stays the same for all containers of the pod

pins[key] := value if {
    value := annotations[pin_keys[key]]
}

# Where the host names a network namespace of the guest, all containers share it.
pins["p:netns"] := path if {
    paths := [n.Path | n := input.OCI.Linux.Namespaces[_]; n.Type == "network"]
    path := concat(" ", paths)
}

pins["p:host"] := input.OCI.Hostname if {
    annotations["io.kubernetes.cri.container-type"] == "sandbox"
    not partial
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

facts_of(c) := array.concat([[k, pins[k]] | pins[k]], env_facts(c))

# Variables whose value is a fact of the pod, too.
env_facts(c) := [[concat("", ["p:", c.openEnv[n]]), value] |
    not partial; g := input.OCI.Process.Env[_]; n := split(g, "=")[0];
    pod_forms[c.openEnv[n]]; value := substring(g, count(n) + 1, -1)]

pod_forms := {"host-ip", "host-ips", "node", "pod-ip", "pod-ips"}

fact_ok(form, value) if {
    not pod_forms[form]
}

fact_ok(form, value) if {
    partial
}

fact_ok(form, value) if {
    not has_state
}

fact_ok(form, value) if {
    pod_forms[form]
    absent(data.pstate, concat("", ["p:", form]))
    address_known(form, value)
}

fact_ok(form, value) if {
    data.pstate[concat("", ["p:", form])] == value
}

# The pod's own addresses are those that the guest's interfaces got, where it was told any.
address_known(form, value) if {
    not startswith(form, "pod-")
}

address_known(form, value) if {
    count(guest_addresses) == 0
}

address_known(form, value) if {
    count({a | a := split(value, ",")[_]} - guest_addresses) == 0
}

guest_addresses := {a | list := data.pstate[k]; startswith(k, "n:"); a := list[_]}

pod_fact(key) := annotations[pin_keys[key]]

pod_fact(key) := data.pstate[key] if {
    absent(input, "OCI")
}
