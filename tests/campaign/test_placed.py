"""What a campaign gets of the placement: its number of load processes, its cpus, and a warning for what is shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbench.campaign.campaign import Campaign
from rtbench.campaign.preflight import placed
from rtbench.errors import UserError
from rtbench.machine import topology
from rtbench.machine.placement import SAME_CPU, Place
from rtbench.machine.topology import Cpu, Topology
from rtbench.records.record import plain
from rtbench.scenario.loading import build, load, names
from rtbench.scenario.model import Scenario
from rtbench.trial.validity import COST, LATENCY

Patch = pytest.MonkeyPatch


def on(monkeypatch: Patch, cpus: int) -> None:
    """This machine has so many cpus, each a core."""
    machine = Topology(tuple(Cpu(n, n) for n in range(cpus)), tuple(range(cpus)))
    monkeypatch.setattr(topology, "read", lambda: machine)


def scenario(**table: object) -> Scenario:
    return build({"name": "mine", **table}, "here")


def test_what_is_shared_is_a_warning_of_the_campaign(monkeypatch: Patch, tmp_path: Path) -> None:
    on(monkeypatch, 2)
    found, place, warnings = placed(scenario())
    assert (place.server, place.load, place.publisher, found.workers) == ((0,), (1,), (1,), 1)
    assert [plain(warning) for warning in warnings] == [
        {
            "kind": "shared core",
            "message": f"load and publisher share a core ({SAME_CPU})",
            "remedy": "measure on a machine with three physical cores",
            "metrics": [],
        }
    ]
    campaign = Campaign(found, tmp_path / "out", "rtbench run mine", warnings=warnings)
    assert campaign.journal.record.warnings == warnings


def test_what_the_server_shares_spoils_latency_and_cost(monkeypatch: Patch) -> None:
    on(monkeypatch, 1)
    (warning,) = placed(scenario())[2]
    assert warning.metrics == LATENCY + COST


@pytest.mark.parametrize(
    ("cpus", "table", "workers"),
    [
        (3, {}, 1),
        (5, {}, 3),
        (9, {}, 4),
        (9, {"workers": 1}, 1),
        (2, {"workers": 5}, 5),
        (9, {"subscribers": 2}, 2),
        (9, {"place": {"load": "3-4"}}, 2),
    ],
)
def test_a_machine_with_more_cores_has_more_load_processes(
    monkeypatch: Patch, cpus: int, table: dict[str, object], workers: int
) -> None:
    on(monkeypatch, cpus)
    found, _, _ = placed(scenario(**table))
    assert found.workers == workers
    assert found.as_dict()["workers"] == workers


def test_every_cell_of_a_sweep_has_them(monkeypatch: Patch) -> None:
    on(monkeypatch, 9)
    found, _, warnings = placed(scenario(sweep={"subscribers": [2, 50]}))
    assert [cell.scenario.workers for cell in found.cells()] == [2, 4]
    assert warnings == []


def test_place_of_the_scenario_is_where_it_runs(monkeypatch: Patch) -> None:
    on(monkeypatch, 4)
    table = {"server": "3", "load": "0-1", "publisher": "2"}
    assert placed(scenario(place=table))[1] == Place((3,), (0, 1), (2,))
    with pytest.raises(UserError, match=r'^place\.server = "4": this machine has no cpu 4: use cpus from 0-3$'):
        placed(scenario(place={"server": "4"}))


@pytest.mark.parametrize("name", names())
def test_on_two_cores_a_shipped_scenario_is_what_it_was(monkeypatch: Patch, name: str) -> None:
    on(monkeypatch, 2)
    found, _, _ = placed(load(name))
    assert found.hash == load(name).hash
    assert {cell.scenario.workers for cell in found.cells()} == {1}
    assert "place" not in found.as_dict()
