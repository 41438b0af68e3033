"""Topology on made-up machines: a folder in place of /."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.machine.topology import Cpu, cpu_list, listed, read

Machine = Callable[..., Path]
CPUS = "sys/devices/system/cpu"


def test_a_machine_without_sys_has_a_core_for_every_cpu(tmp_path: Path) -> None:
    found = read(tmp_path, {5, 2, 9})
    assert found.cpus == (Cpu(2, 2), Cpu(5, 5), Cpu(9, 9))
    assert (found.allowed, found.quota) == ((2, 5, 9), None)


def test_this_machine_has_what_this_process_may_use() -> None:
    found = read()
    assert found.allowed == tuple(sorted(os.sched_getaffinity(0)))
    assert {cpu.number for cpu in found.cpus} >= set(found.allowed)


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_hyperthreads_are_one_core(machine: Machine, name: str) -> None:
    siblings = {f"{CPUS}/cpu{n}/topology/{name}": f"{n % 2},{n % 2 + 2}" for n in range(4)}
    found = read(machine(texts={f"{CPUS}/online": "0-3", **siblings}), range(4))
    assert [[cpu.number for cpu in core] for core in found.physical()] == [[0, 2], [1, 3]]
    assert [cpu.core for cpu in found.cpus] == [0, 1, 0, 1]


def test_affinity_leaves_part_of_the_machine(machine: Machine) -> None:
    found = read(machine(["0,2", "1,3"]), {2, 3})
    assert len(found.cpus) == 4
    assert [[cpu.number for cpu in core] for core in found.physical()] == [[2], [3]]
    assert [len(core) for core in found.physical(allowed=False)] == [2, 2]


def test_nodes_and_packages(machine: Machine) -> None:
    found = read(machine(["0", "1", "2", "3"], {"0": "0,2", "1": "1,3"}), range(4))
    assert [(cpu.package, cpu.node) for cpu in found.cpus] == [(0, 0), (1, 1), (0, 0), (1, 1)]


HYBRID = {"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-3"}


@pytest.mark.parametrize(
    ("texts", "kinds"),
    [
        (HYBRID, [0, 0, 1, 1]),
        ({f"{CPUS}/cpu{n}/cpu_capacity": text for n, text in enumerate(("446", "446", "1024", "1024"))}, [1, 1, 0, 0]),
        ({f"{CPUS}/cpu{n}/cpu_capacity": text for n, text in enumerate(("160", "512", "1000", "1024"))}, [2, 1, 0, 0]),
        # A favoured core is 4 % faster: it is of the same type.
        (
            {f"{CPUS}/cpu{n}/cpufreq/cpuinfo_max_freq": text for n, text in enumerate(("4900000",) * 3 + ("5100000",))},
            [0] * 4,
        ),
        (
            {
                f"{CPUS}/cpu{n}/cpufreq/cpuinfo_max_freq": text
                for n, text in enumerate(("5100000",) * 2 + ("3300000",) * 2)
            },
            [0, 0, 1, 1],
        ),
        ({f"{CPUS}/cpu0/cpu_capacity": "1024"}, [0] * 4),
    ],
    ids=["intel", "two", "three", "favoured", "frequency", "partial"],
)
def test_types_of_cores(machine: Machine, texts: dict[str, str], kinds: list[int]) -> None:
    found = read(machine(["0", "1", "2", "3"], texts=texts), range(4))
    assert [cpu.kind for cpu in found.cpus] == kinds
    assert found.kinds() == tuple(kinds.count(kind) for kind in sorted(set(kinds)))


@pytest.mark.parametrize(
    ("texts", "quota"),
    [
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "100000 100000"}, 1.0),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/cpu.max": "150000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000",
            },
            1.5,
        ),
        ({"proc/self/cgroup": "0::/../../a", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n3:cpu,cpuacct:/c\n0::/",
                "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
    ],
    ids=["none", "unlimited", "root", "own", "above", "namespace", "v1"],
)
def test_quota_is_the_least_of_the_cgroup_and_those_above(
    machine: Machine, texts: dict[str, str], quota: float | None
) -> None:
    assert read(machine(texts=texts), {0}).quota == quota


@pytest.mark.parametrize("junk", ["", "\x00", "a-b", "0-", "-", "9999999999999999999999", "1 2 3"])
def test_junk_in_a_file_is_as_if_it_was_not_there(machine: Machine, junk: str) -> None:
    names = [
        f"{CPUS}/cpu0/topology/{name}" for name in ("core_cpus_list", "thread_siblings_list", "physical_package_id")
    ]
    names += [f"{CPUS}/cpu0/cpu_capacity", "proc/self/cgroup", "sys/fs/cgroup/cpu.max", "sys/devices/cpu_core/cpus"]
    found = read(machine(texts=dict.fromkeys(names, junk)), {0, 1})
    assert [(cpu.core, cpu.kind, cpu.node) for cpu in found.cpus] == [(0, 0, 0), (1, 0, 0)]
    assert found.quota is None


@given(st.sets(st.integers(0, 200)))
def test_a_list_of_cpus_reads_as_it_was_written(cpus: set[int]) -> None:
    assert cpu_list(listed(cpus)) == tuple(sorted(cpus))


def test_lists_of_cpus_are_short() -> None:
    assert listed([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert cpu_list("3-1") == ()
