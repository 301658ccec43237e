# Fifth part of the rules: mounts, storages, images and devices.
#
# SPDX-License-Identifier: Apache-2.0

# --- Mounts: each stands in the pod, none missing, no place twice

mounts_ok(c, given) if {
    count({m.destination | m := given[_]}) == count(given)
    count([m | m := given[_]; not mount_ok(c, m)]) == 0
    places := {m.destination | m := given[_]}
    mounts_there(c, places)
    volumes_apart(c, given)
}

# No disk of the guest is two volumes.
volumes_apart(c, given) if {
    pairs := {[w.volume, m.source] |
        w := c.mounts[_]; w.from == "empty"; m := given[_]; m.destination == w.at}
    count({p[1] | pairs[p]}) == count(pairs)
}

mounts_there(c, places) if {
    count(missing_mounts(c, places)) == 0
}

# Requests that were put together by hand lack most of them, not one.
mounts_there(c, places) if {
    partial
    count(missing_mounts(c, places)) > 1
}

# They are made for pods as people wrote them, without what generate adds.
mounts_there(c, places) if {
    partial
    count([w | w := missing_mounts(c, places)[_]; w.at != "/contrast"]) == 0
}

missing_mounts(c, places) := [w | w := c.mounts[_]; not w.optional; not places[w.at]]

mount_ok(c, m) if {
    w := c.mounts[_]
    w.at == m.destination
    mount_type_ok(w, m.type_)
    options_ok(w, m.options)
    source_ok(w, m)
}

mount_type_ok(w, given) if {
    w.type == given
}

mount_type_ok(w, "local") if {
    w.from == "empty"
}

options_ok(w, given) if {
    given == w.options
}

# The cgroup mount has options by the kernel's version.
options_ok(w, given) if {
    w.from == "cgroup"
    size := count(w.options)
    array.slice(given, 0, size) == w.options
    more := array.slice(given, size, count(given))
    cgroup_more[more]
}

cgroup_more := {
    ["nsdelegate"], ["memory_recursiveprot"], ["nsdelegate", "memory_recursiveprot"]
}

source_ok(w, m) if {
    w.from == m.source
    not own_words[w.from]
}

own_words := {"empty", "hugepages", "memory", "shared"}

source_ok(w, m) if {
    w.from == "shared"
    start := concat("", ["/run/kata-containers/shared/containers/", bundle, "-"])
    startswith(m.source, start)
    rest := substring(m.source, count(start), -1)
    regex.match("^[0-9a-z]{16}$", substring(rest, 0, 16))
    substring(rest, 16, -1) == concat("", ["-", w.name])
}

# Disks that the guest encrypts, memory, or a folder of the guest.
source_ok(w, m) if {
    w.from == "empty"
    s := input.storages[_]
    s.mount_point == m.source
    disk_ok(s)
}

source_ok(w, m) if {
    w.from == "empty"
    s := input.storages[_]
    s.mount_point == m.source
    local_ok(w, s)
}

source_ok(w, m) if {
    memory_kinds[w.from]
    s := input.storages[_]
    s.mount_point == m.source
    memory_volume_ok(w, s)
}

memory_kinds := {"hugepages", "memory"}

# The place alone, where a request says nothing of storages.
source_ok(w, m) if {
    partial
    w.from == "empty"
    m.source == local_places(w)[_]
}

source_ok(w, m) if {
    partial
    memory_kinds[w.from]
    m.source == concat("", ["/run/kata-containers/sandbox/ephemeral/", w.volume])
}

# --- Storages: what the guest mounts before

storages_ok(c) if {
    is_array(input.storages)
    count({s.mount_point | s := input.storages[_]}) == count(input.storages)
    sources := {m.source | m := input.OCI.Mounts[_]}
    count([s | s := input.storages[_]; not image_ok(c, s); not volume_ok(c, s, sources)]) == 0
    image_there(c)
}

volume_ok(c, s, sources) if {
    sources[s.mount_point]
    disk_ok(s)
}

volume_ok(c, s, sources) if {
    sources[s.mount_point]
    local_ok(c.mounts[_], s)
}

volume_ok(c, s, sources) if {
    sources[s.mount_point]
    memory_volume_ok(c.mounts[_], s)
}

disk_ok(s) if {
    s.driver == "blk"
    s.driver_options == ["encryption_key=ephemeral", "create_filesystem"]
    s.fstype == "ext4"
    s.options == []
    s.shared == true
    regex.match("^[0-9a-f]{2}(/[0-9a-f]{2})*$", s.source)
    s.mount_point == concat("", ["/run/kata-containers/sandbox/storage/", base64url.encode(s.source)])
    group_ok(s.fs_group)
}

group_ok(null) if {
    absent(policy_data, "fsGroup")
}

group_ok(null) if {
    partial
}

group_ok(g) if {
    g.group_id == policy_data.fsGroup
    g.group_change_policy == policy_data.fsGroupChange
}

local_ok(w, s) if {
    w.from == "empty"
    s.driver == "local"
    s.driver_options == []
    s.fstype == "local"
    s.source == "local"
    is_boolean(object_or(s, "shared", false))
    local_options(s.options)
    s.mount_point == local_places(w)[_]
    guest_group_ok(s.fs_group)
}

memory_volume_ok(w, s) if {
    memory_fs_ok(w, s)
    s.driver == "ephemeral"
    s.driver_options == []
    is_boolean(object_or(s, "shared", false))
    s.mount_point == concat("", ["/run/kata-containers/sandbox/ephemeral/", w.volume])
    guest_group_ok(s.fs_group)
}

memory_fs_ok(w, s) if {
    w.from == "memory"
    s.fstype == "tmpfs"
    s.source == "tmpfs"
    memory_options(s.options)
}

memory_fs_ok(w, s) if {
    w.from == "hugepages"
    s.fstype == "hugetlbfs"
    s.source == "nodev"
    count(s.options) == 1
    regex.match("^pagesize=[0-9]{1,12},size=[0-9]{0,15}$", s.options[0])
}

local_places(w) := [concat("", [f, annotations["io.kubernetes.cri.sandbox-id"], "/rootfs/local/",
    w.volume]) | local_folders[f]]

# Shared folders, and images that the guest pulls
local_folders := {"/run/kata-containers/shared/containers/", "/run/kata-containers/"}

guest_group_ok(null) := true

guest_group_ok(g) if {
    group_ok(g)
}

local_options(["mode=0777"]) := true

local_options(["mode=0777", option]) if {
    option == policy_data.fsGroupOption
}

memory_options(list) if {
    distinct(list)
    count([o | o := list[_]; not memory_option(o)]) == 0
}

memory_option(option) if {
    regex.match("^size=[0-9]{1,15}$", option)
}

memory_option(option) if {
    option == policy_data.fsGroupOption
}

# --- The image

image_there(c) if {
    partial
}

image_there(c) if {
    pulled := [s | s := input.storages[_]; pull_ok(c, s)]
    layers := [s | s := input.storages[_]; layer_form(s)]
    overlays := [s | s := input.storages[_]; overlay_ok(c, s)]
    image_counts_ok(c, count(pulled), count(layers), count(overlays))
}

image_ok(c, s) if {
    pull_ok(c, s)
}

image_ok(c, s) if {
    layer_ok(c, s)
}

image_ok(c, s) if {
    overlay_ok(c, s)
}

# Pulled in the guest: by a name that the pod gives, with the very annotations of this request.
pull_ok(c, s) if {
    s.driver == "image_guest_pull"
    count(s.driver_options) == 1
    pull_option_ok(s.driver_options[0])
    s.fstype == "overlay"
    s.options == []
    object_or(s, "shared", false) == false
    s.fs_group == null
    s.mount_point == input.OCI.Root.Path
    pulled_name_ok(c, s.source)
}

pulled_name_ok(c, "pause") if {
    c.sandbox
}

pulled_name_ok(c, name) if {
    not c.sandbox
    name == c.images[_]
    name == annotations["io.kubernetes.cri.image-name"]
    pulled_by_ok(name)
}

pull_start := "image_guest_pull={\"metadata\":{\""

# A list of pairs in any order. The policy itself and devices are with one side or both.
pull_option_ok(option) if {
    startswith(option, pull_start)
    endswith(option, "\"}}")
    start := count(pull_start)
    given := split(substring(option, start, count(option) - start - 3), "\",\"")
    told := [p | p := given[_]; not pull_extra(p)]
    wanted := {concat("", [k, "\":\"", annotations[k]]) | annotations[k]}
    count(told) == count({t | t := told[_]})
    {t | t := told[_]} == {w | wanted[w]; not pull_extra(w)}
}

pull_extra(pair) if {
    regex.match("^(io[.]katacontainers[.]config[.]agent[.]policy|io[.]katacontainers[.]config[.]hypervisor[.]cc_init_data)\":\"[A-Za-z0-9+/=]*$", pair)
}

pull_extra(pair) if {
    regex.match("^cdi[.]k8s[.]io/vfio[0-9]{1,4}\":\"nvidia[.]com/gpu=[0-9]{1,4}$", pair)
}

layer_folder := "/run/kata-containers/sandbox/layers/"

layer_form(s) if {
    s.driver == "blk"
    s.fstype == "tar"
    startswith(s.mount_point, layer_folder)
}

layer_ok(c, s) if {
    layer_form(s)
    regex.match("^([0-9a-f]{2}(/[0-9a-f]{2})*|[0-9]{1,3}:[0-9]{1,3}|/dev/[0-9a-z]{1,16})$", s.source)
    s.driver_options == []
    object_or(s, "shared", false) == false
    s.fs_group == null
    regex.match("^[0-9a-f]{64}$", substring(s.mount_point, count(layer_folder), -1))
    array.slice(s.options, 0, 3) == ["ro", "io.katacontainers.fs-opt.block_device=file",
        "io.katacontainers.fs-opt.is-layer"]
    count(s.options) == 4
    startswith(s.options[3], root_option)
    root := substring(s.options[3], count(root_option), -1)
    regex.match("^[0-9a-f]{64}$", root)
    root_ok(c, s, root)
}

root_option := "io.katacontainers.fs-opt.root-hash="

root_ok(c, s, root) if {
    absent(c, "layers")
}

root_ok(c, s, root) if {
    l := c.layers[_]
    l.root == root
    s.mount_point == concat("", [layer_folder, l.id])
}

overlay_ok(c, s) if {
    s.driver == "overlayfs"
    s.fstype == "fuse3.kata-overlay"
    s.driver_options == []
    object_or(s, "shared", false) == false
    s.fs_group == null
    overlay_place_ok(s.mount_point)
    regex.match("^[-0-9a-z./]{0,64}$", s.source)
    regex.match(layer_source, s.options[0])
    lower_ok(c, s.options[count(s.options) - 1])
    s.options[count(s.options) - 2] == "io.katacontainers.fs-opt.overlay-rw"
    layer_options_ok(c, array.slice(s.options, 1, count(s.options) - 2))
}

# Where the snapshotter keeps layers, by distribution and by runtime class
layer_source := "^io[.]katacontainers[.]fs-opt[.]layer-src-prefix=/var/lib/(containerd|rancher/(k3s|rke2)/agent/containerd)/io[.]containerd[.]snapshotter[.]v1[.]tardev[-0-9a-z]*(/layers)?$"

# One for each layer, in order
layer_options_ok(c, list) if {
    count([o | o := list[_]; not layer_option_ok(c, o)]) == 0
    ids := [split(base64.decode(substring(o, 31, -1)), ",")[0] | o := list[_]]
    ids == [l.id | l := c.layers[_]]
}

layer_options_ok(c, list) if {
    absent(c, "layers")
    distinct(list)
    count([o | o := list[_]; not layer_option_ok(c, o)]) == 0
}

overlay_place_ok(place) if {
    place == input.OCI.Root.Path
}

overlay_place_ok(place) if {
    input.OCI.Root.Path == concat("", [place, "/rootfs"])
}

layer_option_ok(c, option) if {
    startswith(option, "io.katacontainers.fs-opt.layer=")
    plain := base64.decode(substring(option, 31, -1))
    parts := split(plain, ",")
    count(parts) == 6
    array.slice(parts, 1, 5) == ["tar", "ro", "io.katacontainers.fs-opt.block_device=file",
        "io.katacontainers.fs-opt.is-layer"]
    named_layer_ok(c, parts[0], parts[5])
}

named_layer_ok(c, id, option) if {
    absent(c, "layers")
    regex.match("^[0-9a-f]{64}$", id)
    startswith(option, root_option)
}

named_layer_ok(c, id, option) if {
    l := c.layers[_]
    l.id == id
    option == concat("", [root_option, l.root])
}

lower_ok(c, option) if {
    option == concat("", ["lowerdir=", concat(":", [l.id | l := c.layers[_]])])
}

lower_ok(c, option) if {
    absent(c, "layers")
    regex.match("^lowerdir=[0-9a-f]{64}(:[0-9a-f]{64})*$", option)
}

# --- Devices: GPUs, each with its annotation, and disks of the pod's block volumes

devices_ok(c) if {
    is_array(input.devices)
    marked := {substring(k, 11, -1) | annotations[k]; startswith(k, "cdi.k8s.io/")}
    count(marked) == c.gpus
    count({v | v := annotations[k]; startswith(k, "cdi.k8s.io/")}) == c.gpus
    gpus := [d | d := input.devices[_]; gpu_ok(d)]
    disks := [d.container_path | d := input.devices[_]; block_ok(d)]
    count(gpus) + count(disks) == count(input.devices)
    plugged_ok(marked, gpus)
    same_set(object_or(c, "blocks", []), disks)
}

# Cold-plugged ones are with the machine from the start.
plugged_ok(marked, []) := true

plugged_ok(marked, gpus) if {
    count(gpus) == count(marked)
    {d.id | d := gpus[_]} == marked
}

gpu_ok(d) if {
    d.type_ == "vfio-pci-gk"
    d.vm_path == ""
    d.container_path == concat("", ["/dev/vfio/devices/", d.id])
    count(d.options) == 1
    regex.match("^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}[.][0-9a-f]=[0-9a-f]{2}/[0-9a-f]{2}$",
        d.options[0])
}

block_ok(d) if {
    block_types[d.type_]
    d.vm_path == ""
    d.options == []
    regex.match("^[0-9a-f][0-9a-f:./]{0,31}$", d.id)
}

block_types := {"blk", "scsi"}

nodes_ok(c, []) if {
    absent(c, "blocks")
}

nodes_ok(c, nodes) if {
    same_set(c.blocks, [n.Path | n := nodes[_]])
    count([n | n := nodes[_]; not node_ok(n)]) == 0
}

node_ok(n) if {
    n.Type == "b"
    in_range(n.Major, 0, 4095)
    in_range(n.Minor, 0, 1048575)
    in_range(n.FileMode, 0, 65535)
    in_range(n.UID, 0, 4294967295)
    in_range(n.GID, 0, 4294967295)
}
