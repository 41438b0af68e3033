"""The kernel's counters of processes and of the machine, read at a window's edges (R4, R13).

Invariant: CPU is that of the whole process tree with all threads, from the process CPU clocks (`/proc/PID/schedstat`
covers the first thread only; `cpu_percent` is a rate). Every counter is cumulative; a missing source gives -1.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CPUCLOCK_SCHED = 2
ESTABLISHED, CLOSE_WAIT = 0x01, 0x08
_LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def tree(pid: int) -> list[int]:
    """`pid` and all its live descendants."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for task in _listdir(f"/proc/{current}/task"):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{current}/task/{task}/children").read_text()
                waiting += [int(child) for child in text.split()]
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of the process tree of `pid` so far, ns: user and system, all threads."""
    total = 0
    for process in tree(pid):
        try:
            # clock_getcpuclockid(3): a process's CPU clock is named by its pid.
            total += time.clock_gettime_ns((~process << 3) | _CPUCLOCK_SCHED)
        except OSError:
            if process == pid:
                return -1
    return total


def memory_bytes(pid: int) -> int:
    """Proportional set size of the process tree (smaps_rollup)."""
    total = 0
    for process in tree(pid):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration):
            if process == pid:
                return -1
    return total


def resident_bytes(pid: int) -> int:
    """Resident set of the process tree: cheap enough for once a second. (A PSS walks all page tables: tens of ms.)"""
    total = 0
    for process in tree(pid):
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            if process == pid:
                return -1
    return total


def run_delay_ns(pid: int) -> int:
    """Time that the threads of the process tree of `pid` were ready to run and waited for a core, ns."""
    total, seen = 0, False
    for process in tree(pid):
        for task in _listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError, IndexError):
                total += int(Path(f"/proc/{process}/task/{task}/schedstat").read_text().split()[1])
                seen = True
    return total if seen else -1


SCHEDSTAT = Path("/proc/schedstat")
USAGE_PERCPU = Path("/sys/fs/cgroup/cpuacct/cpuacct.usage_percpu")


def running_ns(cores: Collection[int]) -> int:
    """Time that any task of this machine ran on these cores so far, ns; -1 where the kernel does not count it.

    /proc/schedstat (a kernel with CONFIG_SCHEDSTATS), or the root group's cpuacct.usage_percpu (cgroup v1).
    /proc/stat has it too, but sampled at timer ticks: too coarse for a share of 1 %.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        rows = (line.split() for line in SCHEDSTAT.read_text().splitlines() if line.startswith("cpu"))
        of = {int(row[0][3:]): int(row[7]) for row in rows}
        return sum(of[core] for core in cores) if of.keys() >= {*cores} else -1
    with contextlib.suppress(OSError, ValueError, IndexError):
        used = [int(word) for word in USAGE_PERCPU.read_text().split()]
        return sum(used[core] for core in cores)
    return -1


def cgroup_cpu_ns(path: str) -> int:
    """CPU time of a container's cgroup so far, ns: cpu.stat (cgroup v2) or cpuacct.usage (v1); -1 without either."""
    with contextlib.suppress(OSError, ValueError):
        lines = (Path(path) / "cpu.stat").read_text().splitlines()
        used = [int(line.split()[1]) * 1000 for line in lines if line.startswith("usage_usec ")]
        if used:
            return used[0]
    with contextlib.suppress(OSError, ValueError):
        return int((Path(path) / "cpuacct.usage").read_text())
    return -1


def cgroup_memory_bytes(path: str) -> int:
    """Memory of a container's cgroup, bytes: memory.current (v2), memory.usage_in_bytes (v1); -1 without either."""
    for name in ("memory.current", "memory.usage_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            return int((Path(path) / name).read_text())
    return -1


def listens(pid: int, port: int) -> bool:
    """Whether a socket listens on TCP `port` in the network namespace of `pid` (proc(5), net/tcp)."""
    with contextlib.suppress(OSError):
        return any(f[3] == _LISTEN and f[1].endswith(f":{port:04X}") for f in _tcp_sockets(pid))
    return False


def peers(pid: int, port: int) -> dict[str, int]:
    """The peers of a server's connections on TCP `port`, in the network namespace of `pid`, and the state of each
    (proc(5), net/tcp): ESTABLISHED, CLOSE_WAIT where the peer has closed and the server has not yet. Empty: not known.
    """
    with contextlib.suppress(OSError):
        ours = f":{port:04X}"
        return {f[2]: int(f[3], 16) for f in _tcp_sockets(pid) if f[1].endswith(ours) and f[3] != _LISTEN}
    return {}


def _tcp_sockets(pid: int) -> Iterator[list[str]]:
    """The fields of every TCP socket in the network namespace of `pid` (proc(5), net/tcp). Raises OSError."""
    texts = [Path(f"/proc/{pid}/net/tcp").read_text()]
    with contextlib.suppress(OSError):  # a kernel without IPv6
        texts.append(Path(f"/proc/{pid}/net/tcp6").read_text())
    return (line.split() for text in texts for line in text.splitlines()[1:])


def namespace(pid: int) -> int:
    """The number (inode) of a process's network namespace; 0: cannot be read."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


_NETWORK = {
    "listen_overflows": ("ListenOverflows",),
    "listen_drops": ("ListenDrops",),
    "retransmits": ("RetransSegs",),
    "segments": ("OutSegs",),
    "buffer_overruns": ("PruneCalled", "RcvPruned", "TCPRcvQDrop", "TCPBacklogDrop"),
}


def network(pid: int) -> dict[str, int]:
    """TCP's counters in the network namespace of `pid` (proc(5): net/netstat, net/snmp), summed by rtbench's names."""
    counters: dict[str, int] = {}
    for name in ("netstat", "snmp"):
        with contextlib.suppress(OSError, ValueError):
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
            for head, values in zip(lines[::2], lines[1::2], strict=False):
                if head.startswith(("Tcp:", "TcpExt:")):  # MPTcpExt has a RcvPruned of its own
                    counters |= dict(zip(head.split()[1:], map(int, values.split()[1:]), strict=False))
    return {ours: sum(counters.get(name, 0) for name in names) for ours, names in _NETWORK.items()}


def wire_bytes(pid: int, interface: str) -> int:
    """Bytes in and out of an interface in the network namespace of `pid`; -1 without that interface."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
            name, _, fields = line.partition(":")
            if name.strip() == interface:
                columns = [int(text) for text in fields.split()]
                return columns[0] + columns[8]
    return -1


def descriptors(pid: int) -> int:
    """Open descriptors of the process tree of `pid`; -1: cannot be read.

    Since Linux 6.2 the size of the folder is their number, so that thousands cost one call.
    """
    total = 0
    for process in tree(pid):
        folder = Path(f"/proc/{process}/fd")
        try:
            total += folder.stat().st_size or sum(1 for _ in folder.iterdir())
        except OSError:
            if process == pid:
                return -1
    return total


def descriptors_share(pid: int) -> float:
    """Open descriptors of a process as a share of its limit; -1: cannot be read."""
    try:
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        soft = next(line.split()[3] for line in limits if line.startswith("Max open files"))
        return len(_listdir(f"/proc/{pid}/fd")) / int(soft) if soft.isdigit() else 0.0
    except (OSError, StopIteration, ZeroDivisionError):
        return -1.0


def ports_share(pid: int) -> float:
    """Local ports in use in the network namespace of `pid`, TIME_WAIT included, as a share of all.

    Ports, not sockets: on loopback a connection has two sockets, and the server's end uses the listening port.
    """
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        taken = {int(fields[1].rpartition(":")[2], 16) for fields in _tcp_sockets(pid)}
        return sum(low <= port <= high for port in taken) / (high - low + 1)
    except (OSError, IndexError, ValueError):
        return -1.0


def throttles() -> int:
    """Thermal throttling events of all cores so far (thermal_throttle); 0 where the machine does not count them."""
    total = 0
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count"):
        with contextlib.suppress(OSError, ValueError):
            total += int(path.read_text())
    return total


_SOCKET_SLABS = (
    "TCP", "TCPv6", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq", "skbuff_head_cache",
    "skbuff_small_head", "skbuff_fclone_cache",
)  # fmt: skip


def kernel_memory_bytes() -> int:
    """Kernel memory of all sockets on this machine, bytes: slab objects and TCP buffers; -1 without root.

    It includes both ends of a loopback connection. (slabinfo(5); /proc/net/sockstat counts buffers in pages.)
    """
    try:
        total = 0
        for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
            name, active, _, size, *_ = line.split()
            if name in _SOCKET_SLABS:
                total += int(active) * int(size)
        fields = Path("/proc/net/sockstat").read_text().split("TCP:", 1)[1].split()
        return total + int(fields[fields.index("mem") + 1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return -1


def machine_ns() -> tuple[int, int]:
    """(busy, steal) of all cores, ns, to a clock tick. Busy: user, nice, system, irq and softirq."""
    try:
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return -1, -1
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = [*fields, *[0] * 8]
    return (user + nice + system + irq + softirq) * _TICK_NS, steal * _TICK_NS


def cores_of(pid: int) -> list[int]:
    """The cpus that the process may run on."""
    try:
        return sorted(os.sched_getaffinity(pid))
    except OSError:
        return []


def _listdir(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:
        return []
