"""Which cpus this machine has, which of them are one physical core, and what this process may use of them.

Invariant: a file that is missing or makes no sense gives the plain answer (every cpu a core of its own, one type, one
node), never an error. Read from a root folder, so that tests can make machines up. Used by placement, doctor and
fingerprint.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

Cores = tuple[int, ...]
"""Numbers of cpus as the kernel counts them (logical cpus: a core with two threads is two), rising."""

ROOT = Path("/")
_SAME_TYPE = 0.9
"""A cpu whose greatest speed is at least this share of another's is of its type: favoured cores are a few % faster."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """A logical cpu. `core`: the lowest cpu of its physical core; `kind`: its core's type, 0 is the fastest."""

    number: int
    core: int
    package: int = 0
    node: int = 0
    kind: int = 0


@dataclass(frozen=True, slots=True)
class Topology:
    """A machine's cpus, those that this process may run on, and how many cpus of time its cgroup gives it."""

    cpus: tuple[Cpu, ...]
    allowed: Cores
    quota: float | None = None
    """In cpus: 1.5 is one and a half; None without a limit."""

    def physical(self, allowed: bool = True) -> tuple[tuple[Cpu, ...], ...]:
        """The physical cores, each as its cpus, in the order of their first ones; `allowed`: only what may be used."""
        cores: dict[int, tuple[Cpu, ...]] = {}
        for cpu in self.cpus:
            if not allowed or cpu.number in self.allowed:
                cores[cpu.core] = (*cores.get(cpu.core, ()), cpu)
        return tuple(cores.values())

    def kinds(self, allowed: bool = True) -> Cores:
        """How many physical cores there are of each type, the fastest type first."""
        kinds = [core[0].kind for core in self.physical(allowed)]
        return tuple(kinds.count(kind) for kind in sorted(set(kinds)))


def read(root: Path = ROOT, allowed: Iterable[int] | None = None) -> Topology:
    """This machine's topology; `root` stands for / and `allowed` for the caller's affinity."""
    usable = tuple(sorted(os.sched_getaffinity(0) if allowed is None else allowed))
    folder = root / "sys/devices/system/cpu"
    numbers = sorted({*cpu_list(text(folder / "online")), *usable})
    kinds = _kinds(root, numbers)
    nodes = {
        number: int(path.name.removeprefix("node"))
        for path in (root / "sys/devices/system/node").glob("node[0-9]*")
        for number in cpu_list(text(path / "cpulist"))
    }
    cpus = []
    for number in numbers:
        shape = folder / f"cpu{number}" / "topology"
        siblings = cpu_list(text(shape / "core_cpus_list") or text(shape / "thread_siblings_list"))
        package = max(0, _whole(text(shape / "physical_package_id"), 0))
        cpus.append(Cpu(number, min({number, *siblings}), package, nodes.get(number, 0), kinds[number]))
    return Topology(tuple(cpus), usable, _quota(root))


def _kinds(root: Path, numbers: list[int]) -> dict[int, int]:
    """The type of each cpu: what a hybrid Intel names, or else by the greatest speed that the kernel knows."""
    fast, slow = (cpu_list(text(root / "sys/devices" / name / "cpus")) for name in ("cpu_core", "cpu_atom"))
    if fast and slow:
        return {number: int(number not in fast) for number in numbers}
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        speeds = {n: _whole(text(root / f"sys/devices/system/cpu/cpu{n}" / name), -1) for n in numbers}
        if min(speeds.values(), default=-1) < 0:
            continue
        tops: list[int] = []
        for speed in sorted(set(speeds.values()), reverse=True):
            if not tops or speed < _SAME_TYPE * tops[-1]:
                tops.append(speed)
        if len(tops) > 1:
            return {n: sum(speed < _SAME_TYPE * top for top in tops) for n, speed in speeds.items()}
    return dict.fromkeys(numbers, 0)


def _quota(root: Path) -> float | None:
    """The least cpu quota of this process's cgroup and all above it (cpu.max of v2, cpu.cfs_quota_us of v1)."""
    limits = [limit for group in _groups(root) for limit in _limits(group)]
    return min(limits, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's cpu cgroup and of those above it, as far as they can be seen from here."""
    mounted = root / "sys/fs/cgroup"
    for line in text(root / "proc/self/cgroup").splitlines() or ["0::/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        inner = Path(*(part for part in path.split("/") if part not in ("", "..")))
        for top in {mounted / controllers, mounted / "cpu"} if controllers else (mounted, mounted / "unified"):
            yield from (top / inner / "x").parents[: len(inner.parts) + 1]


def _limits(group: Path) -> Iterator[float]:
    with contextlib.suppress(ValueError, ZeroDivisionError):
        allowance, _, period = text(group / "cpu.max").partition(" ")
        yield int(allowance) / int(period)
    quota, period_us = (_whole(text(group / f"cpu.cfs_{name}_us"), -1) for name in ("quota", "period"))
    if quota > 0 and period_us > 0:
        yield quota / period_us


def cpu_list(words: str) -> Cores:
    """The cpus of a list as the kernel writes it, `0-2,5`; none when it is no such list."""
    found: set[int] = set()
    try:
        for part in words.split(",") if words else ():
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        return ()
    return tuple(sorted(found))


def listed(cpus: Iterable[int]) -> str:
    """The same the other way: `0-2,5`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def text(path: Path) -> str:
    """What a file of /sys or /proc says; nothing when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _whole(words: str, otherwise: int) -> int:
    try:
        return int(words)
    except ValueError:
        return otherwise
