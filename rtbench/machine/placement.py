"""Which cpus the server, the load processes and the publisher of a trial run on (R11).

Invariant: `place` is pure: the same topology and the same [place] give the same result. The server and the load share
a physical core only if the machine has just one, or if [place] asks for it. Called by the commands that measure and by
the doctor.
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
"""A physical core: its usable cpus."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Two roles that share a physical core; `how`: `SAME_CPU` or `SAME_CORE`."""

    roles: tuple[str, str]
    how: str


@dataclass(frozen=True, slots=True)
class Place:
    """The cpus of each role of a trial, and the roles that share a physical core."""

    server: Cores
    load: Cores
    publisher: Cores
    shared: tuple[Shared, ...] = ()

    @classmethod
    def here(cls, table: PlaceTable | None = None) -> Place:
        """The placement on this machine for the calling process. Raises UserError for an impossible [place]."""
        return place(read(), table or PlaceTable())

    def of(self, role: str) -> dict[str, Any]:
        """A role's cpus, and the roles that share a physical core with it, for the manifest."""
        others = {
            other: pair.how for pair in self.shared if role in pair.roles for other in pair.roles if other != role
        }
        return {"cores": list(getattr(self, role)), "shares_core_with": others}


class Caution(NamedTuple):
    """A drawback of a placement, with its remedy. `server`: whether it affects the server."""

    kind: str
    message: str
    remedy: str
    server: bool


def place(topology: Topology, table: PlaceTable) -> Place:
    """The cpus of each role. Raises UserError where [place] names a cpu that does not exist or may not be used.

    The server gets a physical core of its own. The load gets one cpu of each other core of that type and node, as many
    as the cgroup's quota can keep busy. The publisher needs little: it gets a spare core, of another type or node if
    necessary, else it shares a core with the load.
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
    """The server's cpu: on the fastest type and node with a core for the load, too, and if possible the publisher."""
    groups: dict[tuple[int, int], list[Core]] = {}
    for core in cores:
        groups.setdefault((core[0].kind, core[0].node), []).append(core)
    kind, node = min(groups, key=lambda key: (len(groups[key]) < 2, key[0], len(groups[key]) < 3, key[1]))
    return groups[kind, node][0][0]


def _one(cores: Sequence[Core], home: Cpu, others: tuple[Cores, Cores]) -> Cores:
    """A cpu apart from these roles (the first matters most), then as near to `home` as possible."""
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
    """The cpus that [place] names for a role, checked; empty when it names none."""
    cpus, there, allowed = cpu_list(words), [cpu.number for cpu in topology.cpus], topology.allowed
    if wrong := sorted(set(cpus) - set(there)):
        trouble, remedy = f"this machine has no cpu {listed(wrong)}", f"use cpus from {listed(there)}"
    elif wrong := sorted(set(cpus) - set(allowed)):
        trouble = f"this process may not run on cpu {listed(wrong)}"
        remedy = f"use cpus from {listed(allowed)}, or start with `taskset -c {listed({*cpus, *allowed})}`"
    elif words and not cpus:
        trouble, remedy = "the list is empty", "write the lower number first, such as 0-2"
    else:
        return cpus
    raise UserError(f'place.{role} = "{words}": {trouble}', remedy)


def cautions(place: Place, topology: Topology) -> list[Caution]:
    """Drawbacks of the placement that affect results: a shared core, a cgroup's quota that is too small."""
    found = []
    if place.shared:
        pairs = "; ".join(f"{' and '.join(pair.roles)} share a core ({pair.how})" for pair in place.shared)
        if len(topology.physical()) >= len(ROLES):
            remedy = "leave [place] empty, or name cpus of different cores"
        elif len(topology.physical(allowed=False)) >= len(ROLES):
            remedy = "let rtbench use three physical cores (taskset, cpuset)"
        else:
            remedy = "measure on a machine with three physical cores"
        found.append(Caution("shared core", pairs, remedy, any("server" in pair.roles for pair in place.shared)))
    busy = len({*place.server, *place.load})
    if topology.quota is not None and topology.quota < max(2, busy):
        cpus = f"{topology.quota:g} cpu{'s' * (topology.quota != 1)}"
        message = f"the cgroup's quota is {cpus}; server and load can use {max(2, busy)}"
        found.append(Caution("cpu quota", message, "raise the quota (cpu.max; `docker run --cpus`)", True))
    return found
