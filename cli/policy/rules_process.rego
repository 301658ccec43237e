# Fourth part of the rules: processes, their variables, and the programs of probes and hooks.
#
# SPDX-License-Identifier: Apache-2.0

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

apparmor_ok(c, profile) if {
    c.apparmor == profile
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

# All of them are those that the node's kernel knows: older ones lack the newest.
caps_ok(c, given) if {
    count(c.caps) == 41
    given.Effective == given.Bounding
    given.Permitted == given.Bounding
    set := {g | g := given.Bounding[_]}
    count(set) == count(given.Bounding)
    wanted := {w | w := c.caps[_]}
    count(set - wanted) == 0
    count((wanted - set) - newest_caps) == 0
    given.Ambient == []
    given.Inheritable == []
}

newest_caps := {"CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_PERFMON"}

same_caps(wanted, given) if {
    same_set(wanted, given)
}

# Names of sets, and short names, stand in some of the agent's own test requests.
same_caps(wanted, ["$(default_caps)"]) if {
    partial
    wanted == default_caps
}

same_caps(wanted, ["$(privileged_caps)"]) if {
    partial
    count(wanted) == 41
}

same_caps(wanted, given) if {
    partial
    same_set([trim_prefix(w, "CAP_") | w := wanted[_]], given)
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
    kept := kept_env(c, given)
    names := {split(g, "=")[0] | g := kept[_]}
    count(names) == count(kept)
    wanted := {fill(e) | e := c.env[_]}
    own := {split(text(e), "=")[0] | e := c.env[_]}
    count([g | g := kept[_]; not wanted[g]; not open_env_ok(c, own, g)]) == 0
    services_ok({n | names[n]; startswith(n, "KUBERNETES_"); not own[n]; absent(c.openEnv, n)})
    all_there(c, own, kept)
}

# containerd leaves an image's variable where the pod sets it again; the last one counts.
kept_env(c, given) := given if {
    absent(c, "oldEnv")
}

kept_env(c, given) := kept if {
    old := {text(o) | o := c.oldEnv[_]}
    kept := [g | g := given[i]; not replaced(old, given, i)]
    count(given) - count(kept) <= count(old)
}

replaced(old, given, i) if {
    old[given[i]]
    start := concat("", [split(given[i], "=")[0], "="])
    count([j | startswith(given[j], start); j > i]) > 0
}

# The kubelet tells the API server's address in eight variables or not at all.
services_ok(names) if {
    count(names) == 0
}

services_ok(names) if {
    count(names) >= 8
}

all_there(c, own, given) if {
    partial
}

all_there(c, own, given) if {
    names := {split(g, "=")[0] | g := given[_]}
    count(own - names) == 0
    count([n | c.openEnv[n]; not names[n]]) == 0
    facts_agree(c, given)
}

# Two variables of one fact have one value.
facts_agree(c, given) if {
    forms := {[form, substring(g, count(n) + 1, -1)] |
        g := given[_]; n := split(g, "=")[0]; form := c.openEnv[n]; pod_forms[form]}
    count(forms) == count({f[0] | forms[f]})
}

open_env_ok(c, own, g) if {
    n := split(g, "=")[0]
    form := c.openEnv[n]
    value := substring(g, count(n) + 1, -1)
    regex.match(env_forms[form], value)
    fact_ok(form, value)
}

# Of objects: keys that older kubelets leave out, as they are no names.
open_env_ok(c, own, g) if {
    g == text(c.mayEnv[_])
}

open_env_ok(c, own, "HOSTNAME=$(host-name)") if {
    partial
}

open_env_ok(c, own, g) if {
    n := split(g, "=")[0]
    not own[n]
    absent(c.openEnv, n)
    service_ok(c, n)
    regex.match(service_env, g)
}

# Without state nothing is known of the pod when a probe runs.
open_env_ok(c, own, g) if {
    not has_state
    absent(input, "OCI")
    e := text(c.env[_])
    contains(e, "\u0001")
    startswith(e, concat("", [split(g, "=")[0], "="]))
}

service_ok(c, n) if {
    c.serviceLinks
}

# The API server's address is there always.
service_ok(c, n) if {
    startswith(n, "KUBERNETES_")
}

env_forms := {
    "host-ip": "^[0-9a-f.:]{2,39}$",
    "host-ips": "^[0-9a-f.:]{2,39}(,[0-9a-f.:]{2,39})*$",
    "pod-ip": "^[0-9a-f.:]{2,39}$",
    "pod-ips": "^[0-9a-f.:]{2,39}(,[0-9a-f.:]{2,39})*$",
    "node": "^[0-9a-z]([-0-9a-z.]{0,251}[0-9a-z])?$",
    "number": "^[0-9]{1,20}$",
    "any": "(?s)^.*$"
}

service_env := "^[A-Z][A-Z0-9_]*_(SERVICE_(HOST|PORT|PORT_[A-Z0-9_]+)|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)=(((tcp|udp|sctp)://)?([0-9]{1,3}([.][0-9]{1,3}){3}|[0-9a-f:]{2,39}|\\[[0-9a-f:]{2,39}\\])(:[0-9]{1,5})?|[0-9]{1,5}|tcp|udp|sctp)$"

# --- Programs of probes and hooks: in the container that they belong to, as its own process

ExecProcessRequest if {
    input.string_user == null
    no_ports
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
    is_running
}

exec_target_ok(i) if {
    partial
    known_index == i
}

exec_target_ok(i) if {
    not has_state
}

exec_process_ok(c, p) if {
    is_command(c, p.Args)
    same_or_open(c, "cwd", p.Cwd)
    exec_terminal_ok(c, p.Terminal)
    p.NoNewPrivileges == c.noNewPrivileges
    exec_oom_ok(p.OOMScoreAdj)
    p.Capabilities == null
    p.ConsoleSize == null
    p.SelinuxLabel == ""
    p.Rlimits == []
    p.ApparmorProfile == ""
    user_ok(c, p.User)
    env_ok(c, p.Env)
}

# The kubelet asks for no terminal, whatever the container has.
exec_terminal_ok(c, false) := true

exec_terminal_ok(c, terminal) if {
    terminal == c.tty
}

is_command(c, args) if {
    command := c.commands[_]
    args == [fill(a) | a := command[_]]
}

# --- Texts

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

# "=NAME": the request's own value of an open variable, which env_ok holds against its form.
filled_part(i, x) := value if {
    i % 2 == 1
    startswith(x, "=")
    start := concat("", [substring(x, 1, -1), "="])
    given := [substring(e, count(start), -1) | e := given_env[_]; startswith(e, start)]
    value := given[count(given) - 1]
}

# The request's own, when it is right.
pod_values["host"] := name if {
    name := given_hosts[0]
    host_ok(name)
}

given_hosts := [substring(e, 9, -1) | e := given_env[_]; startswith(e, "HOSTNAME=")]

given_env := input.OCI.Process.Env

given_env := input.process.Env if {
    absent(input, "OCI")
}

pod_values["name"] := pod_fact("p:name")

pod_values["namespace"] := pod_fact("p:namespace")

pod_values["uid"] := pod_fact("p:uid")
