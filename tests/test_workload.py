"""The workload: one seed, the same bytes on any machine; and the timetable that latency is charged from (R1)."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rtbench.errors import ScenarioError
from rtbench.streams import Pace
from rtbench.transports.envelope import is_json
from rtbench.workload import Channel, Tick, Workload, quiet_instant

VECTORS = json.loads((Path(__file__).parent / "vectors" / "workload.json").read_text())

DIGEST = """
import json, sys
from itertools import islice
from hashlib import sha256
from rtbench.streams import Pace
from rtbench.workload import Workload

for streams, seed, epoch_s, subscribers, pace, count in json.load(sys.stdin):
    digest = sha256()
    for tick in islice(Workload(tuple(streams), seed, epoch_s, subscribers, Pace(*pace)).ticks(), count):
        digest.update(b"%d %d %d %b\\n" % (tick.channel, tick.seq, tick.due_ns, tick.payload))
    print(digest.hexdigest())
"""


def workload_of(vector: dict[str, Any]) -> Workload:
    streams, seed, epoch_s, subscribers, pace = vector["workload"]
    return Workload(tuple(streams), seed, epoch_s, subscribers, Pace(*pace))


def digest(ticks: list[Tick]) -> str:
    """sha256 over lines of `channel seq due_ns payload`."""
    lines = [b"%d %d %d %b\n" % (tick.channel, tick.seq, tick.due_ns, tick.payload) for tick in ticks]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def first(workload: Workload, count: int) -> list[Tick]:
    return list(itertools.islice(workload.ticks(), count))


def fanout(count: int, seed: int = 1, subscribers: int = 1, **pace: Any) -> list[Tick]:
    return first(Workload(("fanout",), seed, subscribers=subscribers, pace=Pace(**pace)), count)


# The same bytes everywhere


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_committed_digest(vector: dict[str, Any]) -> None:
    ticks = first(workload_of(vector), vector["count"])
    assert len(ticks) == vector["count"]
    assert [[t.channel, t.seq, t.due_ns, t.payload.decode()] for t in ticks[:3]] == vector["first"]
    assert digest(ticks) == vector["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_same_bytes_in_another_process_whatever_the_hash_seed(hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        input=json.dumps([[*vector["workload"], vector["count"]] for vector in VECTORS]),
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [vector["sha256"] for vector in VECTORS]


def test_ticks_can_be_asked_for_twice() -> None:
    workload = Workload(("fanout", "stocks"))
    assert first(workload, 50) == first(workload, 50)


@pytest.mark.parametrize("stream", ["fanout", "stocks"])
def test_seeds_differ(stream: str) -> None:
    a, b = (first(Workload((stream,), seed), 20) for seed in (1, 2))
    assert [tick.payload for tick in a] != [tick.payload for tick in b]
    assert [tick.due_ns for tick in a] == [tick.due_ns for tick in b]


@pytest.mark.parametrize("stream", ["fanout", "stocks"])
def test_channels_differ(stream: str) -> None:
    workload = Workload((stream,), subscribers=2, pace=Pace("unicast"))
    a, b = (
        [tick.payload for tick in itertools.islice(workload.ticks_of(channel), 20)] for channel in workload.channels()
    )
    assert a != b


def test_arrivals_do_not_depend_on_padding() -> None:
    with_padding, without = (
        [tick.due_ns for tick in fanout(50, payload_bytes=size, arrival="poisson")] for size in (400, 1)
    )
    assert with_padding == without


def test_epoch_changes_nothing_but_timestamps() -> None:
    a, b = (first(Workload(("stocks",), epoch_s=epoch_s), 20) for epoch_s in (0, 1_767_225_600))
    for left, right in zip(a, b, strict=True):
        x, y = json.loads(left.payload), json.loads(right.payload)
        assert y.pop("timestamp") - x.pop("timestamp") == 1_767_225_600
        assert (x, left.due_ns, left.seq) == (y, right.due_ns, right.seq)


# Payloads


def test_payload_bytes_is_exact() -> None:
    for size in range(1, 1001):
        for tick in fanout(3, payload_bytes=size):
            assert len(tick.payload) == size
            assert is_json(tick.payload)


def test_payload_has_seq_and_timestamp_when_there_is_room() -> None:
    for tick in fanout(30, payload_bytes=150, rate_hz=7):
        value = json.loads(tick.payload)
        assert value["seq"] == tick.seq
        assert value["timestamp"] == pytest.approx(1_767_225_600 + tick.due_ns / 1e9, abs=1e-6)


# The timetable


@pytest.mark.parametrize("rate_hz", [0.1, 1, 3, 5, 7.3, 60, 1000, 12345.678])
def test_constant_is_start_plus_k_over_rate_without_drift(rate_hz: float) -> None:
    for tick in fanout(5000, rate_hz=rate_hz, payload_bytes=1):
        exact = Fraction(tick.seq - 1) / Fraction(rate_hz) * 10**9
        assert abs(tick.due_ns - exact) <= 501  # to the nearest microsecond; the 1 is for a float's last digit
        assert tick.due_ns % 1000 == 0


@pytest.mark.parametrize("subscribers", [1, 2, 5, 10])
def test_unicast_phases_are_spread_evenly_over_one_period(subscribers: int) -> None:
    workload = Workload(("fanout",), subscribers=subscribers, pace=Pace("unicast", rate_hz=2))
    starts = [next(workload.ticks_of(channel)).due_ns for channel in workload.channels()]
    assert starts == [500_000_000 * index // subscribers for index in range(subscribers)]


def test_poisson_mean_and_variance() -> None:
    # An exponential gap has its mean as its standard deviation; 20,000 of them fix the mean to 0.7 %.
    due = [tick.due_ns for tick in fanout(20_000, rate_hz=100, arrival="poisson", payload_bytes=1)]
    gaps = [b - a for a, b in itertools.pairwise([0, *due])]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(10_000_000, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)
    assert all(at % 1000 == 0 for at in due)


def test_poisson_channels_have_arrivals_of_their_own() -> None:
    workload = Workload(("fanout",), subscribers=2, pace=Pace("unicast", arrival="poisson"))
    a, b = ([tick.due_ns for tick in itertools.islice(workload.ticks_of(c), 20)] for c in workload.channels())
    assert not set(a) & set(b)


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_ticks_come_in_the_order_in_which_they_are_due(arrival: str) -> None:
    workload = Workload(("fanout", "stocks"), subscribers=7, pace=Pace("unicast", 11.0, 80, arrival))
    ticks = first(workload, 2000)
    assert all(a.due_ns <= b.due_ns for a, b in itertools.pairwise(ticks))
    for channel in workload.channels():
        own = [tick for tick in ticks if tick.channel == channel.number]
        assert [tick.seq for tick in own] == list(range(1, len(own) + 1))
        assert own == list(itertools.islice(workload.ticks_of(channel), len(own)))


def test_ticks_due_together_come_in_the_order_of_channels() -> None:
    ticks = first(Workload(("stocks", "stocks"), pace=Pace()), 10)
    assert [(tick.channel, tick.seq) for tick in ticks] == [(c, s) for c in (0, 1) for s in range(1, 6)]


def test_ticks_of_chosen_channels() -> None:
    workload = Workload(("fanout",), subscribers=5, pace=Pace("unicast"))
    chosen = [workload.channel(1), workload.channel(3)]
    assert {tick.channel for tick in itertools.islice(workload.ticks(chosen), 20)} == {1, 3}


# Channels


def test_broadcast_has_one_channel_a_stream() -> None:
    workload = Workload(("fanout", "stocks"), subscribers=5)
    assert workload.channels() == [Channel(0, "fanout", 0), Channel(1, "stocks", 0)]
    assert [workload.channel_of(subscriber) for subscriber in range(5)] == [0, 1, 0, 1, 0]
    assert not workload.unicast


def test_unicast_has_one_channel_a_subscriber() -> None:
    workload = Workload(("fanout", "stocks"), subscribers=5, pace=Pace("unicast"))
    channels = workload.channels()
    assert [(c.number, c.stream, c.index) for c in channels] == [
        (0, "fanout", 0),
        (1, "stocks", 0),
        (2, "fanout", 1),
        (3, "stocks", 1),
        (4, "fanout", 2),
    ]
    assert [workload.channel_of(subscriber) for subscriber in range(5)] == [0, 1, 2, 3, 4]
    assert [workload.stream_of(number).name for number in range(5)] == [c.stream for c in channels]


def test_every_stream_has_a_channel_even_with_fewer_subscribers() -> None:
    assert len(Workload(("fanout", "stocks"), subscribers=1, pace=Pace("unicast")).channels()) == 2


def test_query_names_the_channel() -> None:
    assert Channel(0, "fanout", 0).query == "fanout"
    assert Channel(6, "fanout", 3).query == "fanout?channel=3"


def test_unknown_stream_is_the_users_error() -> None:
    with pytest.raises(ScenarioError, match=r"unknown stream 'weather'.*fanout, .*stocks") as caught:
        Workload(("fanout", "weather"))
    assert caught.value.remedy.startswith("choose one of ")


# The window's edges


@given(
    due=st.lists(st.integers(0, 10_000), max_size=60).map(sorted),
    after_ns=st.integers(0, 10_000),
    within_ns=st.integers(0, 5_000),
)
def test_quiet_instant_is_as_far_from_what_is_due_as_can_be(due: list[int], after_ns: int, within_ns: int) -> None:
    assume(due and due[-1] > after_ns + within_ns)
    at = quiet_instant(iter(due), after_ns, within_ns)
    later = [d for d in due if d >= after_ns]
    edges = sorted({after_ns, *later})
    gaps = [(b - a, a) for a, b in itertools.pairwise(edges) if a <= after_ns + within_ns]
    width = max((gap for gap, _ in gaps), default=0)
    assert at >= after_ns
    assert at in [a + gap // 2 for gap, a in gaps if gap == width] or (width == 0 and at == after_ns)
    if width > 1:
        assert all(abs(d - at) >= width // 2 for d in later)
        assert at not in due


@given(due=st.lists(st.integers(0, 100), max_size=20).map(sorted), after_ns=st.integers(101, 200))
def test_quiet_instant_where_nothing_is_due(due: list[int], after_ns: int) -> None:
    assert quiet_instant(due, after_ns, 50) == after_ns


def test_quiet_instant_reads_no_further_than_it_must() -> None:
    ticks = (tick.due_ns for tick in Workload(("fanout",), pace=Pace(rate_hz=10)).ticks())
    assert quiet_instant(ticks, 1_000_000_000, 300_000_000) == 1_050_000_000
    assert next(ticks) == 1_500_000_000
