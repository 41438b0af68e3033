"""The parsers that read what a peer sends: one target each.

Invariant: a target's outcome has everything that the parser's caller sees, and nothing that a split may change (cuts
between body pieces, masks). Called by the tests and by `python -m benchmarks.fuzz`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.fuzz import capture
from benchmarks.fuzz.harness import VECTORS, Finding, Outcome, Target, drive, vectors
from benchmarks.fuzz.wires import ASKED, BODIES, FIELDS, FRAMES, HEADS, KEY, STREAM_HEAD, UPGRADE, after, asked
from rtbench.servers.kit import feed
from rtbench.servers.publisher.post import _Line as PostLine
from rtbench.transports import Message, ProtocolError
from rtbench.transports.conditional import CODECS
from rtbench.transports.envelope import _unwrap as unwrap_whole
from rtbench.transports.envelope import is_json, reader, unwrap, wrap
from rtbench.transports.http import Body, Head, Part, ResponseParser
from rtbench.transports.poll import PollClient, PollResponse
from rtbench.transports.sse import EventStreamParser, SSEClient
from rtbench.transports.sse import codec as sse_codec
from rtbench.transports.tcp import codec as tcp_codec
from rtbench.transports.websocket import ControlScanner, WebSocketClient
from rtbench.transports.websocket import codec as websocket_codec

# Server-Sent Events


def _stream(mode: int, pieces: Sequence[bytes]) -> Outcome:
    parser = EventStreamParser(64) if mode & 0x80 else EventStreamParser()
    events, fault, _ = drive(_Once(parser), pieces)
    return events, fault, parser.retry_ms, None if fault else parser.last_event_id


class _Once:
    """A parser that is not fed after its fault: `SSEClient` sees to that."""

    def __init__(self, parser: Any) -> None:
        self._parser, self._over = parser, False

    def feed(self, data: bytes) -> list[Any]:
        if self._over:
            return []
        try:
            found: list[Any] = self._parser.feed(data)
        except ProtocolError:
            self._over = True
            raise
        return found


def _sse(mode: int, pieces: Sequence[bytes]) -> Outcome:
    if mode & 0x80:
        client = SSEClient("h", "/x", max_event_bytes=64, read=None)
    else:
        client = sse_codec(asked(mode))
    head = STREAM_HEAD if mode & 0x40 else b""
    return *drive(client, after(head, pieces)), client.last_event_id, client.retry_ms


def _sse_seeds() -> list[bytes]:
    events = [b"id: %d\ndata: {}\n\n" % number for number in range(3)]
    return [
        *vectors("sse.json", "wire"),
        STREAM_HEAD + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events) + b"0\r\n\r\n",
    ]


# WebSocket


def _websocket(mode: int, handshake: bytes, pieces: Sequence[bytes]) -> Outcome:
    client = WebSocketClient("h", "/x", 200) if mode & 0x80 else websocket_codec(asked(mode))
    client._protocol.key = KEY
    client.open()
    return *drive(client, after(handshake, pieces)), unmasked(client.to_send())


def unmasked(data: bytes) -> list[tuple[int, bytes]]:
    """First byte and payload of each of a client's frames, which are short and masked."""
    frames = []
    while data:
        size, key = data[1] & 0x7F, data[2:6]
        frames.append((data[0], bytes(byte ^ key[i % 4] for i, byte in enumerate(data[6 : 6 + size]))))
        data = data[6 + size :]
    return frames


def _frames(mode: int, pieces: Sequence[bytes]) -> Outcome:
    outcome = _websocket(mode, UPGRADE, pieces)
    scanner, owed, fault = ControlScanner(200 if mode & 0x80 else 2**24), [], ""
    for piece in pieces:
        try:
            owed += unmasked(scanner.scan(piece))
        except ProtocolError as error:
            fault = str(error)
            break
    _, failed, _, sent = outcome
    if not failed and not fault and [_short(one) for one in owed] != [_short(one) for one in sent]:
        raise Finding(f"the scanner sends {owed!r}, the codec {sent!r}")
    # A fault ends the scan before its pongs are returned: how many came before it depends on the reads.
    return outcome, fault, scanner.close_code, None if fault else owed


def _short(frame: tuple[int, bytes]) -> tuple[int, bytes]:
    """A close frame's echo may leave the reason out (RFC 6455 §5.5.1)."""
    return (frame[0], frame[1][:2]) if frame[0] == 0x88 else frame


# HTTP and polling


def joined(parts: Sequence[Part]) -> list[Part]:
    """Parts without the cuts between body pieces."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, Body) and out and isinstance(out[-1], Body):
            out[-1] = Body(out[-1].data + part.data)
        elif not isinstance(part, Body) or part.data:
            out.append(part)
    return out


class _EndOnce:
    """`ResponseParser` with an `eof` that gives its fault."""

    def __init__(self) -> None:
        self._parser = ResponseParser()
        self.feed = self._parser.feed

    def eof(self) -> list[Any]:
        try:
            return list(self._parser.eof())
        except ProtocolError as error:
            return [str(error)]


def _http(_mode: int, pieces: Sequence[bytes]) -> Outcome:
    parts, fault, ending = drive(_EndOnce(), pieces)
    if any(isinstance(part, Head) and len(part.headers) > 1000 for part in parts):
        raise Finding("more header fields than the limit")
    return joined(parts), fault, ending


def _poll(mode: int, pieces: Sequence[bytes]) -> Outcome:
    client = PollClient("h", "/x", 5 if mode & 1 else None, json_payload=(None, True, False)[mode % 3])
    outcome = drive(client, pieces)
    if len(pieces) == 1 and not outcome[1] and len(outcome[0]) == 1:
        _glances(pieces[0], outcome[0][0])
    return *outcome, client.since, client.etag, client.request()


def _glances(data: bytes, response: PollResponse) -> None:
    """A read that is taken at a glance must mean what the parser finds in it."""
    quick = PollClient("h", "/x", 5)
    seen = quick.glance(data)
    if seen is None:
        return
    found = (seen.status, seen.next if seen.status == 200 else None, seen.end, seen.etag.decode("latin-1"))
    whole = (response.status, response.next, response.end, response.headers.get("etag", ""))
    if found != whole or not response.keep_alive or response.received_bytes != len(data):
        raise Finding(f"at a glance {found!r}, whole {whole!r}")


def _conditional(mode: int, pieces: Sequence[bytes]) -> Outcome:
    client = CODECS[("conditional", "interval")[mode & 1]](asked(mode >> 1))
    return *drive(client, pieces), client.since, client.request()


def _poll_seeds() -> list[bytes]:
    body = b'{"messages":[{"id":1,"data":{}}],"next":1,"gap":null,"end":false}'
    return [
        *vectors("poll.json", "responses"),
        b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body),
    ]


def _conditional_seeds() -> list[bytes]:
    conversations = json.loads((VECTORS / "conditional.json").read_text())["conversations"]
    return [b"".join(turn["answer"].encode("latin-1") for turn in one["turns"]) for one in conversations]


# Lines, envelopes, the feed


def _tcp(mode: int, pieces: Sequence[bytes]) -> Outcome:
    return drive(tcp_codec(asked(mode)), pieces)


_READERS = tuple(reader(one.carries_id, one.json_payload, one.payload) for one in ASKED[2:])


def _envelope(mode: int, pieces: Sequence[bytes]) -> Outcome:
    (text,) = pieces
    known = (None, True, False)[mode % 3]
    for read in _READERS:
        read(text)  # never raises: what cannot be read is Undecodable
    try:
        found: Any = unwrap(text, known)
    except ProtocolError as error:
        found = str(error)
    try:
        slowly: Any = unwrap_whole(text.decode(), known)
    except (ValueError, RecursionError):
        slowly = None  # a plain envelope is not searched for faults inside its payload
    if slowly is not None and slowly != found:
        raise Finding(f"the short way {found!r}, the whole {slowly!r}")
    try:
        text.decode()
    except UnicodeDecodeError:
        return found
    judged = is_json(text)
    if unwrap(wrap(7, text, judged), judged) != Message(7, text):
        raise Finding(f"{text!r} does not survive its envelope")
    return found


_JSON = (
    b'{"id":1,"data":', b'{"control":"end","last":2}', b'{"id":', b'"data":', b'"n":7', b"1e999", b"NaN", b"-0",
    b'"\\ud800"', b'"\\u0000"', b"null", b"true", b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b" ", b"\xff",
    b"[" * 60, b"9" * 30,
)  # fmt: skip


def _envelopes() -> list[bytes]:
    return [
        b'{"id":1,"data":{"a":[1,2]}}', b'{"id":1,"data":"x"}', b'{"control":"gap","from":1,"to":2}',
        b'{"n":5,"data":["x"]}',
        b' {"data" : "\\u20ac" , "id" : 3 } ', b'{"id":1,"data":' + b"[" * 190 + b"]" * 190 + b"}",
    ]  # fmt: skip


def _feed(mode: int, pieces: Sequence[bytes]) -> Outcome:
    frames: list[Any] = []
    fault = ""
    parser = feed.Reader(64 if mode & 0x80 else 2**20)
    try:
        for piece in pieces:
            for kind, body in parser.feed(piece):
                frames.append((kind, body))
    except feed.FeedError as error:
        fault = str(error)
    contents: list[Any] = []
    for kind, body in frames:
        try:
            contents.append(feed.unpack_uplink(body) if kind == feed.UPLINK else list(feed.unpack(body)))
        except feed.FeedError as error:
            contents.append(str(error))
    return frames, fault, contents


def _feed_seeds() -> list[bytes]:
    ticks = feed.pack(0, 1, 5, b"{}") + feed.pack(1, 2, 6, b"x" * 40)
    return [
        feed.frame(feed.HELLO, b"{}")
        + feed.frame(feed.TICKS, ticks)
        + feed.frame(feed.LIVE)
        + feed.pack_uplink(0, b"{}")
    ]


# Answers to the publisher's requests


class _Answers:
    """A socket of the publisher that has one read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, _size: int) -> bytes:
        return self._data

    def close(self) -> None:
        """Nothing is open."""


def _posts(mode: int, pieces: Sequence[bytes]) -> Outcome:
    line: Any = PostLine(("127.0.0.1", 9))
    line.sent.extend(b"POST /%d HTTP/1.1\r\n\r\n" % number for number in range(mode & 7))
    line.socket = _Answers(b"")
    for piece in pieces:
        if piece and line.socket is not None:
            line.socket = _Answers(piece)
            line.receive()
    return line.posted, line.refused, line.refusal, list(line.sent), line.socket is None


TARGETS = {
    target.name: target
    for target in (
        Target("event-stream", _stream, FIELDS, lambda: vectors("sse.json", "streams")),
        Target("sse", _sse, (*FIELDS, *HEADS), _sse_seeds),
        Target("frames", _frames, FRAMES, lambda: vectors("websocket.json", "frames", encoding="hex")),
        Target(
            "handshake",
            lambda mode, pieces: _websocket(mode, b"", pieces),
            (UPGRADE, *HEADS, *FRAMES),
            lambda: [UPGRADE + FRAMES[0]],
        ),
        Target("http", _http, HEADS, lambda: [*vectors("poll.json", "responses"), *vectors("sse.json", "wire")]),
        Target("poll", _poll, (*HEADS, *BODIES), _poll_seeds),
        Target("conditional", _conditional, (*HEADS, *BODIES), _conditional_seeds),
        Target(
            "lines",
            _tcp,
            (*_JSON, b"ok\n", b"\n"),
            lambda: [b'ok\n{"id":1,"data":{}}\n\n{"control":"end","last":1}\n', b"error x\n"],
        ),
        Target("envelope", _envelope, _JSON, _envelopes, framed=False),
        Target(
            "feed",
            _feed,
            (feed.frame(feed.LIVE), feed.frame(feed.TICKS, b"x" * 24), b"\0", b"\xff\xff\xff\x7f"),
            _feed_seeds,
        ),
        Target("posts", _posts, HEADS, lambda: [b"HTTP/1.1 202 x\r\nContent-Length: 0\r\n\r\n" * 3]),
        Target("capture", capture.decode, (*HEADS[:9], *FRAMES, *BODIES, b"ok\n"), capture.seeds),
    )
}
"""By name."""
