"""An input, decoded whole and in splits: outcomes must be equal, and only the parser's own exceptions may come out.

Invariant: everything follows from the bytes of the input, the splits too, so its bytes alone repeat a finding.
Called by the tests, by `python -m benchmarks.fuzz` and by benchmarks/differential.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbench.transports import ProtocolError, http, poll, tcp, websocket

VECTORS = Path(__file__).parents[2] / "tests" / "vectors"
FINDINGS = VECTORS / "fuzz.json"
"""Inputs that once were findings, and inputs at the edge of a rule: `{target: [{"name", "input" (hex)}]}`."""

_SMALL: tuple[tuple[Any, str, int], ...] = (
    (http, "MAX_HEAD_BYTES", 256),
    (http, "MAX_HEAD_FIELDS", 8),
    (http, "_BLOCK_BYTES", 32),
    (websocket, "MAX_HEAD_BYTES", 256),
    (tcp, "MAX_LINE_BYTES", 40),
    (poll, "MAX_BODY_BYTES", 256),
)
"""Limits so small that inputs of some hundred bytes meet them."""

Outcome = Any
"""What a decoding gives, compared by `==`."""


class Finding(AssertionError):
    """An input whose outcome depends on how it was split, or breaks a rule of its target."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    `decode`: the outcome of the pieces, from a new state; `mode` is the first byte of the input, which picks options.
    `tokens`: what its language consists of. `seeds`: inputs to begin with, without their mode. `framed`: the input is
    a byte stream, and the splits matter.
    """

    name: str
    decode: Callable[[int, Sequence[bytes]], Outcome]
    tokens: tuple[bytes, ...]
    seeds: Callable[[], list[bytes]]
    framed: bool = True


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Byte by byte when it is short, and at places that follow from the data."""
    if len(data) <= 400:
        yield [data[at : at + 1] for at in range(len(data))]
    drawn = random.Random(zlib.crc32(data))
    for count in (1, 2, 5, 20):
        cuts = sorted(drawn.choices(range(len(data) + 1), k=count))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@contextmanager
def limits(small: bool) -> Iterator[None]:
    """With `small`, the codecs' limits are some hundred bytes."""
    if not small:
        yield
        return
    before = [getattr(module, name) for module, name, _ in _SMALL]
    for module, name, value in _SMALL:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(_SMALL, before, strict=True):
            setattr(module, name, value)


def examine(target: Target, data: bytes) -> Outcome:
    """The outcome of an input. Raises Finding, or whatever a parser lets out."""
    mode, data = (data[0], data[1:]) if data else (0, b"")
    with limits(bool(mode & 0x80)):
        whole = target.decode(mode, [data])
        for pieces in splits(data) if target.framed else ():
            other = target.decode(mode, pieces)
            if other != whole:
                sizes = [len(piece) for piece in pieces]
                raise Finding(f"{target.name}: split into {sizes[:50]} gives {other!r}, whole {whole!r}")
    return whole


def drive(codec: Any, pieces: Sequence[bytes]) -> tuple[list[Any], str, list[Any]]:
    """Events, the fault with its type, and the events at the end, of a codec's `feed` and `eof`.

    A codec must stay silent after its fault.
    """
    events: list[Any] = []
    fault = ""
    for piece in pieces:
        try:
            events += codec.feed(piece)
        except ProtocolError as error:
            events += error.events
            fault = f"{type(error).__name__}: {error}"
            break
    if fault:
        try:
            after = list(codec.feed(b"x"))
        except ProtocolError as error:
            after = list(error.events)
        if after:
            raise Finding(f"{after!r} after the fault {fault!r}")
    return events, fault, codec.eof() if hasattr(codec, "eof") else []


def vectors(file: str, group: str, key: str = "input", encoding: str = "latin-1") -> list[bytes]:
    """The inputs of a file of tests/vectors, which the tests of the codecs use too. `encoding`: of bytes as text."""
    cases = json.loads((VECTORS / file).read_text())[group]
    return [bytes.fromhex(case[key]) if encoding == "hex" else case[key].encode(encoding) for case in cases]


def findings(target: str) -> list[tuple[str, bytes]]:
    """Name and bytes of each kept input of a target."""
    return [(one["name"], bytes.fromhex(one["input"])) for one in json.loads(FINDINGS.read_text()).get(target, [])]
