"""Content codings (RFC 9110 §8.4.1) and the deflate of WebSocket messages (RFC 7692), as a client reads them.

Invariant: what comes out does not depend on how the bytes were split, and one read gives at most MOST_BYTES, so that no
peer decides how much memory it takes. Called by the sse, poll, conditional and websocket codecs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from rtbench.transports import ProtocolError, TooLarge

NONE = "none"
CODINGS = ("deflate", "gzip", "zstd")
MOST_BYTES = 16 * 1024 * 1024
_ZLIB, _GZIP, _RAW = 15, 31, -15
_SYNC = b"\x00\x00\xff\xff"
"""The end of a flush, which a WebSocket message leaves out (RFC 7692 §7.2.1)."""
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""The largest window of the content coding (RFC 9659)."""
_PIECE_BYTES = 64
"""Four bytes of zstd may stand for 128 KiB: pieces of this size bound what one call can give."""


class Decoder:
    """One compressed body from its first byte: `gzip` and `zstd` may have several members, one after another."""

    def __init__(self, coding: str) -> None:
        """Raises ProtocolError for a coding that rtbench does not read."""
        if coding not in CODINGS:
            raise ProtocolError(f"content coding {coding!r}")
        self._coding = coding
        self._make: Callable[[], Any] = {"deflate": _inflater, "gzip": _gunzipper, "zstd": _unzstd}[coding]
        self._member = self._make()

    def feed(self, data: bytes) -> bytes:
        """The text that `data` completes. Raises ProtocolError."""
        found = bytearray()
        while data:
            if self._member.eof:
                self._member = self._make()
            try:
                found += self._member.decompress(data, MOST_BYTES - len(found))
            except (zlib.error, ValueError) as error:
                raise ProtocolError(f"malformed {self._coding} body: {error}") from error
            if self._member.unconsumed_tail or len(found) >= MOST_BYTES:
                raise TooLarge(f"{self._coding} body of more than {MOST_BYTES} bytes in one read")
            data = self._member.unused_data
        return bytes(found)


def decoder(headers: Any) -> Decoder | None:
    """The decoder of a response with these (lower-case) header fields; None: its body is not compressed."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    return None if coding in ("", "identity") else Decoder(coding.removeprefix("x-"))


class Inflater:
    """The messages of one WebSocket, in order; `takeover`: each may refer to the ones before it (RFC 7692 §7.1.1)."""

    def __init__(self, takeover: bool, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept = zlib.decompressobj(_RAW) if takeover else None

    def message(self, data: bytes) -> bytes:
        """The text of a compressed message. Raises ProtocolError."""
        context = self._kept or zlib.decompressobj(_RAW)
        try:
            text = context.decompress(data + _SYNC, self._most + 1)
        except zlib.error as error:
            raise ProtocolError(f"malformed deflate message: {error}") from error
        if len(text) > self._most:
            raise TooLarge(f"message of more than {self._most} bytes")
        return text


def _inflater() -> Any:
    return zlib.decompressobj(_ZLIB)


def _gunzipper() -> Any:
    return zlib.decompressobj(_GZIP)


def _unzstd() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise ProtocolError("content coding 'zstd' needs the package zstandard") from error
    return _Zstd(zstandard)


class _Zstd:
    """`zstandard`'s decompressor with the face of zlib's, which gives no more than it is asked for."""

    unconsumed_tail = b""

    def __init__(self, library: Any) -> None:
        self._object = library.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
        self._fault = library.ZstdError
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    def decompress(self, data: bytes, most: int) -> bytes:
        found = bytearray()
        for at in range(0, len(data), _PIECE_BYTES):
            try:
                found += self._object.decompress(data[at : at + _PIECE_BYTES])
            except self._fault as error:
                raise ValueError(str(error)) from error
            if self._object.eof:
                self.unused_data = self._object.unused_data + data[at + _PIECE_BYTES :]
                break
            if len(found) >= most:
                break
        return bytes(found)
