"""Which cpus the server, the load processes and the publisher of a trial run on (R11).

Invariant: `place` is pure: the same topology and the same [place] give the same answer; the server and the load share
a physical core only where there is one for both, or where [place] puts them there. Called by the commands that measure
and by the doctor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from rtbench.errors import UserError
from rtbench.machine.topology import Cores, Cpu, Topology, cpu_list, listed, read
from rtbench.scenario.tables import PlaceTable

ROLES = ("server", "load", "publisher")
SAME_CPU, SAME_CORE = "the same cpu", "hyperthreads of one core"

Core = tuple[Cpu, ...]
"""A physical core: those of its cpus that may be used."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Two roles that have a physical core in common; `how`: `SAME_CPU` or `SAME_CORE`."""

    roles: tuple[str, str]
    how: str


@dataclass(frozen=True, slots=True)
class Place:
    """Which cpus the processes of a trial run on, and which roles have a physical core in common."""

    server: Cores
    load: Cores
    publisher: Cores
    shared: tuple[Shared, ...] = ()

    @classmethod
    def here(cls, table: PlaceTable | None = None) -> Place:
        """The placement on this machine, for the process that asks. Raises UserError for a [place] that cannot be."""
        return place(read(), table or PlaceTable())

    def of(self, role: str) -> dict[str, Any]:
        """A role's cpus, and which other roles have a physical core in common with it and how: for the manifest."""
        others = {
            other: pair.how for pair in self.shared if role in pair.roles for other in pair.roles if other != role
        }
        return {"cores": list(getattr(self, role)), "shares_core_with": others}


class Caution(NamedTuple):
    """What a placement costs and what to do about it. `server`: whether the server is touched by it."""

    kind: str
    message: str
    remedy: str
    server: bool


def place(topology: Topology, table: PlaceTable) -> Place:
    """Where each role runs. Raises UserError where [place] names a cpu that is not there or may not be used.

    The server has a physical core of its own. The load has the others of its type and node, one cpu of each, and no
    more than the cgroup's quota can keep busy. The publisher needs little: it has a core of its own where one is left,
    of another type or node if need be, and is beside the load where none is.
    """
    server, load, publisher = (_named(topology, role, getattr(table, role)) for role in ROLES)
    cores = topology.physical()
    home = _home([core for core in cores if not _meet(core, publisher)] or cores)
    if server or load:
        home = next(core[0] for core in cores if _meet(core, server or load))
    server = server or _one(cores, home, (load, publisher))
    alike = [
        core[0].number
        for core in cores
        if (core[0].kind, core[0].node) == (home.kind, home.node) and not _meet(core, (*server, *load, *publisher))
    ]
    if not load and not publisher and len(alike) > 1:
        publisher = (alike.pop(0),)
    if not load:
        most = None if topology.quota is None else max(1, int(topology.quota) - len(server) - 1)
        load = tuple(alike[:most]) or _one(cores, home, (server, publisher))
    publisher = publisher or _one(cores, home, (server, load))
    return Place(server, load, publisher, tuple(_shared(cores, (server, load, publisher))))


def _home(cores: Sequence[Core]) -> Cpu:
    """Where the server goes: the fastest type and node that has a core for the load too, and at best the publisher."""
    groups: dict[tuple[int, int], list[Core]] = {}
    for core in cores:
        groups.setdefault((core[0].kind, core[0].node), []).append(core)
    kind, node = min(groups, key=lambda key: (len(groups[key]) < 2, key[0], len(groups[key]) < 3, key[1]))
    return groups[kind, node][0][0]


def _one(cores: Sequence[Core], home: Cpu, others: tuple[Cores, Cores]) -> Cores:
    """A cpu that is apart from these roles, the first of them above all, and then as near to `home` as can be."""
    core = min(
        cores,
        key=lambda core: (
            *(_meet(core, other) for other in others),
            core[0].core != home.core,
            (core[0].kind, core[0].node) != (home.kind, home.node),
            core[0].kind != home.kind,
            core[0].kind,
        ),
    )
    return (min(core, key=lambda cpu: [cpu.number in other for other in others]).number,)


def _meet(core: Core, cpus: Cores) -> bool:
    return any(cpu.number in cpus for cpu in core)


def _shared(cores: Sequence[Core], placed: tuple[Cores, ...]) -> Iterator[Shared]:
    for (one, these), (other, those) in combinations(zip(ROLES, placed, strict=True), 2):
        if set(these) & set(those):
            yield Shared((one, other), SAME_CPU)
        elif any(_meet(core, these) and _meet(core, those) for core in cores):
            yield Shared((one, other), SAME_CORE)


def _named(topology: Topology, role: str, words: str) -> Cores:
    """The cpus that [place] names for a role, each of which is there and may be used; none where it names none."""
    cpus, there, allowed = cpu_list(words), [cpu.number for cpu in topology.cpus], topology.allowed
    if wrong := sorted(set(cpus) - set(there)):
        trouble, remedy = f"there is no cpu {listed(wrong)}", f"this machine has {listed(there)}"
    elif wrong := sorted(set(cpus) - set(allowed)):
        trouble = f"this process may not run on cpu {listed(wrong)}"
        remedy = f"name some of {listed(allowed)}, or begin with `taskset -c {listed({*cpus, *allowed})}`"
    elif words and not cpus:
        trouble, remedy = "it names no cpu", "the lower number comes first, such as 0-2"
    else:
        return cpus
    raise UserError(f'place.{role} = "{words}": {trouble}', remedy)


def cautions(place: Place, topology: Topology) -> list[Caution]:
    """What a reader of the numbers must know of the placement: a shared core, a cgroup's quota that is too small."""
    found = []
    if place.shared:
        pairs = "; ".join(f"{' and '.join(pair.roles)} share a core ({pair.how})" for pair in place.shared)
        if len(topology.physical()) >= len(ROLES):
            remedy = "leave [place] empty, or name cpus of different cores in it"
        elif len(topology.physical(allowed=False)) >= len(ROLES):
            remedy = "let rtbench use three physical cores (taskset, cpuset)"
        else:
            remedy = "measure on a machine with three physical cores"
        found.append(Caution("shared core", pairs, remedy, any("server" in pair.roles for pair in place.shared)))
    busy = len({*place.server, *place.load})
    if topology.quota is not None and topology.quota < max(2, busy):
        cpus = f"{topology.quota:g} cpu{'s' * (topology.quota != 1)}"
        message = f"the cgroup's quota is {cpus}, and server and load can use {max(2, busy)}"
        found.append(Caution("cpu quota", message, "raise the quota (cpu.max; `docker run --cpus`)", True))
    return found
