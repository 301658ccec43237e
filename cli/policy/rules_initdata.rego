# Last part of the rules, profile "initdata": the policy is part of a measured document. The guest
# pulls images itself and checks them against the digest in their name, so there must be one.
#
# SPDX-License-Identifier: Apache-2.0

image_counts_ok(c, 1, 0, 0) := true

pulled_by_ok(name) if {
    regex.match("^[^@]+@sha256:[0-9a-f]{64}$", name)
}

pulled_by_ok(name) if {
    partial
}
