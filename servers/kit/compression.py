"""Compression on the servers' side: each message is compressed once, and the same bytes go to every connection.

Invariant: a message refers to nothing before it (a full flush; a frame of its own with zstd), so a client that joins
late reads it, and nothing is held back: a message's last byte is written with the message. A client that does not
accept the coding gets the same message uncompressed. What a compressor per connection would save more, and cost, the
per-connection subjects show (`Flushed`, and the libraries' own permessage-deflate).
Used by the subjects that declare `codings`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtbench.servers.kit.channel import Around, ClientTransport, Encoder
from rtbench.servers.kit.framework import Framework
from rtbench.transports.coding import NONE

if TYPE_CHECKING:
    import zstandard
else:
    zstandard = Framework("zstandard")

__all__ = ["NONE", "Coded", "Flushed", "Once", "Plainly", "accepts", "body", "end_of", "packed", "pressed"]

LEVEL = 6
"""zlib's own default, for every coding of zlib's."""
ZSTD_LEVEL = 3
_WRAPPED = {"deflate": 15, "gzip": 31}
_HEADS = {"deflate": b"\x78\x9c", "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"}
"""RFC 1950 §2.2 and RFC 1952 §2.3: no name, no time, system unknown."""
_LAST_BLOCK = b"\x03\x00"
"""An empty final block (RFC 1951 §3.2.6)."""


def accepts(header: str | None, coding: str) -> bool:
    """Whether `Accept-Encoding` accepts this coding (RFC 9110 §12.5.3)."""
    for part in (header or "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in (coding, "*"):
            value = weight.replace(" ", "").removeprefix("q=")
            return value.strip("0.") != "" if weight else True
    return False


class Coded(bytes):
    """Bytes for clients that accept the coding. `plain`: for the others. `text`: what was compressed."""

    plain: bytes
    text: bytes

    @classmethod
    def of(cls, data: bytes, plain: bytes, text: bytes) -> Coded:
        made = cls(data)
        made.plain, made.text = plain, text
        return made


def pressed(coding: str) -> Callable[[bytes], bytes]:
    """A function that compresses one message by itself: a part of a deflate stream, or a whole zstd frame."""
    if coding == "zstd":
        compress: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress
        return compress
    press = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)

    def deflate(text: bytes) -> bytes:
        return press.compress(text) + press.flush(zlib.Z_FULL_FLUSH)

    return deflate


def packed(coding: str, body: bytes) -> bytes:
    """A whole body, for an answer that is complete."""
    if coding == "zstd":
        return pressed(coding)(body)
    press = zlib.compressobj(LEVEL, zlib.DEFLATED, _WRAPPED[coding])
    return press.compress(body) + press.flush()


class Once:
    """An encoder around another: `frame` puts compressed bytes on the wire, the other's bytes are for the rest."""

    def __init__(
        self, plain: Encoder, texts: Encoder, frame: Callable[[bytes], bytes], press: Callable[[bytes], bytes]
    ):
        """`plain`: the subject's encoder. `texts`: gives what is compressed."""
        self._plain, self._texts, self._frame, self._press = plain, texts, frame, press
        self.heartbeat = self._code(plain.heartbeat, texts.heartbeat) if texts.heartbeat else plain.heartbeat

    def message(self, seq: int, payload: bytes) -> bytes:
        return self._code(self._plain.message(seq, payload), self._texts.message(seq, payload))

    def control(self, kind: str, fields: dict[str, Any]) -> bytes:
        return self._code(self._plain.control(kind, fields), self._texts.control(kind, fields))

    def _code(self, plain: bytes, text: bytes) -> Coded:
        return Coded.of(self._frame(self._press(text)), plain, text)


class Plainly(Around):
    """For a client that does not accept the coding."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        self._transport.write(data.plain if isinstance(data, Coded) else data)


class _Summed(Around):
    """A compressed body of `Once` messages from its head to its checksum, which covers what this connection got."""

    __slots__ = ("_bytes", "_check", "_coding", "_sum")

    def __init__(self, transport: ClientTransport, coding: str, frame: Callable[[bytes], bytes]) -> None:
        super().__init__(transport)
        self._coding = coding
        self._check: Callable[..., int] = zlib.crc32 if coding == "gzip" else zlib.adler32
        self._sum, self._bytes = self._check(b""), 0
        transport.write(frame(_HEADS[coding]))

    def write(self, data: bytes) -> None:
        if isinstance(data, Coded):
            self._sum = self._check(data.text, self._sum)
            self._bytes += len(data.text)
        self._transport.write(data)

    def end(self) -> bytes:
        """The last bytes of the body (RFC 1950 §2.2, RFC 1952 §2.3.1)."""
        if self._coding == "deflate":
            return _LAST_BLOCK + self._sum.to_bytes(4, "big")
        return _LAST_BLOCK + self._sum.to_bytes(4, "little") + (self._bytes & 0xFFFFFFFF).to_bytes(4, "little")


def body(transport: ClientTransport, coding: str, frame: Callable[[bytes], bytes]) -> ClientTransport:
    """The transport of a body that begins now; `frame` puts bytes on the wire. zstd needs nothing around its frames."""
    return transport if coding == "zstd" else _Summed(transport, coding, frame)


def end_of(transport: ClientTransport) -> bytes:
    """The last bytes of the body that `body` began."""
    return transport.end() if isinstance(transport, _Summed) else b""


class Flushed:
    """A compressor of one connection's own: each message refers to those before it, and is flushed."""

    def __init__(self, coding: str) -> None:
        self._press: Any
        if coding == "zstd":
            self._press = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
            self._flush: int = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        else:
            self._press = zlib.compressobj(LEVEL, zlib.DEFLATED, _WRAPPED[coding])
            self._flush = zlib.Z_SYNC_FLUSH

    def message(self, text: bytes) -> bytes:
        return bytes(self._press.compress(text) + self._press.flush(self._flush))

    def end(self) -> bytes:
        return bytes(self._press.flush())
