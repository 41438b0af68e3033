"""`rtbench ticks`."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from rtbench.scenario.loading import build

from .conftest import Call, refused


def ticks(call: Call, *words: str) -> list[dict[str, Any]]:
    ran = call("ticks", *words)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in ran.out.splitlines()]


def test_ticks_are_one_json_object_a_line(call: Call) -> None:
    ran = call("ticks", "fanout", "--count", "2", "--set", "workload.payload_bytes=2")
    assert ran.out == (
        '{"channel": 0, "seq": 1, "due_ns": 0, "payload": "\\"\\""}\n'
        '{"channel": 0, "seq": 2, "due_ns": 200000000, "payload": "\\"\\""}\n'
    )


def test_ticks_are_the_workloads(call: Call) -> None:
    workload = build({"stream": ["stocks"], "seed": 7, "epoch_s": 5}, "here").make_workload()
    expected = [
        {"channel": 0, "seq": tick.seq, "due_ns": tick.due_ns, "payload": tick.payload.decode()}
        for tick in islice(workload.ticks_of(workload.channel(0)), 20)
    ]
    assert ticks(call, "stocks", "--seed", "7", "--set", "epoch_s=5") == expected
    assert ticks(call, "stocks", "--set", "seed=7", "--set", "epoch_s=5", "--count", "3") == expected[:3]
    assert ticks(call, "stocks", "--seed", "8", "--set", "epoch_s=5") != expected
    assert ticks(call, "stocks", "--count", "0") == []


def test_ticks_of_a_channel(call: Call) -> None:
    settings = ["--set", "workload.channels=unicast", "--set", "subscribers=4", "--set", "workload.rate_hz=1"]
    workload = build(
        {"stream": ["fanout"], "subscribers": 4, "workload": {"channels": "unicast", "rate_hz": 1}}, "here"
    ).make_workload()
    found = ticks(call, "fanout", "--channel", "2", "--count", "1", *settings)
    tick = next(workload.ticks_of(workload.channel(2)))
    assert found == [{"channel": 2, "seq": 1, "due_ns": 500_000_000, "payload": tick.payload.decode()}]


def test_ticks_are_messages_alone(call: Call) -> None:
    lines = [json.loads(line) for line in call("ticks", "resilient", "--count", "100").out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 101))
    assert all(line["payload"].startswith('{"value":') for line in lines)
    assert lines[-1]["due_ns"] > 99 * 500_000_000  # some of them failed


def test_real_figures_are_refused(call: Call) -> None:
    assert "do not exist before they are due" in refused(call("ticks", "metrics", "--set", "workload.real=true"))


def test_ticks_of_an_unknown_stream(call: Call) -> None:
    assert refused(call("ticks", "weather")).startswith("stream: unknown stream 'weather': choose one of chat, ")


def test_ticks_with_a_wrong_setting(call: Call) -> None:
    assert refused(call("ticks", "fanout", "--set", "rate=5")).startswith("the command line: unknown key rate")
