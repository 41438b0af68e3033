"""How long a warm-up is: the longer of its seconds and its messages; one that takes too long is refused."""

from __future__ import annotations

from typing import Any

import pytest

from rtbench.errors import UserError
from rtbench.scenario.loading import build, load
from rtbench.scenario.model import Scenario
from rtbench.scenario.warm_up import check, warm_up_s


def scenario(**table: Any) -> Scenario:
    return build({"warmup_s": 1, **table}, "here")


@pytest.mark.parametrize(
    ("table", "seconds"),
    [
        ({"workload": {"rate_hz": 5}}, 4),
        ({"workload": {"rate_hz": 50}}, 1),
        ({"workload": {"rate_hz": 5}, "warmup_messages": 0}, 1),
        ({"workload": {"rate_hz": 2, "channels": "unicast"}, "subscribers": 1000}, 10),
        ({"stream": "stocks"}, 4),
        ({"stream": "news"}, 1),
        ({"stream": ["news", "metrics"]}, 20),
        ({"workload": {"rate_hz": 5}, "memory": {"ladder": [1, 2, 1000], "stream_s": 2.5}}, 1.5),
        ({"stream": "chat", "chat": {"senders": 100, "rate_hz": 0.05}, "subjects": ["websocket-aiohttp"]}, 4),
    ],
    ids=["broadcast", "fast", "none", "unicast", "rounds", "finite", "two streams", "after a ladder", "conversation"],
)
def test_the_longer_of_seconds_and_messages(table: dict[str, Any], seconds: float) -> None:
    assert warm_up_s(scenario(**table)) == pytest.approx(seconds)


def test_poisson_arrivals_are_waited_for() -> None:
    pace = {"rate_hz": 5, "arrival": "poisson", "channels": "unicast"}
    assert 4 < warm_up_s(scenario(subscribers=50, workload=pace)) < 15


def test_a_stream_that_is_too_slow_is_refused_with_what_to_set() -> None:
    with pytest.raises(UserError) as caught:
        check(scenario(workload={"rate_hz": 0.1}))
    assert caught.value.message == (
        "stream fanout sends 0.1 messages a second: a warm-up of 20 messages takes 200 s, the limit is 60 s"
    )
    assert caught.value.remedy.startswith("--set warmup_messages=6, or a higher rate")
    check(scenario(workload={"rate_hz": 0.1}, warmup_messages=6))
    check(scenario(workload={"rate_hz": 0.1}, warmup_s=200))  # who asks for so long a warm-up wants it


def test_a_server_with_a_timetable_of_its_own_is_not_asked() -> None:
    row = {"name": "mine", "transport": "sse", "url": "http://127.0.0.1:9/x", "publish": "feed"}
    check(scenario(subjects=["mine"], subject=[row], workload={"rate_hz": 0.1}))


def test_a_campaign_of_before_keeps_its_hash() -> None:
    """The hash of `ci` on 2026-11-27, when no scenario had `warmup_messages` and `moved_share`."""
    then = ["workload.rate_hz=5", "warmup_s=1.5", "window_s=10"]
    assert load("ci", [*then, "warmup_messages=0"]).hash == "cd65448cf60e"
    assert load("ci", then).hash != "cd65448cf60e"
    assert load("ci", [*then, "warmup_messages=0", "validity.moved_share=0.2"]).hash != "cd65448cf60e"


def test_cells_of_a_sweep_have_the_warm_up_of_the_whole() -> None:
    swept = scenario(warmup_messages=0, sweep={"subscribers": [1, 2]})
    assert [cell.scenario.warmup_messages for cell in swept.cells()] == [0, 0]
