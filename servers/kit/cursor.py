"""Numbers in requests: cursors, channels, timeouts. A bad one is the client's error: status 400."""

from __future__ import annotations

__all__ = ["BadParameter", "cursor", "number", "seconds"]


class BadParameter(ValueError):
    """A parameter that interface.md does not allow; its text becomes the answer's error."""


def number(text: str, name: str) -> int:
    """A decimal number from 0. Raises BadParameter. The length is bounded: int() of a huge text is quadratic."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadParameter(f"{name} must be a whole number from 0, not {text[:40]!r}")
    return int(text)


def cursor(text: str | None, name: str) -> int | None:
    """A cursor, or None where none was sent."""
    return None if text is None else number(text, name)


def seconds(text: str, name: str, most: float) -> float:
    """A number of seconds from 0 to `most`. Raises BadParameter."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise BadParameter(f"{name} must be a number of seconds from 0 to {most:g}, not {text[:40]!r}")
    return value
