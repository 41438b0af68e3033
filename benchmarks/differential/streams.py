"""Seeded streams: event streams and server frames, mostly well formed, often with a fault, sometimes only noise.

Invariant: stream `number` of a kind is the same on every machine.
"""

from __future__ import annotations

import random
import struct

from benchmarks.fuzz.wires import FIELDS

_ENDS = (b"\n", b"\n", b"\n", b"\r", b"\r\n")
_NAMES = (b"data", b"data", b"data", b"data", b"id", b"event", b"retry", b"", b"dat", b"Data", b" data", b"data ")
_TYPES = (b"message", b"end", b"gap", b"a b", b"open", b"error", "é".encode(), b"", b"x" * 40)
_VALUES = (
    b"",
    b" ",
    b"  two",
    b"1",
    b"{}",
    b'{"a":[1,2]}',
    "€ 😀".encode(),
    b"\xff",
    b"\xe2\x82",
    b"a:b",
    b"\0",
    b"x\0y",
    b"0012",
)
_SEPARATORS = (b":", b": ", b": ", b": ", b":  ", b"")


def event_stream(number: int) -> bytes:
    """A stream of some hundred bytes at most, as a server may send it."""
    drawn = random.Random(f"events {number}")
    pieces = [b"\xef\xbb\xbf"] * (drawn.random() < 0.1)
    if drawn.random() < 0.1:  # noise
        return b"".join([*pieces, *drawn.choices(FIELDS, k=drawn.randrange(20))])
    end = drawn.choice(_ENDS)
    for _ in range(drawn.randrange(1, 6)):
        for _ in range(drawn.randrange(5)):
            name = drawn.choice(_NAMES)
            value = drawn.choice(_TYPES if name == b"event" else _VALUES)
            pieces += [name, drawn.choice(_SEPARATORS), value, end if drawn.random() < 0.9 else drawn.choice(_ENDS)]
        pieces.append(end if drawn.random() < 0.9 else drawn.choice(_ENDS))
    stream = b"".join(pieces)
    return stream if drawn.random() < 0.8 else stream[: drawn.randrange(len(stream) + 1)]


def _frame(drawn: random.Random, first: int, payload: bytes) -> bytes:
    size = len(payload)
    if drawn.random() < 0.01 and not first & 0x08:  # longer than need be
        return bytes([first, 127]) + struct.pack(">Q", size) + payload
    short = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    return bytes([first]) + short + payload


def _text(drawn: random.Random) -> bytes:
    texts = (
        b"",
        b"{}",
        b'{"id":1,"data":{"a":1}}',
        "€ 😀".encode() * drawn.randrange(1, 40),
        b"x" * drawn.randrange(300),
    )
    return drawn.choice((*texts, b"\xff\xfe") if drawn.random() < 0.02 else texts)


def frame_stream(number: int) -> bytes:
    """What a server sends after the handshake: messages, fragments, control frames; one in six has a fault."""
    drawn = random.Random(f"frames {number}")
    pieces: list[bytes] = []
    for _ in range(drawn.randrange(1, 9)):
        kind = drawn.random()
        if kind < 0.5:
            pieces.append(_frame(drawn, 0x81, _text(drawn)))
        elif kind < 0.75:
            text, cuts = _text(drawn), drawn.randrange(1, 5)
            places = [0, *sorted(drawn.choices(range(len(text) + 1), k=cuts)), len(text)]
            for at in range(cuts + 1):
                first = (0x81 if at == cuts else 0x01) & (0xFF if at == 0 else 0xF0)
                pieces.append(_frame(drawn, first, text[places[at] : places[at + 1]]))
                if drawn.random() < 0.2:
                    pieces.append(_frame(drawn, 0x89, b"ping"))
        elif kind < 0.9:
            pieces.append(_frame(drawn, drawn.choice((0x89, 0x8A)), b"p" * drawn.randrange(126)))
        elif kind < 0.94:
            codes = (1000, 1001, 1011, 3000, 999, 1005, 5000)
            body = struct.pack(">H", drawn.choice(codes)) + drawn.choice((b"", b"bye", "é".encode(), b"\xff"))
            pieces.append(_frame(drawn, 0x88, drawn.choice((b"", b"x", body, body))))
        elif kind < 0.97:
            first = drawn.choice((0xC1, 0x91, 0x83, 0x8B, 0x09, 0x80, 0x00, 0x82))
            pieces.append(_frame(drawn, first, drawn.choice((b"", b"{}", b"x" * 130))))
        else:
            faults = (
                b"\x81\x80abcd",
                b"\x81\x7f" + struct.pack(">Q", drawn.choice((2**63, 2**31, 70_000))),
                b"\x89\x7e\x00\x7e",
            )
            pieces.append(drawn.choice((*faults, drawn.randbytes(drawn.randrange(1, 12)))))
    stream = b"".join(pieces)
    return stream if drawn.random() < 0.9 else stream[: drawn.randrange(len(stream) + 1)]
