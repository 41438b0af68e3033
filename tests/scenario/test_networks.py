"""[network]: its profiles, what key counts before what, and what is refused before anything starts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import ScenarioError
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.scenario.networks import PROFILES, QUANTITIES, QUEUE_MS, UP, Conditions, asked
from rtbench.scenario.tables import NONE_PROFILE, NetworkTable


def scenario(*settings: str, **table: Any) -> Scenario:
    return build(table, "somewhere.toml", settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), None),
        (("network.profile=none",), None),
        (("network.delay_ms=0",), Conditions()),
        (("network.delay_ms=20", "network.jitter_ms=5"), Conditions(20, 5)),
        (("network.delay_ms=20", "network.up_delay_ms=0"), Conditions(20, up=Conditions())),
        (("network.up_loss=0.1",), Conditions(up=Conditions(loss=0.1))),
        (
            ("network.profile=lossy", "network.rate_mbit=9", "network.up_rate_mbit=1", "network.up_queue_ms=20"),
            Conditions(35, 5, 0.01, 9, 100, Conditions(35, 5, 0.01, 1, 20)),
        ),
        (("network.profile=wan",), PROFILES["wan"].conditions),
        (("network.profile=lossy", "network.loss=0"), Conditions(35, 5, 0)),
        (("network.rate_mbit=10",), Conditions(rate_mbit=10, queue_ms=QUEUE_MS)),
        (("network.rate_mbit=10", "network.queue_ms=0"), Conditions(rate_mbit=10)),
        (("network.profile=mobile", "network.rate_mbit=9"), Conditions(85, 10, 0, 9, QUEUE_MS)),
    ],
)
def test_a_key_counts_before_its_profile(settings: tuple[str, ...], expected: Conditions | None) -> None:
    found = scenario(*settings)
    assert found.conditions == expected
    assert found.apart is (expected is not None)


def test_every_profile_is_a_choice_with_a_source_and_can_be() -> None:
    rule = NetworkTable.__dataclass_fields__["profile"].metadata["rule"]
    assert rule.allowed == f"expected one of {', '.join((NONE_PROFILE, *PROFILES))}"
    for name, profile in PROFILES.items():
        assert asked(NetworkTable(profile=name)) == profile.conditions
        assert scenario(f"network.profile={name}").network.profile == name
        assert profile.source
        assert profile.conditions.rate_mbit == 0  # one link for all would not be theirs


def test_the_conditions_are_the_keys() -> None:
    assert [item.name for item in fields(NetworkTable)] == ["profile", *QUANTITIES, *(UP + name for name in QUANTITIES)]


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"delay_ms": -1}, "network.delay_ms = -1.0: expected a number from 0 to 10000 milliseconds"),
        ({"loss": 1.5}, "network.loss = 1.5: expected a number from 0 to 1, share of the packets"),
        ({"loss": True}, "network.loss = true: expected a number from 0 to 1, share of the packets"),
        ({"profile": "5g"}, 'network.profile = "5g": expected one of none, lan, wan, mobile, lossy, satellite'),
        ({"jitter_ms": 5}, "network.jitter_ms = 5: expected at most delay_ms (0)"),
        ({"profile": "lan", "jitter_ms": 1}, "network.jitter_ms = 1: expected at most delay_ms (0.25)"),
        (
            {"delay_ms": 9, "up_jitter_ms": 5, "up_delay_ms": 4},
            "network.up_jitter_ms = 5: expected at most up_delay_ms (4)",
        ),
        (
            {"up_queue_ms": 5},
            "network.up_queue_ms = 5: without up_rate_mbit no packet waits: set network.up_rate_mbit, too",
        ),
        ({"queue_ms": 5}, "network.queue_ms = 5: without rate_mbit no packet waits: set network.rate_mbit, too"),
        ({"delay": 5}, "unknown key network.delay: did you mean 'delay_ms'? choose one of profile, delay_ms"),
    ],
)
def test_what_cannot_be_is_named(table: dict[str, Any], line: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(network=table)
    assert str(caught.value).startswith(f"somewhere.toml: {line}")


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ("sse-nchan", "gets its messages by HTTP, which does not reach into a namespace"),
        ("http://127.0.0.1:8000/events", "runs elsewhere"),
    ],
)
def test_a_subject_that_cannot_be_behind_a_network_is_refused(subject: str, why: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario("network.delay_ms=1", subjects=[subject])
    remedy = "remove it from subjects, or remove [network]"
    assert str(caught.value) == f"somewhere.toml: [network]: {subject} {why}: {remedy}"


def test_networks_can_be_swept_each_with_its_own_profile() -> None:
    found = scenario(sweep={"network": {"profile": ["none", "wan"]}})
    assert [cell.scenario.conditions for cell in found.cells()] == [None, PROFILES["wan"].conditions]
    mixed = scenario(network={"profile": "lossy", "jitter_ms": 0}, sweep={"network": {"delay_ms": [0, 50]}})
    assert [cell.scenario.conditions for cell in mixed.cells()] == [Conditions(0, 0, 0.01), Conditions(50, 0, 0.01)]


def test_a_sweep_that_ends_in_the_impossible_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"\[sweep\]: network.jitter_ms = 10: expected at most delay_ms \(5\)"):
        scenario(network={"profile": "mobile"}, sweep={"network": {"delay_ms": [100, 5]}})


def test_a_scenario_without_a_network_has_the_hash_that_it_had() -> None:
    assert "network" not in scenario().as_dict()
    assert scenario("network.profile=none").hash == scenario().hash
    assert scenario("network.delay_ms=0").hash != scenario().hash


def test_the_page_has_every_profile_with_its_numbers_and_their_source() -> None:
    page = (Path(__file__).parents[2] / "docs/howto/networks.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 6]
    expected = []
    for name, profile in PROFILES.items():
        asked = profile.conditions
        jitter = f"± {asked.jitter_ms:g} ms" if asked.jitter_ms else ""
        loss = f"{asked.loss:.0%}".replace("%", " %") if asked.loss else ""
        expected.append(f"| `{name}` | {asked.delay_ms:g} ms | {jitter} | {loss} | {profile.source} |")
    assert [" ".join(row.split()) for row in rows] == [" ".join(row.split()) for row in expected]
