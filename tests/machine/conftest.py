"""Made-up machines: a folder in place of /, with what is read of /sys and /proc."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from rtbench.machine.topology import cpu_list

Machine = Callable[..., Path]
CPUS = "sys/devices/system/cpu"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """`machine(["0,4", "1,5"], nodes={"0": "0-1"}, texts={"proc/self/cgroup": "0::/"})` is a root folder.

    Each core is the list of its cpus; each node is a package, too; `texts` are files besides.
    """

    def make(
        cores: Sequence[str] = (), nodes: Mapping[str, str] | None = None, texts: Mapping[str, str] | None = None
    ) -> Path:
        threads = {cpu: core for core in cores for cpu in cpu_list(core)}
        found = {f"{CPUS}/online": ",".join(map(str, sorted(threads)))} if threads else {}
        for cpu, core in threads.items():
            found[f"{CPUS}/cpu{cpu}/topology/core_cpus_list"] = core
        for node, cpus in (nodes or {}).items():
            found[f"sys/devices/system/node/node{node}/cpulist"] = cpus
            found |= {f"{CPUS}/cpu{cpu}/topology/physical_package_id": node for cpu in cpu_list(cpus)}
        for name, text in {**found, **(texts or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return tmp_path

    return make
