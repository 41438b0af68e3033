"""A search's probes as trials of a campaign: in turn, recorded, resumed, bounded in time; without processes."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbench.campaign import campaign as campaigns
from rtbench.campaign.campaign import Campaign
from rtbench.capacity import probing
from rtbench.capacity.ceiling import RATE, SUBSCRIBERS, Ceiling
from rtbench.capacity.judging import Judged, judge
from rtbench.capacity.probing import Asked, Capacity
from rtbench.capacity.search import Bracket, Goal
from rtbench.machine.placement import Place
from rtbench.records.capacity import CapacityRecord, ProbeRow, load
from rtbench.records.manifest import Manifest
from rtbench.records.reason import Reason
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.trial import Spec

from .planted import Seen, broken, of, scenario

pytestmark = pytest.mark.slow
PLACE = Place((0,), (0,), (0,))
NAMES = ["sse-aiohttp", "websocket-aiohttp", "long-poll-aiohttp"]
SLOW = Reason("load generator near its limit", "99 %")
HELD = {"sse-aiohttp": 130, "websocket-aiohttp": 700, "long-poll-aiohttp": 31}


class Simulated:
    """Servers of known capacities, a clock that each probe moves on, and what happened."""

    def __init__(self) -> None:
        self.held: dict[str, float] = dict(HELD)
        self.by = "subscribers"
        self.now = 0.0
        self.took_s = 10.0
        self.spoiled: set[str] = set()
        self.problems: dict[str, list[str]] = {}
        self.whole = False
        """Whether trials have tables, which are judged; else a manifest alone, and its verdict is known."""
        self.known: dict[Path, Judged] = {}
        self.stop_at = 0
        self.probes: list[tuple[str, float, bool, int]] = []
        self.shown: list[tuple[str, str, bool]] = []

    def run(self, spec: Spec, folder: Path, place: Place, stage: Callable[[str], None]) -> Manifest:
        if self.stop_at and spec.number == self.stop_at:
            raise KeyboardInterrupt
        self.now += self.took_s
        value, name = float(spec.cell[self.by]), spec.subject.name
        assert value == (spec.scenario.subscribers if self.by == SUBSCRIBERS else spec.scenario.workload.rate_hz)
        self.probes.append((name, value, spec.scenario.window_s > 1, spec.block))
        late = value > self.held[name]
        spoiled = late and name in self.spoiled
        share = 0.3 if spoiled else min(1.0, value / self.held[name])
        if self.whole:
            seen = Seen(late=spec.scenario.subscribers if late else 0, unstamped=spoiled, server_share=share)
            return of(spec, folder, replace(seen, reasons=(SLOW,) if spoiled else ()))
        row = ProbeRow(
            value=value, status="ok", trial=spec.number, window_s=spec.scenario.window_s,
            verdict="unclear" if spoiled else "fails" if late else "holds",
            limited_by="load generator" if spoiled else "server core" if late else "",
        )  # fmt: skip
        self.known[folder / spec.directory] = Judged(row, share)
        return broken(folder / spec.directory, SLOW, "ok")

    def judge(self, directory: Path, number: int, value: float, table: Scenario) -> Judged:
        return judge(directory, number, value, table) if directory not in self.known else self.known[directory]

    def verify(self, subject: Subject, logs: Path) -> list[str]:
        return self.problems.get(subject.name, [])

    def trial(self, spec: Spec, number: int, total: int) -> None: ...
    def stage(self, text: str) -> None: ...
    def done(self, spec: Spec, manifest: Manifest) -> None: ...
    def note(self, text: str) -> None: ...

    def judged(self, subject: str, row: ProbeRow, found: Bracket) -> None:
        self.shown.append((subject, row.verdict, found.closed))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulated]:
    servers = Simulated()
    monkeypatch.setattr(campaigns.trial, "run", servers.run)
    monkeypatch.setattr(probing, "judge", servers.judge)
    monkeypatch.setattr(campaigns, "inventory", lambda: Reason("inventory"))
    monkeypatch.setattr(campaigns, "fingerprint", dict)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield servers
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def search(
    folder: Path, servers: Simulated, resume: bool = False, seconds: float = 1e6, most: float = 5000, **table: Any
) -> CapacityRecord:
    wanted = scenario(**{"subjects": NAMES, "subscribers": 100, "seed": 7, **table})
    campaign = Campaign(wanted, folder, "rtbench capacity here", resume)
    whole = servers.by == SUBSCRIBERS
    goal = Goal(100 if whole else 10, 1 if whole else 0.01, most, whole=whole)
    searched = Capacity(campaign, Asked(wanted, servers.by, goal, Ceiling(most, "--to"), 1))
    searched.run(PLACE, servers, servers.verify, seconds, lambda: servers.now)
    return searched.record


def document(folder: Path, name: str = "campaign.json") -> dict[str, Any]:
    value = json.loads((folder / name).read_text())
    assert isinstance(value, dict)
    return value


def test_every_subject_gets_its_own_bracket(tmp_path: Path, servers: Simulated) -> None:
    servers.whole, servers.spoiled = True, {"websocket-aiohttp"}
    servers.held |= {"websocket-aiohttp": 160}
    found = search(tmp_path, servers)
    sse, websocket, poll = found.subjects
    for one in (sse, poll):
        assert one.closed and not one.harness_limited and not one.out_of_time
        assert one.low is not None and one.high is not None
        assert one.low <= HELD[one.subject] < one.high
        assert one.limited_by == "server core"
    assert (websocket.high, websocket.harness_limited, websocket.limited_by) == (None, True, "load generator")
    assert found == load(tmp_path)
    assert document(tmp_path, "capacity.json")["subjects"][0]["probes"][0] == {
        "value": 100.0, "late_or_lost": 0.0, "surely": 0.0, "lost": 0.0, "latency_ns": 5_000_000, "status": "ok",
        "trial": found.subjects[0].probes[0].trial, "verdict": "holds", "window_s": 1.0, "limited_by": "",
    }  # fmt: skip


def test_subjects_take_turns_and_a_round_is_a_block(tmp_path: Path, servers: Simulated) -> None:
    search(tmp_path, servers)
    blocks: dict[int, list[str]] = {}
    for name, _, _, block in servers.probes:
        blocks.setdefault(block, []).append(name)
    assert list(blocks) == sorted(blocks)
    assert all(len(set(names)) == len(names) for names in blocks.values())
    assert all(sorted(names) == sorted(NAMES) for block, names in blocks.items() if block <= 6)
    assert len({tuple(names) for block, names in blocks.items() if block <= 6}) > 1  # in an order of its own


def test_the_campaign_has_every_probe_with_its_cell(tmp_path: Path, servers: Simulated) -> None:
    found = search(tmp_path, servers)
    recorded = document(tmp_path)
    assert len(recorded["trials"]) == len(servers.probes) == sum(len(one.probes) for one in found.subjects)
    values = [row["cell"]["subscribers"] for row in recorded["trials"]]
    assert values == [value for _, value, _, _ in servers.probes]
    assert recorded["trials"][0]["item"] == f"{recorded['trials'][0]['subject']} [subscribers=100]"
    assert [name for block in recorded["order"] for name in block] == [row["item"] for row in recorded["trials"]]
    assert recorded["cells"] == [{"subscribers": value} for value in dict.fromkeys(values)]
    assert {row["trial"] for row in recorded["trials"]} == set(range(1, len(values) + 1))


def test_the_lower_end_had_a_longer_window(tmp_path: Path, servers: Simulated) -> None:
    found = search(tmp_path, servers)
    for one in found.subjects:
        assert [row.window_s for row in one.probes if row.value == one.low and row.window_s > 1] == [3.0]


def test_a_resumed_search_goes_the_same_way(tmp_path: Path, servers: Simulated) -> None:
    whole = search(tmp_path / "whole", servers)
    went, servers.probes = servers.probes, []
    for stop in (1, 2, 6, 11):
        servers.stop_at = stop
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "parts", servers, resume=stop > 1)
    servers.stop_at = 0
    parts = search(tmp_path / "parts", servers, resume=True)
    assert servers.probes == went
    assert parts == whole
    assert document(tmp_path / "parts")["order"] == document(tmp_path / "whole")["order"]


def test_a_finished_search_is_not_measured_again(tmp_path: Path, servers: Simulated) -> None:
    found = search(tmp_path, servers)
    count = len(servers.probes)
    assert search(tmp_path, servers, resume=True) == found
    assert len(servers.probes) == count


def test_no_probe_ends_after_the_time_and_what_is_known_is_confirmed_before(tmp_path: Path, servers: Simulated) -> None:
    found = search(tmp_path, servers, seconds=180)
    assert 120 <= servers.now <= 180
    assert [one.out_of_time for one in found.subjects] == [True] * 3
    assert not any(one.closed for one in found.subjects)
    assert all(one.low is not None and one.low <= HELD[one.subject] for one in found.subjects)
    again = search(tmp_path, servers, resume=True)
    assert all(one.closed for one in again.subjects)


def test_a_slow_load_generator_is_a_bound_and_no_capacity(tmp_path: Path, servers: Simulated) -> None:
    servers.spoiled = {"websocket-aiohttp"}
    found = {one.subject: one for one in search(tmp_path, servers).subjects}
    one = found["websocket-aiohttp"]
    assert (one.high, one.harness_limited, one.limited_by, one.closed) == (None, True, "load generator", False)
    assert one.low is not None and 600 < one.low <= 700
    assert found["sse-aiohttp"].closed


def test_the_top_of_the_range_says_what_set_it(tmp_path: Path, servers: Simulated) -> None:
    found = {one.subject: one for one in search(tmp_path, servers, most=500).subjects}
    one = found["websocket-aiohttp"]
    assert (one.low, one.high, one.closed, one.limited_by, one.harness_limited) == (500, None, False, "--to", False)


def test_a_subject_that_fails_verification_has_no_bracket(tmp_path: Path, servers: Simulated) -> None:
    servers.problems = {"sse-aiohttp": ["wrong order"]}
    found = {one.subject: one for one in search(tmp_path, servers).subjects}
    one = found["sse-aiohttp"]
    assert (one.low, one.high, one.limited_by, len(one.probes)) == (None, None, "verification", 1)
    assert found["long-poll-aiohttp"].closed


def test_a_rate_is_searched_alike(tmp_path: Path, servers: Simulated) -> None:
    servers.by = RATE
    servers.held = {"sse-aiohttp": 33.3}
    (one,) = search(tmp_path, servers, subjects=["sse-aiohttp"], subscribers=5).subjects
    assert one.closed and one.low is not None and one.high is not None
    assert one.low <= 33.3 < one.high
    assert document(tmp_path)["cells"][0] == {"workload.rate_hz": 10.0}
