"""The load processes of a trial: who has which subscribers, which cores, how large a capture buffer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtbench.machine.placement import Place
from rtbench.scenario.model import Scenario
from rtbench.trial import _loads
from rtbench.trial._run import Run

MANY_CORES = Place((0,), (2, 3), (1,))
Gathering = Callable[..., Run]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What LoadProcess was called with."""
    calls: list[tuple[Any, ...]] = []

    def load(*arguments: Any) -> tuple[Any, ...]:
        calls.append(arguments)
        return arguments

    monkeypatch.setattr(_loads, "LoadProcess", load)
    return calls


def test_subscribers_are_dealt_out_to_the_workers(
    tmp_path: Path, gathering: Gathering, made: list[tuple[Any, ...]]
) -> None:
    run = gathering("short-poll-aiohttp", MANY_CORES, subscribers=11, workers=3)
    assert len(list(_loads.loads_of(run, tmp_path / "sockets", "/proc/9/ns/net"))) == 3
    assert [(user, share, first) for user, _, share, first, *_ in made] == [
        ("ShortPollUser", 4, 0),
        ("ShortPollUser", 4, 4),
        ("ShortPollUser", 3, 8),
    ]
    assert [folder for *_, folder, _, _, _ in made] == [tmp_path / "sockets"] * 3
    assert [cores for *_, cores, _, _ in made] == [(2,), (3,), (2,)]
    assert [log.name for *_, log, _ in made] == ["load-0.log", "load-1.log", "load-2.log"]
    assert [network for *_, network in made] == ["/proc/9/ns/net"] * 3
    settings = made[0][1]
    assert settings.streams == ("fanout",)
    assert (settings.unicast, settings.poll_interval_s, settings.long_timeout_s) == (False, 0.1, 25.0)
    assert (settings.capture_bytes, settings.long) == (8 * 2**20, False)
    assert settings.path == "/poll/{query}"


def test_one_worker_has_all_cores_of_the_load(
    tmp_path: Path, gathering: Gathering, made: list[tuple[Any, ...]]
) -> None:
    run = gathering(place=MANY_CORES, subscribers=10_000, window_s=600)
    assert len(list(_loads.loads_of(run, tmp_path, ""))) == 1
    user, settings, share, first, _, cores, log, network = made[0]
    assert (user, share, first, cores, log.name, network) == ("SSEUser", 10_000, 0, (2, 3), "load.log", "")
    assert (settings.capture_bytes, settings.long) == (_loads.CAPTURE_LIMIT, True)


def test_subscribers_of_a_faulty_subject_name_themselves(
    tmp_path: Path, gathering: Gathering, made: list[tuple[Any, ...]]
) -> None:
    list(_loads.loads_of(gathering("websocket-faulty"), tmp_path, ""))
    assert made[0][0] == "WebSocketUser"
    assert made[0][1].path == "/ws/{stream}?channel={channel}&subscriber={subscriber}"


def test_timetable_is_as_long_as_all_that_a_trial_does(tiny: Callable[..., Scenario]) -> None:
    # 5 subscribers at 200 a second, 0.1 s warm-up, 0.5 s window, 0.5 s grace, and 5 s to spare.
    assert _loads.length_s(tiny()) == pytest.approx(6.125)
    # 20 messages at 50 a second are 0.4 s.
    assert _loads.length_s(tiny(warmup_messages=20)) == pytest.approx(6.425)
    # While a ladder's rungs are idle the timetable stands still.
    ladder = {"ladder": [1, 2, 5], "idle_s": 100, "stream_s": 2}
    assert _loads.length_s(tiny(memory=ladder)) == pytest.approx(12.125)
