"""Messages that are compressed once: the same bytes make a whole body for whoever joins when."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from rtbench.servers.kit import compression, sse_encoder, websocket_encoder
from rtbench.servers.sse_aiohttp import encoder
from rtbench.transports.coding import CODINGS, Decoder

pytest.importorskip("zstandard", reason="zstandard is missing: make setup")


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return len(self.data)

    def get_extra_info(self, name: str) -> Any:
        return None

    def abort(self) -> None:
        self.data = b""


def same(data: bytes) -> bytes:
    return data


def body(wire: Wire) -> bytes:
    """The content of the chunks."""
    found, data = b"", wire.data
    while data:
        size, _, data = data.partition(b"\r\n")
        found, data = found + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return found


@pytest.mark.parametrize("coding", CODINGS)
def test_each_subscriber_gets_a_body_that_is_whole(coding: str) -> None:
    made = encoder(coding)
    sent = [made.message(n, b'{"n":%d}' % n) for n in range(1, 6)]
    sent += [made.heartbeat, made.control("end", {"last": 5})]
    for first in range(len(sent)):
        wire = Wire()
        transport = compression.body(wire, coding, sse_encoder.chunk)
        for data in sent[first:]:
            transport.write(data)
        if last := compression.end_of(transport):
            wire.write(sse_encoder.chunk(last))
        text = b"".join(b'id: %d\ndata: {"n":%d}\n\n' % (n, n) for n in range(first + 1, 6))
        text += (sse_encoder.COMMENT if first < 6 else b"") + sse_encoder.notice("end", {"last": 5})
        assert Decoder(coding).feed(body(wire)) == text
        if coding == "gzip":
            assert gzip.decompress(body(wire)) == text  # the checksum and the length are right
        elif coding == "deflate":
            assert zlib.decompress(body(wire)) == text


def test_a_client_that_does_not_accept_it_gets_the_same_uncompressed() -> None:
    made, plain, wire = encoder("gzip"), encoder("none"), Wire()
    transport = compression.Plainly(wire)
    for encode in (made, plain):
        for data in (encode.message(1, b"{}"), encode.heartbeat, encode.control("end", {"last": 1})):
            transport.write(data)
    half = len(wire.data) // 2
    assert wire.data[:half] == wire.data[half:] != b""


def test_frames_are_marked_and_can_be_read_in_any_context() -> None:
    made = websocket_encoder.encoder("deflate")
    kept = zlib.decompressobj(-15)
    for n in (1, 2, 3):
        frame = made.message(n, b'{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}')
        assert frame[0] == 0xC1 and frame[1] == len(frame) - 2
        text = b'{"id":%d,"data":{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}' % n
        assert kept.decompress(frame[2:] + b"\x00\x00\xff\xff") == text
        assert zlib.decompressobj(-15).decompress(frame[2:] + b"\x00\x00\xff\xff") == text
    assert made.heartbeat == websocket_encoder.encoder("none").heartbeat


@pytest.mark.parametrize("coding", CODINGS)
def test_a_connection_s_own_compressor_holds_nothing_back(coding: str) -> None:
    press, reads, text = compression.Flushed(coding), Decoder(coding), b"data: the same words\n\n"
    sizes = []
    for _ in range(3):
        data = press.message(text)
        sizes.append(len(data))
        assert reads.feed(data) == text
    assert sizes[2] < sizes[0]  # it refers to the ones before it
    assert reads.feed(press.end()) == b""


@pytest.mark.parametrize("coding", CODINGS)
def test_a_whole_answer(coding: str) -> None:
    assert Decoder(coding).feed(compression.packed(coding, b"[1,2,3]")) == b"[1,2,3]"


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False), ("", False), ("identity", False), ("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False),
        ("gzip; q=0.000", False), ("*", True), ("deflate, zstd", False), ("x-gzip-like", False),
    ],
)  # fmt: skip
def test_what_a_client_accepts(header: str | None, accepted: bool) -> None:
    assert compression.accepts(header, "gzip") is accepted
