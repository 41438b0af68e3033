"""JSON lines: every message comes out as it went in, and what is not exactly one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.messages import feed, load, namespace, publisher, server, starver
from rtbench.messages.lines import Lines, Message, MessageError, Reader, line, say, text
from rtbench.scenario.tables import Injection
from rtbench.subjects import Post
from rtbench.workload import Workload

WORKLOAD = feed.PlayedWorkload.of(Workload(("fanout",)))
LIMITS = server.Limits(1, 2, 3, 0.5)
OPTIONS = server.ServerOptions("::1", 0, "feed", LIMITS, "uvloop", 25.0, (Injection(subscribers=(1, 2)),), "mine.py")
EDGE = load.Edge(1, 2, 3, 4)
REPORT = load.LoadReport(
    1, EDGE, EDGE, 5, 6, ((7, 8),), ((9, 10),), {"gap": 1}, ("late",), {"a": "b"}, ((1, 2, 3),), {}
)
MESSAGES: list[tuple[Reader[Any], Message]] = [
    (feed.HELLO, feed.Hello("e", "b", WORKLOAD)),
    (load.START, load.LoadStart("socket", 3, load.LoadSettings(headers={"A": "b"}, greeting=("hi",)))),
    (load.COMMAND, load.Ramp("http://127.0.0.1:80", 1, 2.5, 3)),
    (load.COMMAND, load.Window(1, 2)),
    (load.COMMAND, load.Finish("folder", "-1", True)),
    (load.ANSWER, load.Hello(7)),
    (load.ANSWER, load.Subscribed(1, {"refused": 2}, 3)),
    (load.ANSWER, load.WindowClosed()),
    (load.ANSWER, load.Finished(REPORT)),
    (load.ANSWER, load.Failure("no space", "free the disk")),
    (namespace.READY, namespace.Ready(5)),
    (namespace.CONFIGURE, namespace.Configure("rtb0", ("10.0.0.1/30",))),
    (namespace.CONFIGURED, namespace.Configured(("tso",))),
    (publisher.CONFIG, publisher.PublisherConfig(WORKLOAD, "socket", 1, 2, 0.5)),
    (publisher.READY, publisher.Ready("e", "SCHED_FIFO 2")),
    (publisher.COMMAND, publisher.Play(("fanout",), None)),
    (publisher.COMMAND, publisher.PostTo("127.0.0.1", 80, Post(headers={"A": "b"}))),
    (publisher.COMMAND, publisher.Pause()),
    (publisher.COMMAND, publisher.Resume()),
    (publisher.COMMAND, publisher.Stop("ticks.parquet")),
    (publisher.STARTED, publisher.Started({"fanout": 1})),
    (publisher.WRITTEN, publisher.Written(5, publisher.PostCounts(1, 2, 3, 4))),
    (publisher.WRITTEN, publisher.Unwritten("no space", "free the disk")),
    (server.OPTIONS, OPTIONS),
    (server.READINESS, server.Readiness("http://127.0.0.1:80", {"loop": "uvloop", "nodelay": True})),
    (starver.BURN, starver.Burn(1, 2, 0.5, 1.5)),
]
every = pytest.mark.parametrize(("read", "message"), MESSAGES, ids=lambda value: type(value).__name__)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Every object of a JSON value whose keys are a message's or a table's, not a mapping's."""
    if isinstance(value, list):
        return [found for one in value for found in _objects(one)]
    if not isinstance(value, dict):
        return []
    mappings = ("uses", "headers", "failed", "started", "controls", "response_headers", "negotiated")
    return [value, *(found for key, one in value.items() if key not in mappings for found in _objects(one))]


@every
def test_a_message_comes_out_as_it_went_in(read: Reader[Any], message: Message) -> None:
    assert read(line(message)) == message
    assert read(text(message)) == message


@every
def test_no_key_may_be_missing_or_unknown_at_any_depth(read: Reader[Any], message: Message) -> None:
    count = len(_objects(json.loads(text(message))))
    for number in range(count):
        table = json.loads(text(message))
        _objects(table)[number]["later"] = 1
        with pytest.raises(MessageError, match="later"):
            read(json.dumps(table))
        for key in _objects(json.loads(text(message)))[number]:
            table = json.loads(text(message))
            del _objects(table)[number][key]
            with pytest.raises(MessageError, match=key):
                read(json.dumps(table))


@pytest.mark.parametrize("data", ["", "5", "[]", "{", '{"do":"dance"}', '{"do":"window","start_ns":"1","end_ns":2}'])
def test_not_a_command(data: str) -> None:
    with pytest.raises(MessageError):
        load.COMMAND(data)


def test_a_value_that_is_not_what_was_written_is_refused() -> None:
    class Kind(Message, frozen=True):
        number: int

    read: Reader[Kind] = Reader(Kind)
    read._decoder = type("Decoder", (), {"decode": lambda self, data: Kind(5)})()  # type: ignore[assignment]
    with pytest.raises(MessageError, match=r"6 is read as 5 - at `\$\.number`"):
        read('{"number":6}')


def test_a_program_may_say_less_and_more() -> None:
    assert server.PROGRAM_READINESS('{"url":"http://x","colour":"red"}') == server.Readiness("http://x")
    assert server.PROGRAM_READINESS("{}") == server.Readiness()
    for data in ("5", "[1]", '{"url":5}', "listening on 80"):
        with pytest.raises(MessageError):
            server.PROGRAM_READINESS(data)


def test_saying_is_a_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    say(namespace.Ready(5))
    assert capsys.readouterr().out == '{"ready":5}\n'


@given(st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one)), st.lists(st.integers(1, 9), min_size=1))
def test_lines_split_anywhere(lines: list[bytes], cuts: list[int]) -> None:
    wire, reader = b"".join(one + b"\n" for one in lines), Lines(20)
    found: list[bytes] = []
    at = turn = 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        found += reader.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert found == lines


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\n"])
def test_a_line_that_is_too_long(data: bytes) -> None:
    with pytest.raises(MessageError, match="a line is longer than 10 bytes"):
        Lines(10).feed(data)
