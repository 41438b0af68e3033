"""What became of idle connections: both sides, by hand-written tables, and once for real."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtbench import trial
from rtbench.errors import ScenarioError
from rtbench.machine import probes
from rtbench.machine.placement import Place
from rtbench.machine.probes import CLOSE_WAIT, ESTABLISHED
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario
from rtbench.subjects.registry import find
from rtbench.trial import Spec, validity
from rtbench.trial._silence import Silence

SECOND = 10**9
IDLE = {"stream": "fanout", "idle": {"minutes": 1}}
START, END = 100 * SECOND, 160 * SECOND


def connections(*rows: tuple[int, int, str]) -> dict[str, Any]:
    """(response, closed, outcome) each."""
    response, closed, outcomes = zip(*rows, strict=True)
    return {
        "response_ns": np.asarray(response), "closed_ns": np.asarray(closed),
        "outcome": np.asarray(outcomes, dtype=object),
    }  # fmt: skip


def test_who_is_cut_and_who_notices() -> None:
    silence = Silence()
    silence.look(99 * SECOND, {"early": ESTABLISHED})
    silence.begin()
    there = {"a": ESTABLISHED, "b": ESTABLISHED, "c": ESTABLISHED, "old": CLOSE_WAIT}
    silence.look(101 * SECOND, there)
    silence.look(150 * SECOND, {**there, "b": CLOSE_WAIT, "new": ESTABLISHED})
    silence.look(151 * SECOND, {"b": CLOSE_WAIT, "c": ESTABLISHED})
    table = connections(
        (90 * SECOND, 140 * SECOND, "cut"),
        (90 * SECOND, -1, "open"),
        (90 * SECOND, 150 * SECOND, "reset"),
        (90 * SECOND, 95 * SECOND, "cut"),  # before the silence
        (145 * SECOND, -1, "open"),  # came back in it
    )
    found = silence.record(build(dict(IDLE), "here"), table, (START, END), 7)
    assert (found.minutes, found.heartbeats, found.connections, found.cut) == (1, 7, 3, 2)
    assert found.cut_after_s == [50, 55, 60]
    assert found.outcomes == {"cut": 1, "reset": 1}
    assert (found.server_connections, found.server_left, found.server_half_closed) == (3, 1, 1)
    assert found.server_left_after_s == [61, 61, 61]


def test_nothing_known_is_nothing_said() -> None:
    found = Silence().record(build(dict(IDLE), "here"), connections((-1, -1, "refused")), (START, END), 0)
    assert (found.connections, found.cut, found.cut_after_s, found.server_connections) == (0, 0, [], 0)


def test_idle_sets_what_makes_a_silence() -> None:
    scenario = build({"stream": "fanout", "idle": {"minutes": 2}}, "here")
    assert (scenario.window_s, scenario.workload.rate_hz, scenario.warmup_messages) == (120, 0.001, 0)
    assert scenario.reconnect.eventsource_s == 600
    assert "idle" in scenario.as_dict() and "idle" not in Scenario().as_dict()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"window_s": 5.0}, "window_s = 5: idle.minutes = 1 sets it"),
        ({"workload": {"rate_hz": 1.0}}, "messages are due in the silence"),
        ({"stream": "stocks"}, "messages are due in the silence"),
        ({"idle": {"minutes": 16}}, "idle.minutes = 16"),
        ({"idle": 1}, "idle: expected a table"),
        ({"workload": 5}, "workload: expected a table"),
        ({"memory": {"ladder": [1, 2, 3]}, "subscribers": 3}, "goes with neither"),
    ],
)
def test_what_a_silence_cannot_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        build({**IDLE, **changes}, "here")


def test_the_peers_of_a_server_and_which_have_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, contextlib.ExitStack() as stack:
        port = door.getsockname()[1]
        ends = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2)]
        ours = [stack.enter_context(door.accept()[0]) for _ in ends]
        assert sorted(probes.peers(0, port).values()) == []
        found = probes.peers(os.getpid(), port)
        assert sorted(found.values()) == [ESTABLISHED, ESTABLISHED]
        ends[0].shutdown(socket.SHUT_WR)
        assert ours[0].recv(1) == b""
        assert sorted(probes.peers(os.getpid(), port).values()) == [ESTABLISHED, CLOSE_WAIT]


@pytest.mark.slow
def test_a_short_silence_for_real(tmp_path: Path) -> None:
    scenario = build({**IDLE, "idle": {"minutes": 0.02}, "subscribers": 3, "grace_s": 0.3}, "here")
    found = trial.run(
        Spec(1, find("sse-aiohttp"), 1, 1, scenario, {}), tmp_path, Place((0,), (0,), (0,)), lambda _: None
    )
    silence = found.silence
    assert (silence.connections, silence.cut, silence.server_connections, silence.server_left) == (3, 0, 3, 0)
    assert found.counts.expected == 0
    assert validity.NO_MESSAGES not in {reason.kind for reason in found.reasons}
