"""Generated streams through our parsers and others': some hundred of `make differential`, and that it finds faults."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.differential import __main__ as command
from benchmarks.differential import events, frames
from benchmarks.differential.__main__ import event_streams
from benchmarks.differential.counts import Counts
from benchmarks.differential.streams import event_stream, frame_stream


@pytest.mark.slow
def test_websockets_reads_the_same_frames() -> None:
    counts = frames.run((number, frame_stream(number)) for number in range(500))
    assert counts.unexplained == []
    assert counts.events > 1000
    assert sum(counts.explained.values()) < 100


def test_a_stream_is_the_same_every_time() -> None:
    assert [event_stream(7), frame_stream(7)] == [event_stream(7), frame_stream(7)]
    assert len({event_stream(number) for number in range(100)}) > 90


def test_a_message_that_is_read_differently_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = frames.Reference.feed
    monkeypatch.setattr(frames.Reference, "feed", lambda self, data: whole(self, data[:4]))
    counts = Counts()
    frames.compare(0, b"\x81\x02{}\x81\x02[]", counts)
    ((number, account),) = counts.unexplained
    assert number == 0
    assert "81027b7d81025b5d" in account


def test_events_that_are_read_differently_are_found_or_have_their_reason() -> None:
    def theirs(batch: Any) -> list[events.Events]:
        return [events.ours(data)[:1] for data in batch]

    found = event_streams(theirs, 0, 30)
    assert found.streams == 30
    assert len(found.unexplained) == sum(len(events.ours(event_stream(number))) > 1 for number in range(30)) > 0
    excused = event_streams(theirs, 0, 30, lambda data, other: "a reason")
    assert excused.unexplained == []
    assert excused.explained == {"a reason": len(found.unexplained)}


def test_chromium_s_difference_is_explained_only_where_it_is_the_one_that_is_known() -> None:
    data = b"\xef\xbb\xbf\ndata: a\ndata: b\n\n"
    assert events.ours(data) == [["message", "a\nb", ""]]
    assert events.chromium_differs(data, [["message", "b", ""]])
    assert not events.chromium_differs(data, [])
    assert not events.chromium_differs(data[1:], [["message", "b", ""]])


def test_what_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command.shutil, "which", lambda name: None)
    monkeypatch.setattr(command.programs, "find", lambda name: None)
    assert command.main(["--count", "20"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == ["beside", "websockets"]
    assert err.splitlines() == [
        "left out: npm: npm and Node are missing: https://nodejs.org",
        "left out: chromium: a browser is missing: apt-get install chromium chromium-driver",
    ]


def test_every_type_of_an_event_is_listened_to() -> None:
    data = b"\xef\xbb\xbfevent: a\rdata\r\revent:b\ndata\n\nevent\n"
    assert events.types_of(data) == ["", "a", "b", "message"]
    for number in range(200):
        stream = event_stream(number)
        assert {event[0] for event in events.ours(stream)} <= set(events.types_of(stream))
