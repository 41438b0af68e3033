"""A scenario whose subjects are optional runs without those that cannot run here, and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtbench.campaign.campaign import Campaign
from rtbench.campaign.preflight import available, prepare
from rtbench.errors import UnavailableError, UserError
from rtbench.records.reason import Reason
from rtbench.records.record import plain
from rtbench.scenario.loading import build, load
from rtbench.scenario.model import Scenario
from rtbench.subjects import Requirement, registry
from rtbench.subjects.proxies import catalogue as proxies
from rtbench.subjects.registry import find

ABSENT = Requirement("the program nowhere", lambda: False, "apt-get install nowhere")


@pytest.fixture(autouse=True)
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two subjects need something that is nowhere."""
    for name in ("sse-aiohttp-simple", "websocket-aiohttp"):
        changed = replace(registry.catalogue()[name], requires=(ABSENT,))
        monkeypatch.setitem(registry.catalogue(), name, changed)


def scenario(*names: str, optional: bool = True) -> Scenario:
    return build({"name": "mine", "subjects": list(names), "optional": optional}, "here")


def test_missing_subjects_are_left_out_with_one_warning() -> None:
    rest, warnings = available(
        scenario("sse-aiohttp-simple", "sse-aiohttp", "websocket-aiohttp", "websocket-aiohttp@2")
    )
    assert rest.subjects == ("sse-aiohttp",)
    assert warnings == [
        Reason(
            kind="left-out",
            message="sse-aiohttp-simple, websocket-aiohttp, websocket-aiohttp@2 left out: "
            "the program nowhere is missing",
            remedy="apt-get install nowhere",
            metrics=[],
        )
    ]
    prepare(rest)


def test_where_nothing_is_missing_nothing_changes() -> None:
    whole = scenario("sse-aiohttp", "long-poll-aiohttp")
    assert available(whole) == (whole, [])


def test_what_is_not_optional_is_refused() -> None:
    table = scenario("sse-aiohttp", "websocket-aiohttp", optional=False)
    assert available(table) == (table, [])
    with pytest.raises(UnavailableError, match="websocket-aiohttp needs the program nowhere: apt-get install nowhere"):
        prepare(table)


def test_when_none_is_left() -> None:
    with pytest.raises(UserError, match="no subject of mine can run here: they need the program nowhere"):
        available(scenario("sse-aiohttp-simple"))


def test_a_proxy_that_is_missing_is_its_subject_s_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(proxies(), "caddy", replace(proxies()["caddy"], requires=(ABSENT,)))
    assert find("sse-aiohttp").missing() == ("", "")
    assert find("sse-aiohttp+caddy").missing() == ("the program nowhere", "apt-get install nowhere")
    rest, _ = available(scenario("sse-aiohttp", "sse-aiohttp+caddy"))
    assert rest.subjects == ("sse-aiohttp",)


def test_the_warning_is_the_campaign_s(tmp_path: Path) -> None:
    rest, warnings = available(scenario("sse-aiohttp", "websocket-aiohttp"))
    campaign = Campaign(rest, tmp_path / "out", "rtbench run mine", warnings=warnings)
    assert campaign.journal.record.warnings == warnings
    written = json.loads((tmp_path / "out/campaign.json").read_text())
    assert written["warnings"] == plain(warnings)
    assert written["scenario"]["subjects"] == ["sse-aiohttp"]


def test_the_shipped_comparisons_of_stacks_are_optional() -> None:
    for name in ("article", "stacks", "proxies"):
        assert load(name).optional
    for name in ("ci", "smoke", "full"):
        assert not load(name).optional
