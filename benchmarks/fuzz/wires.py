"""What the targets are made of: heads, tokens of each language, and the ways in which a subject's messages are read.

Called by `targets` and `capture`, and by the tests.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from websockets.utils import accept_key

from rtbench.transports import Asked
from rtbench.transports.envelope import wrap

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
"""The handshake's key, which is random outside of here."""
UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_key(KEY).encode()
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = (
    Asked("h", "/x", 5),
    Asked("h", "/x", json_payload=True),
    Asked("h", "/x", carries_id="payload"),
    Asked("h", "/x", carries_id="none"),
    Asked("h", "/x", carries_id="json:n", payload="json:data"),
    Asked("h", "/x", carries_id="payload", payload="json:data.0", json_payload=False),
)


def asked(mode: int) -> Asked:
    """One of the ways in which a subject's messages are read."""
    return ASKED[(mode & 0x7F) % len(ASKED)]


def after(head: bytes, pieces: Sequence[bytes]) -> list[bytes]:
    """The pieces after a head: in one read with it where there is one piece, else in reads of their own."""
    return [head + pieces[0]] if len(pieces) == 1 else [head, *pieces]


def text(payload: bytes) -> bytes:
    return (
        b"\x81" + (bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack(">H", len(payload))) + payload
    )


FIELDS = (
    b"data: ",
    b"data",
    b"id: ",
    b"id",
    b"event: ",
    b"retry: ",
    b":",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\xef\xbb\xbf",
)
FIELDS += (b"\0", b"\xff", "€".encode(), b"1", b"end", b"gap", b"{}", b" ", b'{"id":1,"data":1}')
_CHUNKS = (
    b"HTTP/1.1 200 OK\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"5\r\n",
    b"0\r\n",
    b"a;x=y\r\n",
    b"5;" + b"e" * 60,
    b"ffffffffffffffff\r\n",
)
HEADS = (
    *_CHUNKS,
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: text/event-stream\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 9223372036854775808\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b'ETag: "4"\r\n',
    b"Upgrade: x\r\n",
)
BODIES = (
    b'{"messages":[', b'{"id":1,"data":1}', b'{"id":2,"data":"x"}', b",", b'],"next":4,"gap":null,"end":false}',
    b'"retry":{}',
    b'{"messages":[],"next":4,"gap":null,"end":false}', b'],"next":9,"gap":null,"end":true}', b"\n", b"[", b"{", b"}",
)  # fmt: skip
FRAMES = (
    *(text(wrap(number, b'{"a":1}')) for number in range(3)),
    text(b"x" * 126),
    b"\x89\x01p", b"\x8a\x00", b"\x01\x01{", b"\x00\x00", b"\x80\x01}", b"\x88\x02\x03\xe8", b"\x88\x00", b"\x82\x02{}",
    b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", b"\x81\x7e\x00\x05", b"\xc1\x00", b"\x83\x00", b"\x81\x80",
    b"\x81\x02\xc3\x28",
    b"\x88\x04\x03\xe8\xff\xff", b"\x09\x00", b"\x01\x02\xe2\x82", b"\x80\x01\xac",
)  # fmt: skip
