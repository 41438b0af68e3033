"""The checks on evidence that is written by hand: what a few seconds of a stream on loopback do not show."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rtbench.diagnosis import SEVERITIES, Finding, catalogue
from rtbench.diagnosis._evidence import Evidence, Limits, number
from rtbench.diagnosis._recording import CUT, ENDED, EVENT, HEARTBEAT, OPEN, Item, Recording
from rtbench.diagnosis.diagnose import judged

STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache", "transfer-encoding": "chunked"}


def event(at: float, which: int, **changed: Any) -> Item:
    text = changed.pop("text", json.dumps({"n": which}).encode())
    item = Item(EVENT, at, at, 0.0, which, str(which), "message", text, len(text), which)
    return replace(item, **changed)


def recording(items: list[Item], until: float = 10.0, **changed: Any) -> Recording:
    reads = ((0.01, 200), *((item.at, max(item.size, 1)) for item in items))
    whole = Recording(
        asked_at=0.0, status=200, line="HTTP/1.1 200 OK", headers={**STREAM, "x-accel-buffering": "no"}, head_at=0.01,
        reads=reads, items=tuple(items), body_bytes=1000, state=OPEN, stopped_at=until,
    )  # fmt: skip
    return replace(whole, **changed)


def steady(until: float = 10.0, step: float = 0.5) -> list[Item]:
    return [event(0.5 + step * which, which + 1) for which in range(int((until - 0.5) / step))]


def evidence(plain: Recording, transport: str = "sse", **changed: Any) -> Evidence:
    return Evidence(transport, plain, **changed)


def kinds(seen: Evidence) -> dict[str, Finding]:
    return {finding.kind: finding for finding in judged("it", seen, 1.0).findings}


def test_nothing_is_found_where_nothing_is() -> None:
    seen = evidence(recording(steady()), second=recording(steady()), resumed=recording([event(5.0, 18)]),
                    resumed_from="17", offered=recording([]))  # fmt: skip
    found = judged("it", seen, 1.0)
    assert (found.findings, found.sound) == ((), True)
    assert set(found.fine) | set(found.undecided) == {k for k, one in catalogue().items() if "sse" in one.transports}


def test_silence_counts_from_the_request_and_to_the_stop() -> None:
    assert recording([event(3.0, 1)], until=10.0).silences() == pytest.approx([0.01, 2.99, 7.0])
    assert "no-heartbeat" in kinds(evidence(recording([event(3.0, 1)], until=40.0)))
    beats = [Item(HEARTBEAT, at, at, 0.0, 1) for at in (15.0, 29.0)]
    assert "no-heartbeat" not in kinds(evidence(recording(beats, until=40.0)))


def test_a_short_look_at_a_silent_stream_decides_nothing() -> None:
    found = judged("it", evidence(recording([event(0.5, 1)], until=10.0)), 1.0)
    assert "--seconds 35" in found.undecided["no-heartbeat"]


def test_a_cut_after_silence_names_the_proxys_setting() -> None:
    plain = recording([event(0.5, 1)], until=50.5, state=CUT, why="the connection was closed")
    found = kinds(evidence(replace(plain, headers={**plain.headers, "server": "nginx"}), limits=Limits(silence_s=60)))
    assert "50 s" in found["idle-cut"].message
    assert "proxy_read_timeout" in found["idle-cut"].remedy
    assert "ends-early" not in found


def test_a_stream_that_ended_is_not_cut() -> None:
    assert "idle-cut" not in kinds(evidence(recording(steady(), until=30.0, state=ENDED)))


def test_planned_times_show_what_is_late() -> None:
    events = [event(1.0 + which, which) for which in range(1, 8)]
    due = {which: 0.2 + which for which in range(1, 8)}
    late = kinds(evidence(recording(events), due=due, due_bytes=dict.fromkeys(due, 50)))
    assert "small events arrive 800 ms" in late["buffered"].evidence[0]
    none = kinds(evidence(recording([]), due=due))
    assert "none arrived" in none["buffered"].evidence[0]
    corked = kinds(evidence(recording(events), due={which: at + 0.6 for which, at in due.items()}))
    assert "200 ms" in corked["nagle"].message and "buffered" not in corked


def test_the_same_events_on_two_connections_show_a_buffer() -> None:
    first = [event(2.0 if which < 8 else 6.0, which) for which in range(1, 16)]
    second = [event(4.0 if which < 12 else 8.0, which) for which in range(1, 16)]
    found = kinds(evidence(recording(first), second=recording(second)))
    assert "came at different times on two connections" in found["buffered"].evidence[0]


def test_what_a_server_replays_to_the_second_connection_is_not_held_back() -> None:
    replayed = [event(max(item.at, 5.05), int(item.id)) for item in steady()]
    assert "buffered" not in kinds(
        evidence(recording(steady()), second=recording(replayed, asked_at=5.0, head_at=5.01))
    )


def test_clumps_without_a_timestamp_are_only_noted() -> None:
    clumps = [event(2.0 * which, 10 * which + place) for which in range(1, 5) for place in range(4)]
    assert kinds(evidence(recording(clumps)))["buffered"].severity == "info"


@pytest.mark.parametrize(
    "texts",
    [
        [b'{"ts":17%08d}' % second for second in range(5)],
        [b'{"ts":17%08d000}' % second for second in range(5)],
        [b"2026-01-01T00:00:0%dZ x" % second for second in range(5)],
    ],
)
def test_timestamps_of_events_that_came_at_once(texts: list[bytes]) -> None:
    events = [event(5.0, which, text=text) for which, text in enumerate(texts)]
    assert "4 s apart" in kinds(evidence(recording(events)))["buffered"].evidence[0]


def test_a_long_poll_that_answers_empty_at_once_never_waits() -> None:
    empty = recording([], until=0.02, state=ENDED)
    found = kinds(evidence(empty, "long-poll", polls=[empty] * 5))
    assert found["never-waits"].severity == "warning"
    waited = recording([], until=2.0, state=ENDED)
    assert "never-waits" not in kinds(evidence(waited, "long-poll", polls=[waited] * 5))


def test_a_cache_is_found_and_a_proxy_named() -> None:
    plain = recording(steady())
    hit = replace(plain, headers={**plain.headers, "x-cache": "HIT"}, fields=("X-Cache: HIT",))
    assert kinds(evidence(hit))["cached"].severity == "error"
    via = replace(plain, headers={**plain.headers, "via": "1.1 x"}, fields=("Via: 1.1 x",))
    assert kinds(evidence(via))["cached"].evidence == ("Via: 1.1 x",)


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        (event(1, 7), 7),
        (event(1, 1, id="", text=b'{"id":5,"data":'), 5),
        (event(1, 1, id="17:0", text=b'{"seq":6}'), 6),
        (event(1, 1, id="", text=b"hello"), None),
        (event(1, 1, id="", text=b'{"id":-1}'), None),
    ],
)
def test_the_number_that_counts_an_event(item: Item, wanted: int | None) -> None:
    assert number(item) == wanted


def test_worst_comes_first_and_what_is_ignored_is_not_there() -> None:
    plain = recording([event(0.5, 1), event(0.6, 4), event(0.7, 5), event(0.8, 6)], until=40.0, headers={})
    found = judged("it", evidence(plain), 1.0)
    order = [SEVERITIES.index(finding.severity) for finding in found.findings]
    assert order == sorted(order) and len(set(order)) == 3
    without = judged("it", evidence(plain), 1.0, ("headers",))
    assert "headers" not in {finding.kind for finding in without.findings} and without.ignored == ("headers",)
