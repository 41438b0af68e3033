"""The ladder: what is read at a rung and when, and slopes that are those of the textbook."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy

from rtbench.machine import probes
from rtbench.records.record import plain
from rtbench.subjects.registry import find
from rtbench.trial import _memory_ladder
from rtbench.trial._memory_ladder import QUANTITIES, climb_ladder, curved_p, fit, slope_of

SECOND = 10**9
MakeGroup = Callable[..., Any]
LADDER = {"ladder": [10, 20, 40], "idle_s": 2, "stream_s": 3}


def test_fit_is_least_squares_with_a_t_interval() -> None:
    x, y = [2.0, 4.0, 6.0, 8.0], [5.0, 9.0, 12.0, 14.0]
    slope, half = fit(x, y)
    centred = np.array(x) - 5.0
    mine = float(centred @ y / (centred @ centred))
    left = np.array(y) - 10.0 - mine * centred
    error = math.sqrt(float(left @ left) / 2 / float(centred @ centred))
    assert slope == pytest.approx(mine) == pytest.approx(1.5)
    assert half == pytest.approx(float(scipy.stats.t.ppf(0.975, 2)) * error)


def test_fit_of_a_line_is_the_line() -> None:
    slope, half = fit([250, 500, 1000, 2000], [7_000_000 + 3000 * n for n in (250, 500, 1000, 2000)])
    assert slope == pytest.approx(3000)
    assert half == pytest.approx(0, abs=1e-3)


def test_what_does_not_change_has_no_slope_and_no_doubt() -> None:
    assert fit([3, 6, 9], [0.0, 0.0, 0.0]) == (0.0, 0.0)  # a server that used no CPU while it was idle


def test_the_test_of_a_bend_is_the_quadratic_terms_t_test() -> None:
    x, y = [250.0, 500.0, 1000.0, 2000.0, 3000.0], [7.0, 9.0, 12.0, 22.0, 41.0]
    columns = np.vander(np.array(x), 3)
    terms = np.linalg.solve(columns.T @ columns, columns.T @ np.array(y))
    variance = float(((np.array(y) - columns @ terms) ** 2).sum()) / 2 * np.linalg.inv(columns.T @ columns)[0, 0]
    expected = 2 * float(scipy.stats.t.sf(abs(terms[0]) / math.sqrt(variance), 2))
    assert curved_p(x, y) == pytest.approx(expected, rel=1e-6)
    assert expected < 0.05


def test_a_line_has_no_bend_a_parabola_has_one_and_three_points_do_not_say() -> None:
    rungs = [250.0, 500.0, 1000.0, 2000.0]
    assert curved_p(rungs, [7_000_000 + 3000 * n for n in rungs]) == 1.0
    assert curved_p(rungs, [7_000_000 + 3000 * n + n * n for n in rungs]) == 0.0
    assert curved_p(rungs, [5.0] * 4) == 1.0
    assert curved_p(rungs[:3], [1.0, 2.0, 9.0]) is None
    assert slope_of("bytes", rungs, [3.0 * n for n in rungs]).keys() == {
        "bytes", "bytes_half_interval", "bytes_curved_p"
    }  # fmt: skip


def test_noise_about_a_line_is_called_a_bend_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(1)
    found = [curved_p([1, 2, 4, 8, 12], np.array([1.0, 2, 4, 8, 12]) + rng.standard_normal(5)) for _ in range(1500)]
    share = np.mean([p is not None and p <= 0.05 for p in found])
    assert 0.03 < share < 0.07


@pytest.fixture
def climbing(make_group: MakeGroup, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """`climbing(subject)`: a process group that has climbed a ladder on which every connection costs what the tests
    below know."""
    return lambda subject: climb(make_group(2, subject=subject, subscribers=40, memory=LADDER), clock, monkeypatch)


@pytest.fixture
def climbed(climbing: Callable[[str], Any]) -> Any:
    return climbing("sse-aiohttp")


def climb(group: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(_memory_ladder, "time", clock)
    group.story = []

    def story(kind: str) -> Callable[..., Any]:
        return lambda *_: group.story.append((kind, clock.now)) or "tidied"

    streaming = [False]

    def pause() -> None:
        group.story.append(("pause", clock.now))
        streaming[0] = False

    def resume() -> None:
        group.story.append(("resume", clock.now))
        streaming[0] = True

    group.publisher.pause, group.publisher.resume = pause, resume
    group.server.tidy = story("tidy")
    group.connections = 0

    def ramp(count: int) -> None:
        group.story.append((f"ramp {count}", clock.now))
        clock.now += SECOND
        group.connections = count

    group.ramp = ramp

    def cpu_ns() -> int:
        # Idle: 1,000 ns a second and connection, and 5,000 that the empty server uses.
        return clock.now // SECOND * (5000 + 1000 * group.connections)

    def held(base: int, idle: int, more: int) -> Callable[[], int]:
        return lambda: base + group.connections * (idle + more * streaming[0])

    group.server.cpu_ns = cpu_ns
    group.server.memory_bytes = held(30_000_000, 15_000, 700)
    monkeypatch.setattr(probes, "kernel_memory_bytes", held(9_000_000, 4_000, 4_500))
    ladder, idle = climb_ladder(group)
    group.memory, group.idle = plain(ladder), plain(idle)
    return group


def test_slopes_are_what_a_connection_costs(climbed: Any) -> None:
    memory = climbed.memory
    assert {name: memory[name] for name in QUANTITIES.values()} == pytest.approx(
        {
            "server_idle_bytes_per_connection": 15_000,
            "server_bytes_per_connection": 15_700,
            "kernel_idle_bytes_per_connection": 4_000,
            "kernel_bytes_per_connection": 8_500,
        }
    )
    for name in QUANTITIES.values():
        assert memory[f"{name}_half_interval"] == pytest.approx(0, abs=0.01)
    assert climbed.idle["cpu_ns_per_connection_second"] == pytest.approx(1000)
    assert climbed.idle["cpu_ns_per_connection_second_half_interval"] == pytest.approx(0, abs=0.01)


def test_every_rung_is_kept_as_it_was_read(climbed: Any) -> None:
    assert climbed.memory["tidied"] == "tidied"
    assert [row["connections"] for row in climbed.memory["rungs"]] == [10, 20, 40]
    assert climbed.memory["rungs"][0] == {
        "connections": 10,
        "idle_cpu_ns_per_second": pytest.approx(15_000),
        "server_idle": 30_150_000,
        "kernel_idle": 9_040_000,
        "server_streaming": 30_157_000,
        "kernel_streaming": 9_085_000,
    }


def test_a_rung_is_idle_and_then_streams_and_the_server_is_tidied_before_each_reading(climbed: Any) -> None:
    kinds = [kind for kind, _ in climbed.story]
    assert kinds[0] == "tidy"  # what it says that it does is recorded
    assert kinds[1:] == [word for rung in (10, 20, 40) for word in ("pause", f"ramp {rung}", "tidy", "resume", "tidy")]
    at = dict(zip(range(len(kinds)), (now for _, now in climbed.story), strict=True))
    for rung in range(3):
        pause, ramp, tidy, resume, again = (at[1 + 5 * rung + step] for step in range(5))
        assert pause == ramp
        assert resume - tidy == 300_000_000 + 2 * SECOND  # the time to tidy, then idle_s
        assert again - resume == 3 * SECOND  # stream_s


def test_long_polls_are_let_in_while_messages_answer_them(climbing: Callable[[str], Any]) -> None:
    kinds = [kind for kind, _ in climbing("long-poll-aiohttp").story]
    assert kinds[1:] == [word for rung in (10, 20, 40) for word in (f"ramp {rung}", "pause", "tidy", "resume", "tidy")]


def test_no_slope_of_what_could_not_be_read(make_group: MakeGroup, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    group = make_group(subscribers=40, memory=LADDER)
    monkeypatch.setattr(_memory_ladder, "time", clock)
    monkeypatch.setattr(probes, "kernel_memory_bytes", lambda: -1)  # not root
    group.ramp = lambda count: None
    ladder, _ = climb_ladder(group)
    assert plain(ladder).keys() == {
        "rungs",
        "tidied",
        *(f"{name}{suffix}" for name in list(QUANTITIES.values())[:2] for suffix in ("", "_half_interval")),
    }


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["sse-aiohttp", "long-poll-nchan"])
def test_a_whole_trial_climbs_and_then_measures(measure: Callable[..., Any], subject: str) -> None:
    lacking, remedy = find(subject).missing()
    if lacking:
        pytest.skip(f"{subject} needs {lacking}: {remedy}")
    whole = measure(subject, subscribers=9, memory={"ladder": [3, 6, 9], "idle_s": 0.1, "stream_s": 0.1})
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"]) == ("ok", [])
    assert whole.stages[1:4] == ["climbing to 3", "climbing to 6", "climbing to 9"]
    assert [row["connections"] for row in manifest["memory"]["rungs"]] == [3, 6, 9]
    for row in manifest["memory"]["rungs"]:
        assert min(row["server_idle"], row["server_streaming"]) > 1_000_000  # a whole process
    slopes = [manifest["memory"][f"{name}{suffix}"] for name in QUANTITIES.values() if name in manifest["memory"]
              for suffix in ("", "_half_interval")]  # fmt: skip
    assert len(slopes) in (4, 8)  # without root nothing of the kernel's
    assert all(math.isfinite(value) for value in slopes)
    assert manifest["idle"].keys() == {
        "cpu_ns_per_connection_second",
        "cpu_ns_per_connection_second_half_interval",
    }
    counts = manifest["counts"]
    assert (counts["subscribed"], counts["expected"], counts["delivered"]) == (9, 225, 225)
    # The timetable stood still while a rung was idle; nothing is played twice, nothing left out.
    ticks = whole.table("ticks")
    assert ticks["seq"].tolist() == list(range(1, len(ticks["seq"]) + 1))
    assert (np.diff(ticks["due_ns"]) >= 20_000_000).all()
    assert (np.diff(ticks["due_ns"]) >= 100_000_000).sum() == 3
    assert whole.alive == []
