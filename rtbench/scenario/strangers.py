"""A file that other people may have written, and what it would have rtbench do.

Invariant: a scenario file or a subject's Python file that belongs to another user, or that others can write, says in
one line what it starts, imports and loads before any of that happens. It is a note and no refusal: its user named the
file, as one names a script, and in a container or under a mount the checkout is often another user's. Root's files
count as one's own, and under sudo those of its caller. Called by `rtbench.scenario.loading` and the command line.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST = 300
"""Letters of a note's list."""


def whose(file: Path) -> str:
    """Why `file` may be a stranger's: `belongs to ann`; empty where it is the user's own or does not exist."""
    try:
        real = file.resolve()
        found, folder = real.stat(), real.parent.stat()
    except (OSError, RuntimeError):
        return ""
    mine = {0, os.geteuid(), *_caller()}
    if found.st_uid not in mine:
        return f"belongs to {_name(found.st_uid)}"
    if found.st_mode & stat.S_IWOTH:
        return "can be changed by every user"
    if folder.st_uid not in mine:
        return f"lies in a folder that belongs to {_name(folder.st_uid)}"
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:  # as in /tmp: others cannot replace it
        return "lies in a folder that every user can write to"
    return ""


def notes(file: Path, table: Mapping[str, Any]) -> list[str]:
    """A line about a scenario file with this table, and one for each Python file that it names; mostly none."""
    return [*_note(file, [*_does(table)]), *(line for word in _named(table) for line in of_module(word))]


def of_module(word: str) -> list[str]:
    """A line about the Python file `word`, if it is a stranger's; none for any other word."""
    return _note(Path(word), ["is imported"]) if word.endswith(".py") and "://" not in word else []


def _note(file: Path, does: Sequence[str]) -> list[str]:
    why = whose(file) if does else ""
    listed = ", ".join(does)
    short = listed if len(listed) <= MOST else f"{listed[:MOST]}…"
    return [f"{file} {why}. It {short}. Ctrl-C stops that"] if why else []


def _named(table: Mapping[str, Any]) -> list[str]:
    names = table.get("subjects")
    return [word for word in names if isinstance(word, str)] if isinstance(names, list) else []


def _does(table: Mapping[str, Any]) -> Iterator[str]:
    """What a scenario's table has rtbench start, import and load, each once."""
    rows = table.get("subject")
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, dict):
            for key, verb in (("command", "starts"), ("version", "asks for a version with")):
                words = row.get(key)
                if words and isinstance(words, list):
                    yield f"{verb} `{shlex.join(map(str, words))}`"
            if row.get("url"):
                yield f"connects to {row['url']}"
    for word in _named(table):
        if "://" in word or word.endswith(".py"):
            yield f"{'connects to' if '://' in word else 'imports'} {word}"


def _caller() -> list[int]:
    """The user that called sudo; empty without sudo."""
    number = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return [int(number)] if number.isascii() and number.isdigit() else []


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except (KeyError, OverflowError):
        return f"user {user}"
