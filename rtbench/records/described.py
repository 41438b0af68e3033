"""The meaning of a record's keys: the texts under its fields, with their units.

Invariant: readers of the code and of docs/data.md see the same text. A text begins with a key of `UNITS` and a colon if
the value has a unit. Called by `python -m rtbench.manual`, which writes docs/data.md.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from rtbench.records.record import Record

UNITS: Mapping[str, str] = {
    "instant": "ns on the trial host's CLOCK_MONOTONIC",
    "duration": "ns between two instants",
    "total": "ns of processor time (or of the state that is named) since the process or the machine began; two of "
    "them make a duration",
    "unix": "seconds since 1970 (CLOCK_REALTIME)",
    "seconds": "seconds",
    "bytes": "bytes",
    "count": "whole things",
    "number": "a number with the unit that its text names, or none",
    "share": "0 to 1",
    "text": "text",
}
"""A unit to what it is."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a record. `unit`: a key of UNITS, or empty; `kind`: its type in the code; `meaning`: may be empty."""

    name: str
    kind: str
    unit: str
    meaning: str


@cache
def keys(record: type[object]) -> tuple[Key, ...]:
    """The keys that `record`, or another class with texts under its fields, itself defines, in their order."""
    return tuple(_read(record))


def _read(record: type[object]) -> Iterator[Key]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(definition, ast.ClassDef)
    for node, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = inspect.cleandoc(str(after.value.value)).replace("\n", " ")
            unit, colon, rest = text.partition(": ")
            known = bool(colon) and unit in UNITS
            yield Key(node.target.id, ast.unparse(node.annotation), unit if known else "", rest if known else text)


def records(record: type[Record]) -> Iterator[type[Record]]:
    """`record` and every record that its keys hold, each once, in the order in which they are met."""
    seen: dict[type[Record], None] = {}

    def visit(one: type[Record]) -> None:
        if one not in seen:
            seen[one] = None
            module = inspect.getmodule(one)
            for base in one.__bases__:
                if base is not Record and issubclass(base, Record):
                    visit(base)
            for key in keys(one):
                for name in ast.walk(ast.parse(key.kind)):
                    found = getattr(module, name.id, None) if isinstance(name, ast.Name) else None
                    if isinstance(found, type) and issubclass(found, Record):
                        visit(found)

    visit(record)
    yield from seen
