"""Words of a command line. Called by what proposes a command: the next step, and that of a search for the capacity."""

from __future__ import annotations

from collections.abc import Sequence


def without(words: Sequence[str], option: str) -> list[str]:
    """The words without an option and its value, as `--option VALUE` or `--option=VALUE`."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept
