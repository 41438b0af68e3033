"""Floods: no peer decides how much a codec holds, and the work grows with the bytes, not with their square."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fuzz.targets import unmasked
from benchmarks.fuzz.wires import KEY, STREAM_HEAD, UPGRADE
from rtbench.loadtests.reactor import links
from rtbench.transports import Asked, Message, ProtocolError, TooLarge, Undecodable, tcp
from rtbench.transports.conditional import codec as conditional
from rtbench.transports.envelope import MAX_DEPTH, is_json, reader, unwrap, wrap
from rtbench.transports.http import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, Head, ResponseParser
from rtbench.transports.poll import MAX_BODY_BYTES, PollClient, parse_body
from rtbench.transports.sse import MAX_EVENT_BYTES, EventStreamParser, ServerSentEvent, SSEClient
from rtbench.transports.tcp import MAX_LINE_BYTES
from rtbench.transports.websocket import MAX_MESSAGE_BYTES, ControlScanner, FrameSplitter, FrameTooLong, WebSocketClient

READ = 65536
MIB = 2**20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def websocket(most: int = MAX_MESSAGE_BYTES) -> WebSocketClient:
    client = WebSocketClient("h", "/x", most, read=reader("none"))
    client._protocol.key = KEY
    client.open()
    client.feed(UPGRADE)
    return client


def begun(client: Any, head: bytes) -> Any:
    client.feed(head)
    return client


@contextmanager
def traced() -> Iterator[Callable[[], tuple[int, int]]]:
    """`held()`: bytes allocated since the beginning, and the most that there were at once."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: (tracemalloc.get_traced_memory()[0] - before, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def fed_until_refused(feed: Callable[[bytes], Any], piece: bytes, most: int) -> int:
    """How many bytes were taken before the codec had enough."""
    taken = 0
    with pytest.raises(TooLarge):
        while taken <= most:
            feed(piece)
            taken += len(piece)
    return taken


# Lines, events and bodies without an end

LONG = {
    "line of an event stream": (EventStreamParser, b"", MAX_EVENT_BYTES),
    "line in a response": (lambda: SSEClient("h", "/"), ENDLESS + b"data: ", MAX_EVENT_BYTES),
    "line of plain TCP": (lambda: tcp.codec(Asked("h", "/")), b"ok\n", MAX_LINE_BYTES),
    "body of a poll": (lambda: PollClient("h", "/"), b"HTTP/1.1 200 OK\r\n\r\n", MAX_BODY_BYTES),
    "body of a conditional poll": (
        lambda: conditional(Asked("h", "/")),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
        MAX_BODY_BYTES,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_what_has_no_end_is_cut_off_and_forgotten(name: str) -> None:
    """A line of 100 MB, and more."""
    make, head, most = LONG[name]
    codec = begun(make(), head)
    with traced() as held:
        taken = fed_until_refused(codec.feed, b"x" * READ, 2 * most)
        gc.collect()  # the exception and its frames
        now, peak = held()
    assert taken <= most
    assert peak <= 2.3 * most  # a growing bytearray is moved, and has an eighth to spare
    assert now < READ  # nothing of it; coverage and xdist, in this process, hold some kB of their own


@pytest.mark.slow
@pytest.mark.parametrize("line", [b"data\n", b"data:ab\n", b"data: " + b"x" * 20 + b"\n"])
def test_many_small_lines_of_one_event_take_no_more_than_a_long_one(line: bytes) -> None:
    parser = EventStreamParser(READ)
    with traced() as held:
        fed_until_refused(parser.feed, line * 10, 9 * READ)
        peak = held()[1]
    assert peak <= 2.3 * READ


@pytest.mark.slow
def test_many_small_reads_of_one_line_take_no_more_than_a_large_one() -> None:
    for codec in (EventStreamParser(READ), begun(SSEClient("h", "/", max_event_bytes=READ), ENDLESS)):
        with traced() as held:
            fed_until_refused(codec.feed, b"xyz", 2 * READ)
            assert held()[1] <= 2.5 * READ


def test_events_share_the_id_that_holds_for_all_of_them() -> None:
    """Before, each event had a copy: one long id line and many short events made gigabytes of a megabyte."""
    parser = EventStreamParser()
    with traced() as held:
        parser.feed(b"id: " + b"7" * MIB + b"\n")
        events = parser.feed(b"data\n\n" * 1000)
        peak = held()[1]
    assert len(events) == 1000
    assert isinstance(events[0], ServerSentEvent)
    assert all(
        isinstance(event, ServerSentEvent) and event.last_event_id is events[0].last_event_id for event in events
    )
    assert peak < 6 * MIB


# Heads


@pytest.mark.parametrize("field", [b"A: b\r\n", b"A:\r\n", b"Set-Cookie: x\r\n"])
def test_a_million_header_fields(field: bytes) -> None:
    for codec in (ResponseParser(), SSEClient("h", "/"), PollClient("h", "/"), WebSocketClient("h", "/")):
        taken = fed_until_refused(begun(codec, b"HTTP/1.1 200 OK\r\n").feed, field * 100, 10**6 * len(field))
        assert taken <= MAX_HEAD_BYTES


def test_the_number_of_header_fields_has_a_limit_of_its_own() -> None:
    head = b"HTTP/1.1 204 x\r\n"
    (found, _) = ResponseParser().feed(head + b"A: b\r\n" * MAX_HEAD_FIELDS + b"\r\n")
    assert isinstance(found, Head)
    assert found.headers == {"a": ", ".join(["b"] * MAX_HEAD_FIELDS)}
    for size in (1, 7, READ):
        data = head + b"A: b\r\n" * (MAX_HEAD_FIELDS + 1) + b"\r\n"
        parser = ResponseParser()
        with pytest.raises(TooLarge, match="more than 1000 fields") as caught:
            for at in range(0, len(data), size):
                parser.feed(data[at : at + size])
        assert caught.value.events == ()


@pytest.mark.parametrize("size", [1, 100, READ])
def test_a_scanner_s_head_is_as_long_as_a_codec_s(size: int) -> None:
    for length in (MAX_HEAD_BYTES, MAX_HEAD_BYTES + 1):
        head = b"HTTP/1.1 101 x\r\nA: %b\r\n\r\n" % (b"a" * (length - 23))
        assert len(head) == length
        scanner, refused = ControlScanner(handshake=True), False
        try:
            for at in range(0, length, size):
                scanner.scan(head[at : at + size])
        except TooLarge:
            refused = True
        assert refused == (length > MAX_HEAD_BYTES)


# Chunks


@pytest.mark.parametrize("flood", [b"5;" + b"x=y;" * 40_000, b"0\r\n" + b"A: b\r\n" * 20_000, b"0" * 200_000])
def test_endless_chunk_framing_is_refused_wherever_it_is_split(flood: bytes) -> None:
    outcomes = set()
    for size in (len(flood), 5000, 37):
        parser, taken, fault = begun(ResponseParser(), CHUNKED + b"3\r\nabc\r\n"), 0, ""
        try:
            for at in range(0, len(flood), size):
                parser.feed(flood[at : at + size])
                taken += size
        except ProtocolError as error:
            fault = str(error)
        assert taken <= MAX_HEAD_BYTES * 5 // 4
        outcomes.add(fault)
    assert len(outcomes) == 1


def test_framing_that_data_interrupts_is_not_a_flood() -> None:
    """Extensions of 30 KB before each byte: slow, but it moves, and nothing is kept."""
    chunk = b"1;%b\r\nx\r\n" % (b"e" * 30_000)
    for size in (len(chunk), 4096, READ, 10 * len(chunk)):
        parser, parts, data = begun(ResponseParser(), CHUNKED), [], chunk * 10
        for at in range(0, len(data), size):
            parts += parser.feed(data[at : at + size])
        assert b"".join(part.data for part in parts) == b"x" * 10


@pytest.mark.parametrize("lengths", [(40_000, 60_000), (10, 90_000), (70_000, 10)])
def test_the_short_cut_counts_framing_as_the_parser_does(lengths: tuple[int, int]) -> None:
    plain = b"".join(b"10\r\nid: 1\ndata: xxx\n\n\r\n" for _ in range(700))
    data = STREAM_HEAD + plain + b"".join(b"2;%b\r\n:\n\r\n%b" % (b"e" * length, plain) for length in lengths)
    outcomes = []
    for size in (len(data), READ, 24, 1000):
        client, count, fault = SSEClient("h", "/"), 0, ""
        for at in range(0, len(data), size):
            try:
                found: Any = client.feed(data[at : at + size])
            except ProtocolError as error:
                found, fault = error.events, str(error)
            count += sum(isinstance(event, Message) for event in found)
            if fault:
                break
        outcomes.append((count, fault))
    assert outcomes == [outcomes[0]] * 4


# Frames


@pytest.mark.parametrize("length", [MAX_MESSAGE_BYTES + 1, 2**31, 2**32, 2**63, 2**64 - 1])
def test_a_frame_s_length_is_judged_by_its_header(length: int) -> None:
    header = b"\x81\x7f" + length.to_bytes(8, "big")
    for make in (FrameSplitter, ControlScanner, websocket):
        for pieces in ([header], [header[:3], header[3:]], [header + b"x" * 1000]):
            codec: Any = make()
            take = codec.scan if isinstance(codec, ControlScanner) else codec.feed
            with traced() as held:
                with pytest.raises(FrameTooLong, match=f"frame of {length} bytes"):
                    for piece in pieces:
                        take(piece)
                assert held()[0] < 50_000


@pytest.mark.slow
def test_thousands_of_fragments_hold_their_bytes_and_no_more() -> None:
    client = websocket()
    client.feed(b"\x01\x00")
    with traced() as held:
        for _ in range(30):
            client.feed(b"\x00\x00" * 100)  # of nothing, for ever
        empty, _ = held()
        for _ in range(30):
            client.feed(b"\x00\x01x" * 100)
        full, _ = held()
    assert empty < 8192
    assert full < 3 * 3000 + 8192
    assert client.feed(b"\x80\x00") == [Message(-1, b"x" * 3000)]


def test_fragments_together_are_as_long_as_a_message() -> None:
    client = websocket(1000)
    client.feed(b"\x01\x7e\x03\xe8" + b"x" * 1000)
    with pytest.raises(TooLarge):
        client.feed(b"\x00\x01x")
    assert client._fragments is None
    assert [frame[1][:2] for frame in unmasked(client.to_send())] == [b"\x03\xf1"]  # 1009: too big


def test_every_ping_of_a_flood_has_its_pong() -> None:
    pings = b"\x89\x01p" * 2000
    assert unmasked(ControlScanner().scan(pings)) == [(0x8A, b"p")] * 2000


# Envelopes


def test_nesting_has_a_limit_that_the_caller_s_stack_does_not_move() -> None:
    def under(frames: int, call: Callable[[], Any]) -> Any:
        return under(frames - 1, call) if frames else call()

    for depth in (1, MAX_DEPTH, MAX_DEPTH + 1, 500, 970, 1000, 100_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            value = (opening * depth + "1" + closing * depth).encode()
            fits = depth <= MAX_DEPTH
            assert is_json(value) == under(300, lambda v=value: is_json(v)) == fits
            listed = b'{"messages":[{"id":1,"data":[%b]}],"next":1,"gap":null,"end":false}' % value
            if depth < MAX_DEPTH - 2:
                assert parse_body(listed)[1] == 1
            elif depth > MAX_DEPTH:
                with pytest.raises(ProtocolError):
                    parse_body(listed)
                assert type(reader("payload")(b'{"id":1,"data":[%b]}' % value)) is Undecodable
            assert unwrap(wrap(1, value)) == Message(1, value)  # too deep for JSON is a text
    assert is_json(json.dumps(["[" * 1000]).encode())  # brackets in a string are text


# Work


def cpu_ns(make: Callable[[], Any], head: bytes, unit: bytes, reads: int) -> int:
    """The least of three: of a busy machine's times the least is the work."""

    def once() -> int:
        codec = begun(make(), head)
        feed, before = codec.feed, time.thread_time_ns()
        for _ in range(reads):
            feed(unit)
        return time.thread_time_ns() - before

    return min(once() for _ in range(3))


GROWING = {
    "one line of an event stream": (EventStreamParser, b"data: ", b"x" * 64),
    "lines of one event": (EventStreamParser, b"", b"data: x\n" * 8),
    "events after a long id": (EventStreamParser, b"id: " + b"7" * 100_000 + b"\n", b"data\n\n" * 10),
    "one line of plain TCP": (lambda: tcp.codec(Asked("h", "/")), b"ok\n", b"x" * 64),
    "one body": (lambda: PollClient("h", "/"), b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 64),
    "chunks of one byte": (lambda: PollClient("h", "/"), CHUNKED, b"1\r\nx\r\n" * 10),
    "one head": (lambda: ResponseParser(), b"HTTP/1.1 200 OK\r\nA: ", b"x" * 7),
    "one frame": (websocket, b"\x81\x7f\x00\x00\x00\x00\x00\xff\xff\xff", b"x" * 64),
    "fragments of one byte": (websocket, b"\x01\x01x", b"\x00\x01x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWING)
def test_work_grows_with_the_bytes(name: str) -> None:
    """16 times the bytes: 16 times the work, and with its square 256 times. The limit is far from both."""
    make, head, unit = GROWING[name]
    few = 500
    assert cpu_ns(make, head, unit, 16 * few) < 64 * max(cpu_ns(make, head, unit, few), 200_000)


def test_the_page_has_the_limits_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs/explanation/parsers.md").read_text()
    for value, name in (
        (f"{MAX_HEAD_BYTES:,} bytes", "http.MAX_HEAD_BYTES"),
        (f"{MAX_HEAD_FIELDS:,}", "http.MAX_HEAD_FIELDS"),
        (f"{MAX_EVENT_BYTES:,} bytes", "sse.MAX_EVENT_BYTES"),
        (f"{MAX_MESSAGE_BYTES:,} bytes", "websocket.MAX_MESSAGE_BYTES"),
        (f"{MAX_LINE_BYTES:,} bytes", "tcp.MAX_LINE_BYTES"),
        (f"{MAX_BODY_BYTES:,} bytes", "poll.MAX_BODY_BYTES"),
        (f"{MAX_DEPTH}", "envelope.MAX_DEPTH"),
        (f"{links.MAX_UNSENT_BYTES:,} bytes", "links.MAX_UNSENT_BYTES"),
    ):
        assert f"| {value} | `{name}`" in page
