"""The machine's cpus, its physical cores, and the cpus that this process may use.

Invariant: a missing or malformed file gives the default (every cpu a core of its own, one type, one node), never an
error. `root` stands for /, so that tests can invent machines. Called by placement, doctor and fingerprint.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

Cores = tuple[int, ...]
"""Logical cpus by the kernel's numbers, rising (a core with two threads has two)."""

ROOT = Path("/")
_SAME_TYPE = 0.9
"""Two cpus are of one type when their top speeds differ by less than this: favoured cores are a few % faster."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """A logical cpu. `core`: the lowest cpu of its physical core; `kind`: its core's type, 0: the fastest."""

    number: int
    core: int
    package: int = 0
    node: int = 0
    kind: int = 0


@dataclass(frozen=True, slots=True)
class Topology:
    """A machine's cpus, the cpus that this process may run on, and its cgroup's quota."""

    cpus: tuple[Cpu, ...]
    allowed: Cores
    quota: float | None = None
    """In cpus, such as 1.5; None without a limit."""

    def physical(self, allowed: bool = True) -> tuple[tuple[Cpu, ...], ...]:
        """The physical cores as tuples of cpus, by their first cpu; `allowed`: only usable cpus."""
        cores: dict[int, tuple[Cpu, ...]] = {}
        for cpu in self.cpus:
            if not allowed or cpu.number in self.allowed:
                cores[cpu.core] = (*cores.get(cpu.core, ()), cpu)
        return tuple(cores.values())

    def kinds(self, allowed: bool = True) -> Cores:
        """The number of physical cores of each type, the fastest type first."""
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
    """The type of each cpu: named by a hybrid Intel, else derived from the top speed that the kernel reports."""
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
    """The smallest cpu quota of this process's cgroup and its ancestors (v2: cpu.max, v1: cpu.cfs_quota_us)."""
    limits = [limit for group in _groups(root) for limit in _limits(group)]
    return min(limits, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's cpu cgroup and its visible ancestors."""
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
    """The cpus of a list in the kernel's format, `0-2,5`; empty for any other text."""
    found: set[int] = set()
    try:
        for part in words.split(",") if words else ():
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        return ()
    return tuple(sorted(found))


def listed(cpus: Iterable[int]) -> str:
    """The inverse of `cpu_list`: `0-2,5`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def text(path: Path) -> str:
    """The text of a file of /sys or /proc; empty when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _whole(words: str, otherwise: int) -> int:
    try:
        return int(words)
    except ValueError:
        return otherwise
