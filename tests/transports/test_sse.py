"""Server-Sent Events: the standard's parser, the codec, and the short cut against the general path."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbench.servers.kit import sse_encoder
from rtbench.streams import Emission, Pace, Source, find
from rtbench.transports import Closed, Control, Event, Heartbeat, Message, Opened, ProtocolError
from rtbench.transports.sse import Comment, EventStreamParser, Item, Retry, ServerSentEvent, SSEClient

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sse.json").read_text())
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def splits(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and at random places."""
    chosen = [[data], [data[i : i + 1] for i in range(len(data))]]
    for seed in range(8):
        cuts = sorted(random.Random(seed).choices(range(len(data) + 1), k=seed + 1))
        chosen.append([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
    return chosen


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def drive(feed: Callable[[bytes], list[Any]], pieces: list[bytes]) -> tuple[list[Any], str]:
    out: list[Any] = []
    for piece in pieces:
        try:
            out += feed(piece)
        except ProtocolError as error:
            return out + list(error.events), str(error)
    return out, ""


def show_item(item: Item) -> list[object]:
    if isinstance(item, ServerSentEvent):
        return ["event", item.type, item.data.decode("latin-1"), item.last_event_id]
    return ["comment", item.text.decode("latin-1")] if isinstance(item, Comment) else ["retry", item.after_ms]


def show(event: Event) -> list[object]:
    match event:
        case Opened():
            return ["opened", event.status]
        case Message():
            return ["message", event.id, event.payload.decode("latin-1")]
        case Control():
            return ["control", event.kind, dict(event.fields)]
        case Heartbeat():
            return ["heartbeat"]
        case Closed():
            return ["closed", event.clean, event.code, event.reason]


@pytest.mark.parametrize("case", VECTORS["streams"], ids=lambda case: case["name"])
def test_streams(case: dict[str, Any]) -> None:
    data, trailing = case["input"].encode("latin-1"), case["trailing"].encode("latin-1")
    for pieces in splits(data) + splits(data + trailing):
        parser = EventStreamParser()
        out, fault = drive(parser.feed, pieces)
        assert not fault
        assert [show_item(item) for item in out] == case["expect"]
        assert parser.last_event_id == case["last_event_id"]
        assert parser.retry_ms == case["retry_ms"]


@pytest.mark.parametrize("case", VECTORS["wire"], ids=lambda case: case["name"])
def test_wire(case: dict[str, Any]) -> None:
    data, trailing = case["input"].encode("latin-1"), case["trailing"].encode("latin-1")
    for pieces in splits(data) + splits(data + trailing):
        client = SSEClient("h", "/sse/x")
        out, fault = drive(client.feed, pieces)
        assert [show(event) for event in out] == case["expect"]
        assert client.to_send() == b""
        if case["error"]:
            assert case["error"] in fault
            with pytest.raises(ProtocolError):
                client.feed(b"x")
            assert [type(event) for event in client.eof()] == [Closed]
        else:
            assert not fault
            assert [show(event) for event in client.eof()] == case["eof"]
        assert client.eof() == []
        assert client.feed(b"after the end") == []


def test_request() -> None:
    assert SSEClient("h:1", "/sse/x").open() == (
        b"GET /sse/x HTTP/1.1\r\nHost: h:1\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"
    )
    client = SSEClient("h", "/sse/x?channel=1", 7, {"X-A": "b", "Accept": "*/*"})
    assert b"\r\nAccept: */*\r\n" in client.open()
    assert client.open().endswith(b"\r\nLast-Event-ID: 7\r\nX-A: b\r\n\r\n")
    with pytest.raises(ValueError, match="cannot stand"):
        SSEClient("h", "/sse/x", headers={"a": "b\r\n"})


def test_an_event_at_a_cr_is_not_held_back() -> None:
    parser = EventStreamParser()
    assert parser.feed(b"data: a\r\r") == [ServerSentEvent("message", b"a", "")]
    assert not parser.idle
    assert parser.feed(b"\n") == []
    assert parser.idle
    assert parser.feed(b"") == []


def test_retry_of_any_length() -> None:
    assert EventStreamParser().feed(b"retry: " + b"9" * 5000 + b"\n") == [Retry(10**19 - 1)]
    assert EventStreamParser().feed(b"retry: 000\n") == [Retry(0)]


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_what_is_kept_is_bounded(pieces: int) -> None:
    def feed(data: bytes) -> tuple[list[Any], str]:
        return drive(EventStreamParser(100).feed, [data[i : i + pieces] for i in range(0, len(data), pieces)])

    event = [ServerSentEvent("message", b"a", "")]
    assert feed(b"data: a\n\ndata: " + b"x" * 94 + b"\n")[1] == ""
    assert feed(b"data: a\n\ndata: " + b"x" * 95) == (event, "event longer than 100 bytes")
    assert feed(b"data: a\n\n" + b"data: xxxxx\n" * 16) == (event, "event longer than 100 bytes")
    assert feed(b"data: a\n\n" + b":\n" * 500)[1] == ""


def test_short_cut_keeps_to_the_limit() -> None:
    def client() -> SSEClient:
        made = SSEClient("h", "/", max_event_bytes=50)
        made.feed(HEAD + chunk(b":\n\n"))
        return made

    assert client().feed(chunk(b"id: 1\ndata: " + b"x" * 44 + b"\n\n")) == [Message(1, b"x" * 44)]
    with pytest.raises(ProtocolError, match="longer than 50") as caught:
        client().feed(chunk(b"id: 1\ndata: a\n\n") + chunk(b"id: 2\ndata: " + b"x" * 45 + b"\n\n"))
    assert caught.value.events == (Message(1, b"a"),)


def test_fault_of_the_stream_is_the_reason_at_the_end() -> None:
    client = SSEClient("h", "/", max_event_bytes=5)
    with pytest.raises(ProtocolError, match="longer than 5"):
        client.feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a")
    assert client.eof() == [Closed(False, reason="event longer than 5 bytes")]


def test_state_after_the_short_cut() -> None:
    client = SSEClient("h", "/")
    client.feed(HEAD + chunk(b"retry: 5\n\n"))
    client.feed(chunk(b"id: 41\ndata: a\n\n") + chunk(b"id: 42\ndata: b\n\n"))
    assert (client.last_event_id, client.retry_ms) == ("42", 5)
    assert client.feed(chunk(b"data: c\n\n")) == [Message(42, b"c")]


class General(SSEClient):
    """The codec without its short cut."""

    def _short_cut(self, data: bytes, events: list[Event]) -> int:
        return 0


PAYLOADS = st.one_of(
    st.sampled_from([b"", b" ", b'{"a":1}', b"a\nb", b"a\rb", b"\xff", "€".encode(), b"\n\n\r\n", b"x\ndata: y"]),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=20),
)
EVENTS = st.builds(
    lambda number, payload: b"id: %d\ndata: %b\n\n" % (number, payload), st.integers(0, 10**19), PAYLOADS
)
BLOCKS = st.one_of(
    EVENTS,
    EVENTS,
    st.sampled_from(
        [b":\n\n", b"retry: 1\n\n", b"data: x\n\n", b"data: x\r\r", b"id\n\n", b"event: gap\ndata: {}\n\n"]
    ),
    st.sampled_from([b"event: a\n", b"id: 5\ndata: x\n", b"\n", b"\r", b"\r\n"]),
)
CHUNKS = st.one_of(
    BLOCKS.map(chunk),
    BLOCKS.map(chunk),
    st.lists(BLOCKS, min_size=1, max_size=3).map(lambda blocks: chunk(b"".join(blocks))),
    BLOCKS.map(lambda block: chunk(block[:3] or b"x") + chunk(block[3:] or b"y")),
    BLOCKS.map(lambda block: b"0%X;x=y\r\n%b\r\n" % (len(block), block)),
    st.tuples(EVENTS, st.integers(-4, 4)).map(lambda pair: b"%x\r\n%b\r\n" % (max(0, len(pair[0]) + pair[1]), pair[0])),
)


def compare(chunks: list[bytes], end: bool, data: st.DataObject) -> None:
    parts = [HEAD + chunk(b":\n\n"), *chunks, *([b"0\r\n\r\n"] if end else [])]
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    general = General("h", "/")
    expected = drive(general.feed, [stream])
    for chosen in (parts, [parts[0], b"".join(parts[1:])], pieces):
        client = SSEClient("h", "/")
        assert drive(client.feed, chosen) == expected
        assert (client.last_event_id, client.retry_ms) == (general.last_event_id, general.retry_ms)
    assert client.eof() == general.eof()


STREAMS = given(chunks=st.lists(CHUNKS, min_size=1, max_size=8), end=st.booleans(), data=st.data())


@settings(max_examples=40, deadline=None)
@STREAMS
def test_short_cut_equals_general_path(chunks: list[bytes], end: bool, data: st.DataObject) -> None:
    compare(chunks, end, data)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@STREAMS
def test_short_cut_equals_general_path_at_length(chunks: list[bytes], end: bool, data: st.DataObject) -> None:
    compare(chunks, end, data)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"data", b"id", b":", b" ", b"\r", b"\n", b"\xef\xbb\xbf", b"\xff", b"1"]), max_size=30)
)
def test_stream_splits_do_not_matter(tokens: list[bytes]) -> None:
    stream = b"".join(tokens)
    one, many, each = EventStreamParser(), EventStreamParser(), EventStreamParser()
    expected = one.feed(stream)
    assert drive(many.feed, tokens)[0] == expected
    assert drive(each.feed, [bytes([byte]) for byte in stream])[0] == expected
    assert one.last_event_id == many.last_event_id == each.last_event_id


def test_what_follows_a_fault_in_the_same_read_changes_nothing() -> None:
    faulty = chunk(b"id: 5\ndata: x\n" + b"event: gap\ndata: {}\n\n" + b"retry: 7\nid: 9\ndata: y\n\n")
    client = SSEClient("h", "/")
    client.feed(HEAD)
    with pytest.raises(ProtocolError, match="without a JSON object"):
        client.feed(faulty)
    assert (client.last_event_id, client.retry_ms) == ("5", None)


# What streams say of themselves


def test_retry_advice_is_one_control_with_all_that_it_says() -> None:
    """The field is for an EventSource, which obeys it; the event around it says which retry this is."""
    advice = b'event: retry\nretry: 5000\ndata: {"after_ms":5000,"count":2}\n\n'
    for pieces in splits(HEAD + chunk(b"id: 1\ndata: x\n\n") + chunk(advice) + chunk(b"id: 2\ndata: y\n\n")):
        client = SSEClient("h", "/sse/resilient")
        events, fault = drive(client.feed, pieces)
        assert not fault
        assert [show(event) for event in events[1:]] == [
            ["message", 1, "x"],
            ["control", "retry", {"after_ms": 5000, "count": 2}],
            ["message", 2, "y"],
        ]
        assert client.retry_ms == 5000


ARTICLE_S_DASHBOARD = b"""data: {
    "active_users": 812,
    "requests_per_second": 3051,
    "error_rate": 0.42,
    "response_time_ms": 9.7
}

"""


def test_json_over_several_lines_behind_one_data_field_is_lost() -> None:
    """The article's dashboard: the lines after the first are fields of unknown names (WHATWG 9.2.6)."""
    (event,) = EventStreamParser().feed(ARTICLE_S_DASHBOARD)
    assert event == ServerSentEvent("message", b"{", "")
    with pytest.raises(json.JSONDecodeError):
        json.loads(event.data)


def test_our_dashboard_is_one_line_and_arrives_whole() -> None:
    source = Source(1, 0, 0, 1, Pace(), "dashboard")
    emission = next(iter(find("dashboard").emissions(source)))
    assert isinstance(emission, Emission)
    (event,) = EventStreamParser().feed(sse_encoder.event(1, emission.payload.encode()))
    assert event == ServerSentEvent("message", emission.payload.encode(), "1")
    assert json.loads(event.data).keys() == {"active_users", "requests_per_second", "error_rate", "response_time_ms"}
