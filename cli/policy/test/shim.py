"""Requests as containerd and Kata's shim send them, for tests that judge policies.

create(pod, container): a CreateContainerRequest. pod: {"name", "namespace", "uid", "id", "hostname"},
all with defaults. container: what the YAML and its image say, each with a default:

    name ("" = the sandbox), id, image, args, env, cwd, uid, gid, gids, caps, tty, readonly,
    escalate, privileged, mounts (more of them), storages (more of them), sysctls, oom,
    containerd ("1.6", "1.7", "2.1"), pull ("guest" or a list of layers {"id", "root"}), devices,
    nodes, annotations (more), services, token, tasks (containerd's folder), propagation, apparmor

of_policy(entry, pod): the container of an entry of policy_data, for the requests that must come
before the one that is judged. SPDX-License-Identifier: Apache-2.0
"""
import base64
import hashlib
import json

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPS = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
]
SERVICES = [
    "KUBERNETES_SERVICE_HOST=10.96.0.1",
    "KUBERNETES_SERVICE_PORT=443",
    "KUBERNETES_SERVICE_PORT_HTTPS=443",
    "KUBERNETES_PORT=tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO=tcp",
    "KUBERNETES_PORT_443_TCP_PORT=443",
    "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
]
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
]
MASKED_NEWER = [
    "/proc/interrupts",
    "/sys/devices/virtual/powercap",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
VERSIONS = {"1.6": "1.0.2-dev", "1.7": "1.1.0", "2.1": "1.2.1"}
BASIC = [
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/dev/shm", "bind", "/run/kata-containers/sandbox/shm", "rbind"),
]
TASKS = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/"
UID = "3b7c1d6e-52f4-4a0e-9c55-0d1f8a2b6c33"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def with_defaults(pod):
    full = {"name": "web", "namespace": "default", "uid": UID}
    full.update(pod)
    full.setdefault("id", digest("sandbox " + full["name"]))
    full.setdefault("hostname", full["name"][:63].rstrip("-."))
    full.setdefault("netns", "/var/run/netns/cni-7c1e5f04-31aa-9d02-4b6e-55d0c1a2b3c4")
    return full


def mount(place, kind, source, options):
    return {
        "destination": place,
        "type_": kind,
        "source": source,
        "options": options.split(",") if options else [],
    }


def shared(container_id, place, options="rbind,rprivate,rw"):
    """A file or folder of the host that the shim copies into the guest."""
    name = "%s-%s-%s" % (container_id, digest(place)[:16], place.rsplit("/", 1)[-1])
    return mount(place, "bind", "/run/kata-containers/shared/containers/" + name, options)


def mounts_of(container):
    found = [mount(*row) for row in BASIC]
    if not container["name"]:
        found.append(mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"))
        found.append(shared(container["id"], "/etc/resolv.conf", "rbind,ro,nosuid,nodev,noexec"))
    else:
        ro = "" if container.get("privileged") else ",ro"
        files = "rbind,rprivate,ro" if container.get("readonly") else "rbind,rprivate,rw"
        found.append(mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev" + ro))
        found.append(
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime" + ro)
        )
        found.append(shared(container["id"], "/etc/hosts"))
        found.append(shared(container["id"], "/etc/hostname", files))
        found.append(shared(container["id"], "/etc/resolv.conf", files))
        found.append(shared(container["id"], "/dev/termination-log"))
        if container.get("token", True):
            place = "/var/run/secrets/kubernetes.io/serviceaccount"
            found.append(shared(container["id"], place, "rbind,rprivate,ro"))
    for entry in container.get("mounts", []):
        found = [m for m in found if m["destination"] != entry["destination"]]
        if "source" in entry:
            found.append(dict(entry, type_=entry.get("type_", "bind")))
        else:
            found.append(shared(container["id"], entry["destination"], ",".join(entry["options"])))
    return found


def annotations_of(pod, container, containerd):
    kind = "container" if container["name"] else "sandbox"
    found = {
        "io.katacontainers.pkg.oci.bundle_path": container.get("tasks", TASKS) + container["id"],
        "io.katacontainers.pkg.oci.container_type": "pod_" + kind,
        "io.kubernetes.cri.container-type": kind,
        "io.kubernetes.cri.sandbox-id": pod["id"],
        "io.kubernetes.cri.sandbox-name": pod["name"],
        "io.kubernetes.cri.sandbox-namespace": pod["namespace"],
        "io.kubernetes.cri.sandbox-uid": pod["uid"],
    }
    if container["name"]:
        found["io.kubernetes.cri.container-name"] = container["name"]
        found["io.kubernetes.cri.image-name"] = container["image"]
    else:
        found["io.kubernetes.cri.sandbox-log-directory"] = "/var/log/pods/%s_%s_%s" % (
            pod["namespace"],
            pod["name"],
            pod["uid"],
        )
        found["nerdctl/network-namespace"] = pod["netns"]
        found.update(
            {
                "io.kubernetes.cri.sandbox-cpu-period": "100000",
                "io.kubernetes.cri.sandbox-cpu-quota": "0",
                "io.kubernetes.cri.sandbox-cpu-shares": "102",
                "io.kubernetes.cri.sandbox-memory": "0",
            }
        )
        if containerd == "2.1":
            found["io.kubernetes.cri.podsandbox.image-name"] = "registry.k8s.io/pause:3.10"
            found["io.containerd.cri.runtime-handler"] = "contrast-cc"
    found.update(container.get("annotations", {}))
    return found


def image_of(container, annotations, root):
    """Pulled in the guest, or one device for each layer, the upmost first, and an overlay."""
    storage = {"driver_options": [], "fs_group": None, "shared": False}
    layers = container.get("pull", "guest")
    if layers == "guest":
        option = json.dumps({"metadata": annotations}, separators=(",", ":"), sort_keys=True)
        return [
            dict(
                storage,
                driver="image_guest_pull",
                driver_options=["image_guest_pull=" + option],
                fstype="overlay",
                mount_point=root,
                options=[],
                source=container["image"] if container["name"] else "pause",
            )
        ]
    form = "io.katacontainers.fs-opt."
    marks = ["ro", form + "block_device=file", form + "is-layer"]
    found = [
        dict(
            storage,
            driver="blk",
            fstype="tar",
            source="0%d" % i,
            options=marks + [form + "root-hash=" + layer["root"]],
            mount_point="/run/kata-containers/sandbox/layers/" + layer["id"],
        )
        for i, layer in enumerate(layers)
    ]
    texts = [
        ",".join([layer["id"], "tar"] + marks + [form + "root-hash=" + layer["root"]])
        for layer in layers
    ]
    options = [
        form + "layer-src-prefix=/var/lib/containerd/io.containerd.snapshotter.v1.tardev/layers"
    ]
    options += [form + "layer=" + base64.b64encode(t.encode()).decode() for t in texts]
    options += [form + "overlay-rw", "lowerdir=" + ":".join(layer["id"] for layer in layers)]
    return found + [
        dict(
            storage,
            driver="overlayfs",
            fstype="fuse3.kata-overlay",
            source="none",
            options=options,
            mount_point=root,
        )
    ]


def linux_of(pod, container, containerd):
    is_open = container.get("privileged", False)
    memory = {
        "DisableOOMKiller": False,
        "Kernel": 0,
        "KernelTCP": 0,
        "Limit": 0,
        "Reservation": 0,
        "Swap": 0,
        "Swappiness": 0,
    }
    cpu = {
        "Cpus": "",
        "Mems": "",
        "Period": 100000,
        "Quota": 0,
        "RealtimePeriod": 0,
        "RealtimeRuntime": 0,
        "Shares": 2,
    }
    slice_name = "kubepods-besteffort-pod%s.slice:cri-containerd:%s" % (
        pod["uid"].replace("-", "_"),
        container["id"],
    )
    return {
        "CgroupsPath": slice_name,
        "Devices": container.get("nodes", []),
        "GIDMappings": [],
        "UIDMappings": [],
        "IntelRdt": None,
        "MountLabel": "",
        "RootfsPropagation": container.get("propagation", ""),
        "Seccomp": None,
        "MaskedPaths": [] if is_open else MASKED + (MASKED_NEWER if containerd == "2.1" else []),
        "ReadonlyPaths": [] if is_open else list(READONLY),
        "Namespaces": [{"Type": t, "Path": ""} for t in ("ipc", "uts", "mount")],
        "Sysctl": container.get("sysctls", {}),
        "Resources": {
            "BlockIO": None,
            "Devices": [],
            "HugepageLimits": [],
            "Network": None,
            "Pids": None,
            "CPU": cpu,
            "Memory": memory if container["name"] else None,
        },
    }


def process_of(pod, container):
    is_sandbox = not container["name"]
    env = container.get("env", [PATH])
    if not is_sandbox:
        names = {e.split("=")[0] for e in env}
        env = env + ["HOSTNAME=" + pod["hostname"]] * ("HOSTNAME" not in names)
        env = env + container.get("services", SERVICES)
    caps = container.get("caps", CAPS)
    uid = container.get("uid", 65535 if is_sandbox else 0)
    gid = container.get("gid", 65535 if is_sandbox else 0)
    return {
        "ApparmorProfile": container.get(
            "apparmor", "" if is_sandbox else "cri-containerd.apparmor.d"
        ),
        "Args": container.get("args", ["/pause"]),
        "ConsoleSize": None,
        "Cwd": container.get("cwd", "/"),
        "Env": env,
        "Capabilities": {
            "Ambient": [],
            "Inheritable": [],
            "Bounding": list(caps),
            "Effective": list(caps),
            "Permitted": list(caps),
        },
        "NoNewPrivileges": is_sandbox or not container.get("escalate", True),
        "Rlimits": [],
        "SelinuxLabel": "",
        "OOMScoreAdj": -998 if is_sandbox else container.get("oom", 1000),
        "Terminal": container.get("tty", False),
        "User": {
            "UID": uid,
            "GID": gid,
            "AdditionalGids": container.get("gids", [gid]),
            "Username": "",
        },
    }


def create(pod, container):
    pod = with_defaults(pod)
    container = dict(container)
    container.setdefault("name", "")
    container.setdefault(
        "id", digest("container " + container["name"]) if container["name"] else pod["id"]
    )
    container.setdefault("image", "")
    containerd = container.get("containerd", "1.7")
    annotations = annotations_of(pod, container, containerd)
    root = "/run/kata-containers/%s/rootfs" % container["id"]
    oci = {
        "Annotations": annotations,
        "Hooks": None,
        "Hostname": "" if container["name"] else pod["hostname"],
        "Linux": linux_of(pod, container, containerd),
        "Mounts": mounts_of(container),
        "Process": process_of(pod, container),
        "Root": {"Path": root, "Readonly": container.get("readonly", not container["name"])},
        "Solaris": None,
        "Version": VERSIONS[containerd],
        "Windows": None,
    }
    return {
        "OCI": oci,
        "container_id": container["id"],
        "exec_id": container["id"],
        "devices": container.get("devices", []),
        "sandbox_pidns": False,
        "shared_mounts": [],
        "stderr_port": 0,
        "stdin_port": 0,
        "stdout_port": 0,
        "string_user": None,
        "storages": image_of(container, annotations, root) + container.get("storages", []),
    }


def execute(pod, container, args):
    """A program that the kubelet runs in a container."""
    request = create(pod, container)
    changes = {"Args": args, "Capabilities": None, "ApparmorProfile": "", "OOMScoreAdj": 0}
    process = dict(request["OCI"]["Process"], Terminal=False, **changes)
    return {
        "container_id": request["container_id"],
        "exec_id": "5f0c6a1e-0b6d-4b83-8d10-2a9f0c64e7b1",
        "process": process,
        "stderr_port": 0,
        "stdin_port": 0,
        "stdout_port": 0,
        "string_user": None,
    }


# --- From a policy

OPEN = {
    "pod-ip": "10.244.0.7",
    "pod-ips": "10.244.0.7",
    "host-ip": "192.168.1.4",
    "host-ips": "192.168.1.4",
    "node": "node-1",
    "number": "1",
    "any": "",
}


def text_of(text, pod):
    text = text if isinstance(text, str) else "".join(text)
    for key, name in (
        ("host", "hostname"),
        ("name", "name"),
        ("namespace", "namespace"),
        ("uid", "uid"),
    ):
        text = text.replace("\x01%s\x01" % key, pod[name])
    return text


def volume_of(entry, pod):
    """(source, storages) of a volume of the guest, None for other mounts."""
    storage = {"driver_options": [], "fs_group": None, "options": [], "shared": True}
    if entry["from"] == "empty":
        place = "/run/kata-containers/shared/containers/%s/rootfs/local/%s" % (
            pod["id"],
            entry["volume"],
        )
        return place, [
            dict(
                storage,
                driver="local",
                fstype="local",
                source="local",
                options=["mode=0777"],
                mount_point=place,
            )
        ]
    if entry["from"] in ("memory", "hugepages"):
        place = "/run/kata-containers/sandbox/ephemeral/" + entry["volume"]
        if entry["from"] == "memory":
            return place, [
                dict(storage, driver="ephemeral", fstype="tmpfs", source="tmpfs", mount_point=place)
            ]
        return place, [
            dict(
                storage,
                driver="ephemeral",
                fstype="hugetlbfs",
                source="nodev",
                mount_point=place,
                options=["pagesize=2097152,size=4194304"],
            )
        ]
    return None, []


def of_policy(entry, pod):
    pod = with_defaults(pod)
    found = {
        "name": entry["name"],
        "args": [text_of(a, pod) for a in entry.get("args", [])],
        "sysctls": entry["sysctls"],
        "env": [text_of(e, pod) for e in entry["env"]],
        "cwd": entry.get("cwd", "/"),
        "uid": entry.get("uid", 0),
        "gid": entry.get("gid", 0),
        "caps": entry["caps"],
        "tty": entry["tty"],
        "readonly": entry["readonlyRoot"],
        "escalate": not entry["noNewPrivileges"],
        "privileged": entry["privileged"],
        "mounts": [],
        "storages": [],
    }
    found["env"] += ["%s=%s" % (n, OPEN[form]) for n, form in entry["openEnv"].items()]
    found["gids"] = entry.get("gids", [found["gid"]])
    found["propagation"] = entry.get("rootPropagation", "")
    if entry.get("apparmor"):
        found["apparmor"] = entry["apparmor"]
    if entry["name"]:
        found["image"] = entry["images"][-1]
        found["pull"] = entry.get("layers", "guest")
        usual = {m["destination"] for m in mounts_of(dict(found, id="x"))}
        for m in entry["mounts"]:
            source, storages = volume_of(m, pod)
            if m["at"] not in usual and not (m.get("optional") and m["from"] == "shared"):
                place = {"destination": m["at"], "options": m["options"]}
                found["mounts"].append(dict(place, source=source) if source else place)
                found["storages"] += storages
    return found
