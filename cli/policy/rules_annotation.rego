# Last part of the rules, profile "annotation": the policy is an annotation of its own. The guest gets
# an image as layers, each bound by its dm-verity root hash, or pulls it by a name of the pod's.
#
# SPDX-License-Identifier: Apache-2.0

image_counts_ok(c, 1, 0, 0) := true

# What is not read is bound by its name alone. The sandbox has none.
image_counts_ok(c, 0, layers, 1) if {
    layers > 0
    absent(c, "layers")
    not c.sandbox
}

image_counts_ok(c, 0, layers, 1) if {
    layers == count(c.layers)
}

pulled_by_ok(name) := true

# Where shims put an overlay of layers
root_path_ok(path) if {
    input.storages[_].fstype == "fuse3.kata-overlay"
    path == overlay_places[_]
}

overlay_places := [concat("", [f, bundle, end]) | f := overlay_folders[_]; end := ["", "/rootfs"][_]]

overlay_folders := ["/run/kata-containers/", "/run/kata-containers/shared/containers/"]
