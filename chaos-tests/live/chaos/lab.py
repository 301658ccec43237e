"""A network of hosts out of namespaces, and the faults of a network.

    h1 h2   h3 h4   h5          replicas and pods; host n has 10.9X.n.1 and whatever it is given
     br1     br2    br3         a bridge for two hosts
        \\     |     /
             core --- out       where owners, verifiers and the runner's own clients are
               |
              srv               name service and key service (10.9X.250.1)

All bridges lie in one more namespace, so nothing is seen of them outside. X is held by a file lock,
names carry the runner's process id: ct-PID-X-h1. close() removes everything; what a runner left
that was killed is removed when the next Lab is made. Programs run through `ip netns exec`, which
gives them the resolv.conf of their namespace.

What a fault does it does at the receiver's side, so a sender never gets an error of its own host.
Each fault gives back a function that ends it; faults may overlap, and each ends by itself.

Needs root, `ip` and `nft`; missing() says what lacks. Packets are slowed by `detour` (detour.c).

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import ctypes
import fcntl
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import harness  # noqa: E402
from dns import Dns  # noqa: E402

FIRST_NET, NETS = 90, 10
HOSTS_MAX = 40  # of a Lab; below the number of the service host
SERVICE = 250
LOCKS = "/tmp/contrast-lab"
OWNER = "CONTRAST_LAB"   # variable with the tag
BALLAST = ".ballast"  # fills a disk
CLONE_NEWNET = 0x40000000
FSPICK, FSCONFIG, RECONFIGURE, AT_FDCWD = 433, 431, 7, -100  # linux/mount.h, asm-generic/unistd.h
CGROUPS = "/sys/fs/cgroup"

_libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Why no Lab can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            return f"'{tool}' is not installed: run scripts/deps --test"
    name = f"ct-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if done.returncode != 0:
        return f"no network namespace can be made: {done.stderr.decode().strip()}"
    try:
        done = subprocess.run(["ip", "netns", "exec", name, "nft", "add", "table", "inet", "t"],
                              capture_output=True, check=False)
        if done.returncode != 0:
            return f"nftables do not work here: {done.stderr.decode().strip()}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
    return None


def need():
    """Ends a test program where no Lab can be made: skipped (77), with CI=true failed (1)."""
    why = missing()
    if why:
        print(f"no network of hosts: {why}", file=sys.stderr)
        sys.exit(1 if os.environ.get("CI") == "true" else 77)


def sh(*argv, data=None):
    """Runs a tool of the system; AssertionError with its words when it fails."""
    done = subprocess.run(argv, input=data, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr.strip()}\n{data or ''}")
    return done.stdout


def once(function):
    """A function that does its work at the first call alone."""
    lock, calls = threading.Lock(), []

    def call():
        with lock:
            if not calls:
                calls.append(True)
                function()
    return call


def together(begins):
    """Begins several faults; one function that ends all. When one cannot begin, none is left."""
    ends = []
    try:
        for begin in begins:
            ends.append(begin())
    except BaseException:
        for end in ends:
            end()
        raise
    return lambda: [end() for end in ends]


# --- Hosts

TABLE = """
table inet lab {
    set cut { type ipv4_addr; flags interval; }
    set refused { type ipv4_addr; flags interval; }
    set halved { type ipv4_addr; flags interval; }
    chain before {
        type filter hook prerouting priority -300;
        ip saddr @cut drop
    }
    chain born {
    }
    chain opened {
        type filter hook output priority -140;
        tcp flags & (syn | ack) == syn jump born
    }
    chain arrived {
        type filter hook prerouting priority -140;
        tcp flags & (syn | ack) == syn jump born
    }
    chain dead {
    }
    chain taken {
        type filter hook input priority 0;
        ip saddr @refused tcp flags & rst == 0 reject with tcp reset
        ip saddr @halved jump dead
    }
}
"""


class Host:
    """One namespace with one interface, eth0."""

    def __init__(self, lab, label, number):
        self.lab, self.label, self.number = lab, label, number
        self.netns = f"{lab.tag}-{label}"
        self.prefix = f"{lab.net}.{number}.0/24"
        self.last, self.second = 1, None
        self.address = f"{lab.net}.{number}.1"
        self.lock = threading.Lock()
        self.counts = {}  # (set, prefix) -> how many faults hold it there
        self.age = 1      # mark of the connections that are opened now

    def __repr__(self):
        return self.label

    def set_up(self, port):
        """`port` is the other end's name in the switch."""
        sh("ip", "netns", "add", self.netns)
        folder = f"/etc/netns/{self.netns}"
        os.makedirs(folder, exist_ok=True)
        harness.write(f"{folder}/resolv.conf",
                      f"nameserver {self.lab.net}.{SERVICE}.1\noptions timeout:2 attempts:2\n")
        sh("ip", "link", "add", "eth0", "netns", self.netns, "type", "veth", "peer", "name", port,
           "netns", self.lab.switch)
        self.ip("link", "set", "lo", "up")
        for name in ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.conf.all.rp_filter=0",
                     "net.ipv4.conf.eth0.rp_filter=0", "net.ipv4.ip_nonlocal_bind=1"):
            self.tool("sysctl", "-q", "-w", name)
        self.ip("addr", "add", f"{self.address}/16", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        self.nft(TABLE + self._marks())

    def ip(self, *args):
        return sh("ip", "-n", self.netns, *args)

    def tool(self, *argv, data=None):
        return sh("ip", "netns", "exec", self.netns, *argv, data=data)

    def nft(self, text):
        self.tool("nft", "-f", "-", data=text)

    def argv(self, argv):
        return ["ip", "netns", "exec", self.netns, *argv]

    # Programs

    def popen(self, argv, env=None, **options):
        """subprocess.Popen on this host. The process id is the program's."""
        return subprocess.Popen(self.argv(argv), env=self.env(env), **options)

    def env(self, more=None):
        """Variables of a program. One says whose it is, also before it is in the namespace."""
        return dict(os.environ, **{OWNER: self.lab.tag}, **(more or {}))

    def run(self, argv, env=None, log=None, cwd=None):
        """Starts a program; harness.Process with its output in a file of the Lab."""
        log = log or self.lab.log_path(f"{self.label}-{os.path.basename(argv[0])}")
        process = harness.Process(self.argv(argv), log, self.env(env), cwd or self.lab.dir)
        self.lab.processes.append(process)
        return process

    def call(self, argv, env=None, timeout=90, name=None):
        """Runs a command to its end; harness.Done. Its output is kept among the logs."""
        base = self.lab.log_path(name or f"{self.label}-{os.path.basename(argv[0])}", "")
        with open(base + ".out", "wb") as out, open(base + ".err", "wb") as err:
            child = subprocess.Popen(
                self.argv(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                cwd=self.lab.dir, env=self.env(env))
            try:
                code = child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                code = -signal.SIGKILL
        return harness.Done(code, *(harness.read(base + end).decode(errors="replace")
                                    for end in (".out", ".err")))

    @contextlib.contextmanager
    def inside(self):
        """This thread is on the host: sockets that it makes here stay there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(f"/run/netns/{self.netns}", os.O_RDONLY)
            try:
                _enter(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)

    def connect(self, address, port, timeout=5):
        """A TCP connection from this host."""
        with self.inside():
            return socket.create_connection((address, port), timeout)

    # Addresses

    def add_address(self):
        """One more address of this host."""
        with self.lock:
            return self.add_address_locked()

    def add_address_locked(self):
        self.last += 1
        address = f"{self.lab.net}.{self.number}.{self.last}"
        self.ip("addr", "add", f"{address}/16", "dev", "eth0")
        return address

    def spare(self):
        """A second address, always the same one, for a pod beside the host's own."""
        with self.lock:
            made = self.second or self.add_address_locked()
            self.second = made
        return made

    def remove_address(self, address):
        self.ip("addr", "del", f"{address}/16", "dev", "eth0")

    def readdress(self):
        """The host moves to another address; connections to the old one are dead."""
        old, self.address = self.address, self.add_address()
        with self.lock:
            self.ip("addr", "del", f"{old}/16", "dev", "eth0")
            if f"{self.address}/16" not in self.ip("-4", "addr", "show", "dev", "eth0"):
                self.ip("addr", "add", f"{self.address}/16", "dev", "eth0")
        return self.address

    # Sets of the table: who is kept out

    def hold(self, name, prefix):
        """Puts a prefix into a set; a function that takes it out, when nobody else holds it."""
        with self.lock:
            self.counts[name, prefix] = self.counts.get((name, prefix), 0) + 1
            if self.counts[name, prefix] == 1:
                self.nft(f"add element inet lab {name} {{ {prefix} }}")
        return once(lambda: self._let_go(name, prefix))

    def _let_go(self, name, prefix):
        with self.lock:
            self.counts[name, prefix] -= 1
            if self.counts[name, prefix] == 0 and self.lab.is_open:
                self.nft(f"delete element inet lab {name} {{ {prefix} }}")

    def _marks(self):
        return (f"flush chain inet lab born\nflush chain inet lab dead\n"
                f"add rule inet lab born ct mark set {self.age}\n"
                f"add rule inet lab dead meta l4proto tcp ct mark != {self.age} drop\n")

    def grow_older(self):
        """Connections that are opened from now on are told from those that are open."""
        with self.lock:
            self.age += 1
            self.nft(self._marks())


def _enter(handle):
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


# --- The network


class Lab:
    """Hosts 1 to `hosts`, and host `hosts` + 1, `outside`, for everybody else. Use it by `with`."""

    def __init__(self, hosts=5, folder=None):
        if not 1 <= hosts <= HOSTS_MAX:
            raise ValueError(f"{hosts} hosts: want 1 to {HOSTS_MAX}")
        remove_stale()
        self.is_open = True
        self.handle, self.x = _take_lock()
        self.tag = f"ct-{os.getpid()}-{self.x}"
        self.net = f"10.{FIRST_NET + self.x}"
        self.switch = f"{self.tag}-sw"
        self.is_own_folder = folder is None
        self.dir = folder or tempfile.mkdtemp(prefix=f"contrast-lab-{os.getpid()}.")
        self.logs = os.path.join(self.dir, "logs")
        os.makedirs(self.logs, exist_ok=True)
        self.lock = threading.Lock()
        self.count = 0
        self.processes, self.heals, self.mounts = [], [], []
        self.dns = None
        self.hosts = {}
        try:
            self._set_up(hosts)
        except BaseException:
            self.close()
            raise

    def _set_up(self, hosts):
        sh("ip", "netns", "add", self.switch)
        self._switch("link", "set", "lo", "up")
        self._bridge("core")
        self.bridges = {}  # number -> hosts on it
        for number in range(1, hosts + 1):
            at = (number + 1) // 2
            if at not in self.bridges:
                self.bridges[at] = []
                self._bridge(f"br{at}")
                self._switch("link", "add", f"up{at}", "type", "veth", "peer", "name", f"down{at}")
                self._plug(f"up{at}", f"br{at}")
                self._plug(f"down{at}", "core")
            self.bridges[at].append(number)
            self._add_host(number, f"h{number}", f"br{at}")
        self.outside = self._add_host(hosts + 1, "out", "core")
        self.service = self._add_host(SERVICE, "srv", "core")
        del self.hosts[SERVICE]
        self.replica_hosts = list(range(1, hosts + 1))
        with self.service.inside():
            self.dns = Dns(self.service.address)
        for host in self.hosts.values():
            self.dns.set(f"{host.label}.lab", host.address)

    def _switch(self, *args):
        return sh("ip", "-n", self.switch, *args)

    def _bridge(self, name):
        self._switch("link", "add", name, "type", "bridge", "mcast_snooping", "0")
        self._switch("link", "set", name, "up")

    def _plug(self, port, bridge):
        self._switch("link", "set", port, "master", bridge)
        self._switch("link", "set", port, "up")

    def _add_host(self, number, label, bridge):
        host = self.hosts[number] = Host(self, label, number)
        host.set_up(f"to-{label}")
        self._plug(f"to-{label}", bridge)
        return host

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends every program on the hosts and removes everything. May be called twice."""
        if not self.is_open:
            return
        self.heal()
        self.is_open = False
        end_all(self.processes)
        if self.dns:
            self.dns.close()
        for mount in self.mounts:
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        remove_all(self.tag)
        if self.is_own_folder and not os.environ.get("LIVE_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        elif self.is_own_folder:
            print(f"kept: {self.dir}")
        os.ftruncate(self.handle, 0)
        os.close(self.handle)

    def host(self, number):
        return self.hosts[number]

    def log_path(self, name, end=".log"):
        with self.lock:
            self.count += 1
            return os.path.join(self.logs, f"{self.count:05}-{name}{end}")

    # --- Faults. Hosts are given by number.

    def _keep(self, heal):
        def end():
            with self.lock:
                if kept in self.heals:
                    self.heals.remove(kept)
            heal()
        kept = once(end)
        with self.lock:
            self.heals.append(kept)
        return kept

    def heal(self):
        """Ends every fault of the network."""
        with self.lock:
            heals, self.heals = self.heals, []
        for heal in reversed(heals):
            heal()
        if self.dns:
            self.dns.be_good()

    def _hold_pairs(self, name, pairs):
        return self._keep(together(
            [lambda a=a, b=b: self.hosts[b].hold(name, self.hosts[a].prefix) for a, b in pairs]))

    def cut(self, a, b, one_way=False, how="drop"):
        """Nothing from host a reaches host b, and back unless one_way. how: "drop" is silence,
        "reset" answers every TCP packet with RST."""
        pairs = [(a, b)] if one_way else [(a, b), (b, a)]
        return self._hold_pairs({"drop": "cut", "reset": "refused"}[how], pairs)

    def partition(self, *groups, one_way=False, how="drop"):
        """Between the groups nothing passes. one_way: from the first to the others alone."""
        pairs = []
        for i, group in enumerate(groups):
            for other in groups[i + 1:]:
                for a in group:
                    for b in other:
                        pairs += [(a, b)] if one_way else [(a, b), (b, a)]
        return self._hold_pairs({"drop": "cut", "reset": "refused"}[how], pairs)

    def isolate(self, number, one_way=False, with_outside=True):
        """A host without the others. one_way: it hears nobody, but is heard."""
        others = [n for n in self.hosts if n != number
                  and (with_outside or n in self.replica_hosts)]
        pairs = [(n, number) for n in others]
        return self._hold_pairs("cut", pairs if one_way else
                                pairs + [(b, a) for a, b in pairs])

    def half_open(self, a, b):
        """Every TCP connection between the two that is open now is dead, silently and on both
        sides; new ones work. Those that still exist at the end of the fault go on."""
        for host in (self.hosts[a], self.hosts[b]):
            host.grow_older()
        return self._hold_pairs("halved", [(a, b), (b, a)])

    def bridge(self, number, up=False):
        """A bridge without power: its hosts are cut off from everybody, also from each other."""
        self._switch("link", "set", f"br{number}", "up" if up else "down")
        for host in self.bridges[number]:
            self._switch("link", "set", f"to-h{host}", "up" if up else "down")
        if up:
            return lambda: None
        return self._keep(lambda: self.bridge(number, up=True))

    def uplink(self, number, up=False):
        """The cable between a bridge and the core; its hosts reach each other still."""
        self._switch("link", "set", f"up{number}", "up" if up else "down")
        return (lambda: None) if up else self._keep(lambda: self.uplink(number, up=True))

    def flap(self, make, on_s=0.5, off_s=0.5):
        """Begins and ends a fault again and again. make() begins it and gives the end."""
        over = threading.Event()

        def turn():
            while not over.is_set():
                end = make()
                over.wait(on_s)
                end()
                over.wait(off_s)
        thread = threading.Thread(target=turn, daemon=True)
        thread.start()

        def stop():
            over.set()
            thread.join()
        return self._keep(stop)

    def slow(self, a, b, one_way=False, **how):
        """Packets between a and b go through `detour`. how: delay_ms, jitter_ms, rate_kbit,
        queue_kb, swallow_kb, stall_ms, period_ms; loss, reorder, duplicate (0..1): detour.c."""
        pairs = [(a, b)] if one_way else [(a, b), (b, a)]
        return self._keep(together([lambda x=x, y=y: self._detour(self.hosts[x], self.hosts[y], how)
                                    for x, y in pairs]))

    def _detour(self, host, to, how):
        with self.lock:
            self.count += 1
            device = f"slow{self.count}"
        program = detour_program()
        options = [word for name, value in sorted(how.items())
                   for word in (f"--{name.replace('_', '-')}", str(value))]
        log = self.log_path(f"detour-{host}-{to}")
        process = harness.Process(
            host.argv([program, "--device", device, "--out", "eth0", *options]), log, host.env())
        self.processes.append(process)

        def is_there():
            if not process.is_alive():
                raise AssertionError(f"detour ended: {process.text()}")
            return b"ready" in harness.read(log)
        harness.wait_until(is_there, 10, "the detour is there")
        host.ip("link", "set", device, "up", "mtu", "1500")
        host.ip("route", "add", to.prefix, "dev", device, "src", host.address)
        return once(process.end)  # the device and its route go with the process

    # --- Room on disks

    def disk(self, name, size_kb=256):
        """A file system of its own; fill() and read_only() of it are faults."""
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        sh("mount", "-t", "tmpfs", "-o", f"size={size_kb}k,mode=0700", f"contrast-{self.tag}", path)
        self.mounts.append(path)
        return Disk(self, path)


class Disk:
    """A small file system. Must be mounted before the programs that use it are started."""

    def __init__(self, lab, path):
        self.lab, self.path = lab, path

    def fill(self):
        """No byte is left."""
        ballast = os.path.join(self.path, BALLAST)
        with open(ballast, "ab", buffering=0) as f:
            size = 65536
            while size:
                try:
                    f.write(bytes(size))
                except OSError:
                    size //= 2
        return self.lab._keep(lambda: os.path.exists(ballast) and os.unlink(ballast))

    def read_only(self, seconds=5):
        """Nothing can be written. A file that is open for writing makes it wait."""
        end = time.monotonic() + seconds
        while not _reconfigure(self.path, b"ro"):
            if time.monotonic() > end:
                raise AssertionError(f"{self.path} cannot be made read-only: a file is open")
            time.sleep(0.02)
        return self.lab._keep(lambda: _reconfigure(self.path, b"rw"))

    def copy(self):
        """Its files, for restore()."""
        return {os.path.relpath(os.path.join(path, name), self.path):
                harness.read(os.path.join(path, name))
                for path, _, names in os.walk(self.path) for name in names}

    def restore(self, files):
        """The disk is as it was at copy(); nobody may use it meanwhile."""
        self.wipe()
        for name, data in files.items():
            full = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(full), mode=0o700, exist_ok=True)
            harness.write(full, data)
            os.chmod(full, 0o600)

    def wipe(self):
        """The disk is exchanged for an empty one."""
        for name in os.listdir(self.path):
            full = os.path.join(self.path, name)
            if os.path.isdir(full) and not os.path.islink(full):
                shutil.rmtree(full)
            else:
                os.unlink(full)


def _reconfigure(path, flag):
    """Changes the file system itself. mount(8) would change this mount of it, too, which whoever
    starts meanwhile would have for ever in a mount namespace of its own."""
    handle = _libc.syscall(FSPICK, AT_FDCWD, path.encode(), 1)
    if handle < 0:
        raise OSError(ctypes.get_errno(), f"fspick {path}")
    try:
        return (_libc.syscall(FSCONFIG, handle, 0, flag, None, 0) == 0
                and _libc.syscall(FSCONFIG, handle, RECONFIGURE, None, None, 0) == 0)
    finally:
        os.close(handle)


def detour_program():
    path = os.path.join(harness.BIN, "..", "test", "detour")
    if not os.path.exists(path):
        raise AssertionError(f"{path} is not there: build the target 'detour'")
    return path


# --- Ends


def end_all(processes, seconds=30):
    """SIGTERM to all, then SIGKILL to who is left; by id."""
    alive = [p for p in processes if p.is_alive()]
    for process in alive:
        process.signal(signal.SIGCONT)
        process.signal(signal.SIGTERM)
    end = time.monotonic() + seconds
    for process in alive:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.child.kill()
            process.child.wait()


def _take_lock():
    for x in range(NETS):
        handle = os.open(f"{LOCKS}-{x}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            continue
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return handle, x
    raise AssertionError(f"all {NETS} networks are in use ({LOCKS}-*.lock)")


def remove_stale():
    """Removes what runners left that are gone: they hold no lock any more, or do not live."""
    for x in range(NETS):
        try:
            handle = os.open(f"{LOCKS}-{x}.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pid = os.pread(handle, 32, 0).decode()
            if pid:
                _remove_runner(pid, f"ct-{pid}-{x}")
                os.ftruncate(handle, 0)
        except OSError:
            pass  # in use
        finally:
            os.close(handle)
    for pid, tag in _tags():
        if not os.path.exists(f"/proc/{pid}"):
            _remove_runner(pid, tag)


def _tags():
    """(process id, tag) of everything that carries one."""
    names = [os.path.basename(path) for path in
             glob.glob("/run/netns/ct-*") + glob.glob("/etc/netns/ct-*")]
    names += [line.split()[0] for line in harness.read("/proc/self/mounts", "r").splitlines()]
    found = (re.match(r"(?:contrast-)?(ct-(\d+)-\d+)(?:-|$)", name) for name in names)
    return {(match.group(2), match.group(1)) for match in found if match}


def _remove_runner(pid, tag):
    remove_all(tag)
    if not os.environ.get("LIVE_KEEP"):
        for folder in glob.glob(f"{tempfile.gettempdir()}/contrast-lab-{pid}.*"):
            shutil.rmtree(folder, ignore_errors=True)


def _programs(tag, spaces):
    """Processes in these namespaces, or with this tag in a variable; without zombies."""
    found = {int(pid) for name in spaces for pid in
             subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True,
                            check=False).stdout.split()}
    mark = f"{OWNER}={tag}".encode()
    for path in glob.glob("/proc/[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in harness.read(path).split(b"\0"):
                found.add(int(path.split("/")[2]))
    return found - {os.getpid()}


def remove_all(tag):
    """Processes, namespaces, mounts and control groups whose names begin with this tag."""
    spaces = [os.path.basename(p) for p in glob.glob(f"/run/netns/{tag}-*")]
    for _ in range(50):
        left = _programs(tag, spaces)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(0.02)
    for name in spaces:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    for line in harness.read("/proc/self/mounts", "r").splitlines():
        device, path = line.split()[:2]
        if device == f"contrast-{tag}":
            subprocess.run(["umount", "-l", path], capture_output=True, check=False)
    for folder in glob.glob(f"{CGROUPS}/*/{tag}-*") + glob.glob(f"{CGROUPS}/{tag}-*"):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
