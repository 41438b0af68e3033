"""Placement on made-up machines: a folder in place of /."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.errors import UserError
from rtbench.machine import placement
from rtbench.machine.placement import SAME_CORE, SAME_CPU, Caution, Place, Shared, cautions, place
from rtbench.machine.topology import Cpu, Topology, read
from rtbench.scenario.tables import PlaceTable

Machine = Callable[..., Path]
CHOSEN = PlaceTable()
HYPERTHREADS = ["0-1"]
FOUR_OF_TWO = ["0,4", "1,5", "2,6", "3,7"]
HYBRID_CORES = ["0-1", "2-3", "4", "5", "6", "7"]
HYBRID = {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"}
SERVER_LOAD, SERVER_PUBLISHER, LOAD_PUBLISHER = ("server", "load"), ("server", "publisher"), ("load", "publisher")
ALL_ON_ONE_CPU = [Shared(roles, SAME_CPU) for roles in (SERVER_LOAD, SERVER_PUBLISHER, LOAD_PUBLISHER)]


@pytest.mark.parametrize(
    ("made", "allowed", "server", "load", "publisher", "shared"),
    [
        (
            {"cores": HYPERTHREADS}, {0, 1}, (0,), (1,), (1,),
            [Shared(SERVER_LOAD, SAME_CORE), Shared(SERVER_PUBLISHER, SAME_CORE), Shared(LOAD_PUBLISHER, SAME_CPU)],
        ),
        ({"cores": ["0", "1"]}, {0, 1}, (0,), (1,), (1,), [Shared(LOAD_PUBLISHER, SAME_CPU)]),
        ({"cores": ["0,2", "1,3"]}, {0, 1, 2, 3}, (0,), (1,), (3,), [Shared(LOAD_PUBLISHER, SAME_CORE)]),
        ({"cores": ["0", "1", "2", "3"]}, {0, 1, 2, 3}, (0,), (2, 3), (1,), []),
        ({"cores": FOUR_OF_TWO}, set(range(8)), (0,), (2, 3), (1,), []),
        ({"cores": FOUR_OF_TWO}, {1, 2, 5, 6}, (1,), (2,), (6,), [Shared(LOAD_PUBLISHER, SAME_CORE)]),
        ({"cores": HYBRID_CORES, "texts": HYBRID}, set(range(8)), (0,), (2,), (4,), []),
        ({"cores": HYBRID_CORES, "texts": HYBRID}, {0, 1, 4, 5, 6}, (4,), (6,), (5,), []),
        ({"cores": HYBRID_CORES, "texts": HYBRID}, {0, 4}, (0,), (4,), (4,), [Shared(LOAD_PUBLISHER, SAME_CPU)]),
        ({"cores": list("01234567"), "nodes": {"0": "0,2,4,6", "1": "1,3,5,7"}}, set(range(8)), (0,), (4, 6), (2,), []),
        ({"cores": list("0123"), "nodes": {"0": "0", "1": "1-3"}}, set(range(4)), (1,), (3,), (2,), []),
        ({"cores": list("0123"), "nodes": {"0": "0-1", "1": "2-3"}}, set(range(4)), (0,), (1,), (2,), []),
        ({"cores": FOUR_OF_TWO}, {3}, (3,), (3,), (3,), ALL_ON_ONE_CPU),
        (
            {"cores": ["0", "1"], "texts": {"sys/fs/cgroup/cpu.max": "100000 100000"}}, {0, 1}, (0,), (1,), (1,),
            [Shared(LOAD_PUBLISHER, SAME_CPU)],
        ),
        (
            {"cores": [str(n) for n in range(16)], "texts": {"sys/fs/cgroup/cpu.max": "400000 100000"}}, set(range(16)),
            (0,), (2, 3), (1,), [],
        ),
        # No /sys at all: as on a machine of which only the affinity is known.
        ({}, {3}, (3,), (3,), (3,), ALL_ON_ONE_CPU),
        ({}, {0, 1}, (0,), (1,), (1,), [Shared(LOAD_PUBLISHER, SAME_CPU)]),
        ({}, {5, 2, 9}, (2,), (9,), (5,), []),
        ({}, {0, 1, 2, 3}, (0,), (2, 3), (1,), []),
    ],
    ids=[
        "hyperthreads of one core", "two cores", "two cores, four threads", "four cores", "four cores, eight threads",
        "affinity of two cores", "hybrid", "hybrid, one fast core", "hybrid, one of each", "two sockets",
        "two sockets, one core of the first", "two sockets, two cores each", "affinity of one cpu", "quota of one cpu",
        "quota of four cpus", "no sys, one", "no sys, two", "no sys, three", "no sys, four",
    ],
)  # fmt: skip
def test_place_knows_the_machine(
    machine: Machine, made: Mapping[str, Any], allowed: set[int], server: Any, load: Any, publisher: Any, shared: Any
) -> None:
    topology = read(machine(**made), allowed)
    assert place(topology, CHOSEN) == Place(server, load, publisher, tuple(shared))


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Any machine of up to 8 physical cores of up to 2 threads, 2 types and 2 nodes, of which some cpus are allowed."""
    cpus: list[Cpu] = []
    for _ in range(draw(st.integers(1, 8))):
        first, kind, node = len(cpus), draw(st.integers(0, 1)), draw(st.integers(0, 1))
        cpus += [Cpu(first + thread, first, node, node, kind) for thread in range(draw(st.integers(1, 2)))]
    allowed = draw(st.sets(st.sampled_from(range(len(cpus))), min_size=1))
    return Topology(tuple(cpus), tuple(sorted(allowed)), draw(st.none() | st.floats(0.1, 16)))


@given(topologies())
def test_server_and_load_share_no_physical_core_when_there_are_two(topology: Topology) -> None:
    chosen, cores = place(topology, CHOSEN), len(topology.physical())
    assert {*chosen.server, *chosen.load, *chosen.publisher} <= set(topology.allowed)
    sharing = {pair.roles for pair in chosen.shared}
    assert (SERVER_LOAD in sharing) is (cores < 2)
    assert (SERVER_PUBLISHER in sharing) is (cores < 2)
    assert (LOAD_PUBLISHER in sharing) is (cores < 3)
    assert (len(chosen.server), len(chosen.publisher)) == (1, 1)
    of = {cpu.number: cpu for cpu in topology.cpus}
    assert len({of[cpu].core for cpu in chosen.load}) == len(chosen.load)  # no two load processes on one core
    types = [(core[0].kind, core[0].node) for core in topology.physical()]
    if max(map(types.count, types)) > 1:
        assert len({(of[cpu].kind, of[cpu].node) for cpu in (*chosen.server, *chosen.load)}) == 1


@given(topologies(), st.data())
def test_what_is_named_is_placed_there_and_the_rest_around_it(topology: Topology, data: st.DataObject) -> None:
    role, cpu = data.draw(st.sampled_from(placement.ROLES)), data.draw(st.sampled_from(topology.allowed))
    chosen = place(topology, PlaceTable(**{role: str(cpu)}))
    assert getattr(chosen, role) == (cpu,)
    assert (SERVER_LOAD in {pair.roles for pair in chosen.shared}) is (len(topology.physical()) < 2)


@pytest.mark.parametrize(
    ("table", "server", "load", "publisher"),
    [
        (PlaceTable(server="0", load="1-2", publisher="3"), (0,), (1, 2), (3,)),
        (PlaceTable(server="3"), (3,), (1, 2), (0,)),
        (PlaceTable(load="0-1"), (2,), (0, 1), (3,)),
        (PlaceTable(load="0", publisher="1"), (2,), (0,), (1,)),
        (PlaceTable(publisher="0"), (1,), (2, 3), (0,)),
        (PlaceTable(server="0-1", load="2,3"), (0, 1), (2, 3), (2,)),
    ],
)
def test_place_of_a_scenario(table: PlaceTable, server: Any, load: Any, publisher: Any) -> None:
    four = Topology(tuple(Cpu(n, n) for n in range(4)), (0, 1, 2, 3))
    chosen = place(four, table)
    assert (chosen.server, chosen.load, chosen.publisher) == (server, load, publisher)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (PlaceTable(server="9"), 'place.server = "9": this machine has no cpu 9: use cpus from 0-3'),
        (PlaceTable(load="2-5"), 'place.load = "2-5": this machine has no cpu 4-5: use cpus from 0-3'),
        (
            PlaceTable(publisher="1-2"),
            'place.publisher = "1-2": this process may not run on cpu 2: use cpus from 0-1, or start with '
            "`taskset -c 0-2`",
        ),
        (PlaceTable(load="1-0"), 'place.load = "1-0": the list is empty: write the lower number first, such as 0-2'),
    ],
)
def test_a_cpu_that_cannot_be_used_is_one_line(table: PlaceTable, line: str) -> None:
    two_of_four = Topology(tuple(Cpu(n, n) for n in range(4)), (0, 1))
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        place(two_of_four, table)


def test_manifest_has_shared_cores() -> None:
    shared = (Shared(SERVER_LOAD, SAME_CORE), Shared(LOAD_PUBLISHER, SAME_CPU))
    placed = Place((0,), (1,), (1,), shared)
    assert placed.of("server") == {"cores": [0], "shares_core_with": {"load": SAME_CORE}}
    assert placed.of("load") == {"cores": [1], "shares_core_with": {"server": SAME_CORE, "publisher": SAME_CPU}}
    assert Place((0,), (1,), (2,)).of("publisher") == {"cores": [2], "shares_core_with": {}}


def of(cpus: int, allowed: int, quota: float | None = None) -> Topology:
    return Topology(tuple(Cpu(n, n) for n in range(cpus)), tuple(range(allowed)), quota)


QUOTA = "raise the quota (cpu.max; `docker run --cpus`)"


@pytest.mark.parametrize(
    ("topology", "table", "expected"),
    [
        (of(3, 3), CHOSEN, []),
        (
            of(2, 2), CHOSEN,
            [Caution("shared core", f"load and publisher share a core ({SAME_CPU})",
                     "measure on a machine with three physical cores", False)],
        ),
        (
            of(4, 2), CHOSEN,
            [Caution("shared core", f"load and publisher share a core ({SAME_CPU})",
                     "let rtbench use three physical cores (taskset, cpuset)", False)],
        ),
        (
            of(4, 4), PlaceTable(server="1", load="1-2"),
            [Caution("shared core", f"server and load share a core ({SAME_CPU})",
                     "leave [place] empty, or name cpus of different cores", True)],
        ),
        (
            of(4, 4, 1.0), CHOSEN,
            [Caution("cpu quota", "the cgroup's quota is 1 cpu; server and load can use 2", QUOTA, True)],
        ),
        (of(4, 4, 2.0), CHOSEN, []),
        (
            of(4, 4, 2.5), PlaceTable(load="2-3"),
            [Caution("cpu quota", "the cgroup's quota is 2.5 cpus; server and load can use 3", QUOTA, True)],
        ),
    ],
)  # fmt: skip
def test_cautions(topology: Topology, table: PlaceTable, expected: list[Caution]) -> None:
    assert cautions(place(topology, table), topology) == expected


def test_place_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "read", lambda: of(4, 4))
    assert Place.here() == Place((0,), (2, 3), (1,))
    assert Place.here(PlaceTable(server="3")) == Place((3,), (1, 2), (0,))
