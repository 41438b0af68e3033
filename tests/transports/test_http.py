"""The response parser: framing, bounds, and that it does not matter how the bytes were split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbench.transports import ProtocolError
from rtbench.transports.http import MAX_HEAD_BYTES, Body, Complete, Head, ResponseParser, request_head

PLAIN = b"HTTP/1.1 200 OK\r\nA: 1\r\na:  2 \r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n\r\n\r\na\r\n2\r\n\r\n\r\n0\r\nT: u\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
ERROR = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
PIECES = (PLAIN, CHUNKED, EMPTY, NOT_MODIFIED, INTERIM, ERROR)


def drive(pieces: list[bytes]) -> tuple[list[object], str]:
    """What came out, with bodies joined, and the fault."""
    parser, out, fault = ResponseParser(), [], ""
    for piece in pieces:
        try:
            parts = parser.feed(piece)
        except ProtocolError as error:
            parts, fault = list(error.events), str(error)
        for part in parts:
            if isinstance(part, Body) and out and isinstance(out[-1], Body):
                out[-1] = Body(out[-1].data + part.data)
            else:
                out.append(part)
        if fault:
            break
    return out, fault


def test_known_length_and_keep_alive() -> None:
    parser = ResponseParser()
    assert parser.idle
    for _ in range(2):
        assert parser.feed(PLAIN) == [
            Head(200, {"a": "1, 2", "content-length": "3"}),
            Body(b"abc"),
            Complete(True, len(PLAIN)),
        ]
        assert parser.idle
    assert parser.eof() == []


def test_chunked_with_line_ends_inside_chunks_and_a_trailer() -> None:
    out, fault = drive([CHUNKED + PLAIN])
    assert not fault
    assert out[1] == Body(b"\r\n\r\na\r\n")
    assert out[2] == Complete(True, len(CHUNKED))
    assert out[-1] == Complete(True, len(PLAIN))


def test_without_body_and_interim() -> None:
    out, fault = drive([EMPTY + INTERIM + INTERIM + NOT_MODIFIED + ERROR])
    assert not fault
    assert [part.status for part in out if isinstance(part, Head)] == [204, 304, 404]
    sizes = [part.wire_bytes for part in out if isinstance(part, Complete)]
    assert sizes == [len(EMPTY), 2 * len(INTERIM) + len(NOT_MODIFIED), len(ERROR)]


@pytest.mark.parametrize("fields", [b"", b"Transfer-Encoding: chunked, gzip\r\n"])
def test_body_until_eof(fields: bytes) -> None:
    parser = ResponseParser()
    data = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nab"
    parts = parser.feed(data)
    assert parts[1:] == [Body(b"ab")]
    assert not parser.idle
    assert parser.eof() == [Complete(False, len(data))]
    assert parser.idle


@pytest.mark.parametrize("data", [PLAIN[:10], PLAIN[:-1], CHUNKED[:-1], INTERIM])
def test_eof_inside_a_response(data: bytes) -> None:
    parser = ResponseParser()
    parser.feed(data)
    with pytest.raises(ProtocolError, match="inside a response"):
        parser.eof()
    with pytest.raises(ProtocolError, match="inside a response"):
        parser.eof()


@pytest.mark.parametrize(
    "data",
    [
        b"junk\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + PLAIN,
    ],
)
def test_faults_are_for_good(data: bytes) -> None:
    parser = ResponseParser()
    with pytest.raises(ProtocolError):
        parser.feed(data)
    with pytest.raises(ProtocolError):
        parser.feed(PLAIN)
    with pytest.raises(ProtocolError):
        parser.eof()


def test_what_came_before_a_fault_is_not_lost() -> None:
    with pytest.raises(ProtocolError) as caught:
        ResponseParser().feed(PLAIN + b"junk\r\n\r\n")
    assert caught.value.events[-1] == Complete(True, len(PLAIN))


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_head_is_bounded(size: int) -> None:
    exact = b"HTTP/1.1 204 x\r\nA: %b\r\n\r\n"
    longest = exact % (b"a" * (MAX_HEAD_BYTES - len(exact) + 2))
    if size > 1:
        out, fault = drive([longest[i : i + size] for i in range(0, len(longest), size)])
        assert len(out) == 2
        assert not fault
    for data in (exact % (b"a" * (MAX_HEAD_BYTES - len(exact) + 3)), b"HTTP/1.1 200 OK\r\nA: " + b"a" * MAX_HEAD_BYTES):
        out, fault = drive([data[:-1000], *(data[i : i + size] for i in range(len(data) - 1000, len(data), size))])
        assert not out
        assert "head longer" in fault


def test_chunk_framing_is_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert "framing longer" in drive([head, b"5;x=", b"y" * MAX_HEAD_BYTES])[1]
    assert "framing longer" in drive([head, b"0\r\n", *[b"A: b\r\n"] * (MAX_HEAD_BYTES // 6 + 1)])[1]


def test_between_chunks() -> None:
    parser = ResponseParser()
    head, steps = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (b"1", b"\r\n", b"\n", b"\r", b"\n")
    states = [(parser.feed(step), parser.between_chunks)[1] for step in (head, *steps, *steps, b"1")]
    assert states == [False, False, False, False, False, True, False, False, False, False, True, False]
    parser = ResponseParser()
    parser.feed(head + b"1\r\na\r\n0\r\n")
    assert not parser.between_chunks
    parser.feed(b"\r\n")
    assert not parser.between_chunks


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_splits_do_not_matter(data: st.DataObject) -> None:
    stream = b"".join(data.draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5)))
    if data.draw(st.booleans()):  # a fault somewhere, or none
        at = data.draw(st.integers(0, len(stream) - 1))
        stream = stream[:at] + data.draw(st.binary(min_size=1, max_size=2)) + stream[at + 1 :]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert drive(pieces) == drive([stream]) == drive([bytes([byte]) for byte in stream])


def test_request_head() -> None:
    assert request_head("GET", "/a?b=1", "h:80", {"X": "y z"}) == b"GET /a?b=1 HTTP/1.1\r\nHost: h:80\r\nX: y z\r\n\r\n"
    assert request_head("GET", "/", "h") == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "path", "host", "headers"),
    [
        ("G T", "/", "h", {}),
        ("GET", "/a b", "h", {}),
        ("GET", "/\r\nX: y", "h", {}),
        ("GET", "", "h", {}),
        ("GET", "/", "h\n", {}),
        ("GET", "/", "h", {"a": "b\r\nc: d"}),
        ("GET", "/", "h", {"a": "b\n"}),
        ("GET", "/", "h", {"a\r\nb": "c"}),
        ("GET", "/", "h", {"a": "\0"}),
    ],
)
def test_request_head_refuses(method: str, path: str, host: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        request_head(method, path, host, headers)
