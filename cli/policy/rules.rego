# contrast-ha runtime policy
# What the guest agent of this confidential pod may be asked by the host.
#
# The agent evaluates data.agent_policy.<RequestName> for each request; everything that no rule
# allows is denied. policy_data below these rules describes the one pod that this guest may run:
# docs/policy.md has its layout, what is left to the host, and why.
#
# Rules that keep state answer with operations on data.pstate. Agents without data.pstate (Kata
# before 3.11) take only booleans, and get them.
#
# Lists are checked by counting what does not match, so whatever cannot be evaluated is denied.
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
default RemoveContainerRequest := false
default RemoveStaleVirtiofsShareMountsRequest := true
default ReseedRandomDevRequest := false
default ResizeVolumeRequest := false
default ResumeContainerRequest := false
default SetGuestDateTimeRequest := false
default SetIPTablesRequest := false
default SetPolicyRequest := false
default SignalProcessRequest := true
default StartContainerRequest := false
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

CreateSandboxRequest := true if {
    not has_state
    sandbox_ok
}

# Once: the machine has one pod.
CreateSandboxRequest := {"allowed": true, "ops": ops} if {
    has_state
    sandbox_ok
    first_time("p:sandbox")
    ops := [{"op": "add", "path": "/pstate/p:sandbox", "value": input.hostname}]
}

sandbox_ok if {
    input.guest_hook_path == ""
    input.kernel_modules == []
    input.sandbox_pidns == false
    regex.match("^([0-9a-f]{64})?$", input.sandbox_id)
    sandbox_hostname_ok(input.hostname)
    count(input.dns) <= 64
    count([d | d := input.dns[_]; not regex.match(dns_line, d)]) == 0
    count(input.storages) <= 1
    count([s | s := input.storages[_]; not sandbox_storage_ok(s)]) == 0
}

# Lines of resolv.conf as they stand there, the empty one behind the last, too.
dns_line := "^([\\x23;][\\x09\\x20-\\x7e]{0,255}|(nameserver|search|options|domain|sortlist)([\\x09 ]+[-A-Za-z0-9.:_%/]{1,255}){0,32}[\\x09 ]*)?$"

sandbox_hostname_ok("") := true

sandbox_hostname_ok(name) if {
    name == policy_data.hostname
    absent(policy_data, "fqdn")
}

sandbox_hostname_ok(name) if {
    start := concat("", [policy_data.hostname, ".", policy_data.fqdn, "."])
    startswith(name, start)
    regex.match("^[-0-9a-z.]{1,64}$", name)
}

sandbox_hostname_ok(name) if {
    absent(policy_data, "hostname")
    regex.match(policy_data.namePattern, name)
}

# A long name of a pod, cut.
sandbox_hostname_ok(name) if {
    absent(policy_data, "hostname")
    regex.match("^[-0-9a-z.]{60,63}$", name)
    known := substring(policy_data.name, 0, 63)
    startswith(name, trim_right(known, "-."))
}

# A pod of an indexed job has no random end in its host name.
sandbox_hostname_ok(name) if {
    absent(policy_data, "hostname")
    policy_data.indexed
    start := concat("", [policy_data.name, "-"])
    startswith(name, start)
    regex.match("^([0-9]+-)?[0-9]+$", substring(name, count(start), -1))
}

sandbox_storage_ok(s) if {
    s.driver == "ephemeral"
    s.driver_options == []
    s.source == "shm"
    s.fstype == "tmpfs"
    s.mount_point == "/run/kata-containers/sandbox/shm"
    s.fs_group == null
    s.shared == false
    array.slice(s.options, 0, 4) == ["noexec", "nosuid", "nodev", "mode=1777"]
    count(s.options) == 5
    regex.match("^size=[0-9]{1,12}$", s.options[4])
}

UpdateInterfaceRequest := true if {
    not has_state
    interface_ok(input.interface)
}

# Its addresses are those that a container may be told as the pod's.
UpdateInterfaceRequest := {"allowed": true, "ops": ops} if {
    has_state
    interface_ok(input.interface)
    addresses := [a.address | a := input.interface.IPAddresses[_]]
    path := concat("", ["/pstate/n:", input.interface.name])
    ops := [{"op": "add", "path": path, "value": addresses}]
}

interface_ok(i) if {
    regex.match(device, i.device)
    regex.match(device, i.name)
    i.device != "lo"
    i.name != "lo"
    mac_ok(i.hwAddr)
    bit_flags[128][i.raw_flags]
    in_range(i.mtu, 68, 65535)
    regex.match("^(0x)?[0-9a-f:./]{0,64}$", object_or(i, "devicePath", ""))
    regex.match("^[a-z_-]{0,32}$", i.type_)
    distinct(i.IPAddresses)
    count(i.IPAddresses) <= 64
    count([a | a := i.IPAddresses[_]; not network_ok(a)]) == 0
}

bit_flags := {128: {0, 128}, 136: {0, 8, 128, 136}}

UpdateRoutesRequest if {
    distinct(input.routes.Routes)
    count(input.routes.Routes) <= 1024
    count([r | r := input.routes.Routes[_]; not route_ok(r)]) == 0
}

route_ok(r) if {
    regex.match(device, r.device)
    r.device != "lo"
    place_ok(r.dest)
    place_ok(r.gateway)
    place_ok(r.source)
    families[r.family]
    route_scopes[r.scope]
    route_flags[object_or(r, "flags", 0)]
    in_range(object_or(r, "mtu", 0), 0, 65535)
}

families := {0, 1}

# RT_SCOPE_UNIVERSE, SITE, LINK, HOST, NOWHERE
route_scopes := {0, 200, 253, 254, 255}

# RTNH_F_ONLINK
route_flags := {0, 4}

AddARPNeighborsRequest if {
    distinct(input.neighbors.ARPNeighbors)
    count(input.neighbors.ARPNeighbors) <= 1024
    count([n | n := input.neighbors.ARPNeighbors[_]; not neighbor_ok(n)]) == 0
}

neighbor_ok(n) if {
    regex.match(device, n.device)
    n.device != "lo"
    bit_flags[136][n.flags]
    neighbor_states[n.state]
    mac_ok(n.lladdr)
    n.toIPAddress.mask == ""
    address_ok(n.toIPAddress)
}

# NUD_REACHABLE, NUD_PERMANENT
neighbor_states := {2, 128}

device := "^[a-z][-a-z0-9_.]{0,14}$"

mac_ok(mac) if {
    regex.match("^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$", mac)
    mac != "00:00:00:00:00:00"
}

network_ok(a) if {
    address_ok(a)
    regex.match("^[0-9]{1,3}$", a.mask)
}

# Families of the agent's protocol: 0 = IPv4, 1 = IPv6
address_ok(a) if {
    a.family == 0
    regex.match("^[0-9]{1,3}([.][0-9]{1,3}){3}$", a.address)
    place_ok(a.address)
}

address_ok(a) if {
    a.family == 1
    regex.match("^[0-9a-f:]{2,39}$", a.address)
    place_ok(a.address)
}

# An address or network that is not of this machine itself. "::" and 0.0.0.0 stand for all.
place_ok("") := true

place_ok(p) if {
    regex.match("^[0-9]{1,3}([.][0-9]{1,3}){3}(/[0-9]{1,2})?$", p)
    not startswith(p, "127.")
}

# Of the addresses with a prefix of zeros (loopback, IPv4 in IPv6) only "all" is taken.
place_ok(p) if {
    regex.match("^[1-9a-f][0-9a-f]{0,3}:[0-9a-f:]{1,36}(/[0-9]{1,3})?$", p)
}

place_ok("::/0") := true

# --- Files that the host puts beside containers

CopyFileRequest if {
    path_ok(input.path)
    in_range(input.uid, 0, 4294967295)
    in_range(input.gid, 0, 4294967295)
    in_range(input.file_size, 0, 1099511627776)
    in_range(input.offset, 0, 1099511627776)
    in_range(input.file_mode, 0, 65535)
    in_range(input.dir_mode, 0, 65535)
    rights_ok(file_kind, input.file_mode)
    copied_ok(file_kind)
}

# <shared folder>/<container>-<16 characters>-<name>[/...]: never <container>/rootfs. Each part has
# a character that is no dot, so no part is "." or "..".
path_ok(path) if {
    regex.match(shared_path, path)
    parts := split(path, "/")
    count([p | p := parts[_]; dots[p]]) == 0
    count(path) <= 4096
}

shared_path := "^/run/kata-containers/shared/containers/[0-9a-z]{1,64}-[0-9a-z]{16}-[^/\\x00-\\x1f]+(/[^/\\x00-\\x1f]+)*$"

dots := {".", ".."}

# No file with set-user-ID or set-group-ID. A folder has set-group-ID where the pod has an fsGroup.
rights_ok(kind, mode) if {
    kind != "Directory"
    mode % 4096 < 512
}

rights_ok("Directory", mode) if {
    mode % 4096 < 2048
}

# Kata 3.30 and later names the kind. Before, it is in the type bits of the mode.
file_kind := input.file_type

file_kind := kind if {
    absent(input, "file_type")
    absent(input, "symlink_target")
    kind := kinds[input.file_mode - (input.file_mode % 4096)]
}

kinds := {0: "Regular", 16384: "Directory", 32768: "Regular", 40960: "Symlink"}

copied_ok("Regular") if {
    no_target
}

copied_ok("Directory") if {
    no_target
}

copied_ok("Symlink") if {
    count(split(input.path, "/")) > 6
    target_ok(link_target)
}

# Agents that get the target as bytes of the file.
copied_ok("Symlink") if {
    count(split(input.path, "/")) > 6
    absent(input, "file_type")
    absent(input, "symlink_src")
    target_bytes_ok(input.data)
}

no_target if {
    absent(input, "file_type")
    object_or(input, "symlink_src", "") == ""
}

no_target if {
    input.symlink_target == null
}

no_target if {
    input.symlink_target == ""
}

link_target := input.symlink_target

link_target := t if {
    absent(input, "file_type")
    t := input.symlink_src
}

target_ok(t) if {
    regex.match("^[^/\\x00-\\x1f][^\\x00-\\x1f]{0,4094}$", t)
    count([p | p := split(t, "/")[_]; p == ".."]) == 0
}

# The same for bytes: 46 is ".", 47 is "/".
target_bytes_ok(t) if {
    is_array(t)
    in_range(count(t), 1, 4095)
    t[0] != 47
    count([b | b := t[_]; not in_range(b, 32, 255)]) == 0
    count([i | t[i] == 46; t[i + 1] == 46; part_starts(t, i); part_ends(t, i + 2)]) == 0
}

part_starts(t, i) if {
    i == 0
}

part_starts(t, i) if {
    t[i - 1] == 47
}

part_ends(t, i) if {
    i == count(t)
}

part_ends(t, i) if {
    t[i] == 47
}
