"""JSON lines: how our processes write and read their messages.

Invariant: a wrong type, an unknown key and a missing key are errors, at any depth, even for a key with a default. Used
by both ends of every pipe and control socket.
"""

from __future__ import annotations

import sys
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every message, a value. A tag distinguishes several types on one pipe."""


class MessageError(ValueError):
    """A line that is not a message of its kind: a bug at one of the two ends."""


def text(message: Message) -> str:
    """A message for a command line or the environment."""
    return msgspec.json.encode(message).decode()


def line(message: Message) -> bytes:
    """A message as one line."""
    return msgspec.json.encode(message) + b"\n"


def say(message: Message) -> None:
    """Print a message on standard output, at once."""
    sys.stdout.write(text(message) + "\n")
    sys.stdout.flush()


class Reader(Generic[T]):
    """Reads lines as messages of `kind`: a type, or a union of tagged ones.

    `exact=False`: a third-party program writes the lines. It may omit keys with a default and add keys.
    """

    def __init__(self, kind: Any, exact: bool = True) -> None:
        self._exact = exact
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)

    def __call__(self, data: bytes | str) -> T:
        """The message. Raises MessageError that names the key."""
        try:
            value = self._decoder.decode(data)
        except msgspec.DecodeError as error:
            raise MessageError(str(error)) from error
        if not self._exact:
            return value
        # Scenario tables inside messages are dataclasses: to msgspec their keys are optional, and others are ignored.
        given, whole = msgspec.json.decode(data), msgspec.json.decode(msgspec.json.encode(value))
        if given != whole:
            raise MessageError(_difference(given, whole, "$"))
        return value


def _difference(given: Any, whole: Any, where: str) -> str:
    """The first difference and its place."""
    if isinstance(given, dict) and isinstance(whole, dict):
        for key in given.keys() - whole.keys():
            return f"Object contains unknown field `{key}` - at `{where}`"
        for key in whole.keys() - given.keys():
            return f"Object missing required field `{key}` - at `{where}`"
        pairs = [(given[key], whole[key], f"{where}.{key}") for key in whole]
    elif isinstance(given, list) and isinstance(whole, list):
        pairs = [(*pair, f"{where}[...]") for pair in zip(given, whole, strict=True)]
    else:
        return f"{given!r} is read as {whole!r} - at `{where}`"
    return next(_difference(*pair) for pair in pairs if pair[0] != pair[1])


class Lines:
    """Splits pieces of bytes into whole lines. `most_bytes` bounds one line of a third-party program."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = most_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines completed by `data`. Raises MessageError for one that is too long."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self._most_bytes is not None and max(map(len, (*whole, self._rest))) > self._most_bytes:
            raise MessageError(f"a line is longer than {self._most_bytes:,} bytes")
        return whole
