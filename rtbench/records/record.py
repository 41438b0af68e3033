"""The base of the JSON files of a results folder: typed keys for writer and reader, every other key survives.

Invariant: `plain(read(kind, value, file)) == value`, in the same order of keys: what is not listed in a struct is
free (interface.md) and is written again as it was read. Used by `campaign.py`, `manifest.py` and `report.py` beside
this file.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rtbench.errors import ResultsError
from rtbench.records import tables

T = TypeVar("T")
Maybe: TypeAlias = T | UnsetType | None
"""A key that may be null, or missing (UNSET, which is false): of a trial that failed, or of an older rtbench."""

_MOST = 1 << 62
Whole = Annotated[int, Meta(ge=-_MOST, le=_MOST)]
Number: TypeAlias = Whole | Annotated[float, Meta(ge=-1e300, le=1e300)]
Place = Annotated[int, Meta(ge=0, le=1 << 30)]
"""The number of a trial, of a block, of a trial's place in it."""
Subscribers = Annotated[int, Meta(ge=0, le=1 << 20)]
Status = Literal["ok", "invalid", "failed"]

DAMAGED = tables.DAMAGED
_WORDS = {"int": "a whole number", "float": "a number", "str": "a text", "array": "a list", "object": "an object"}


class Record(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A JSON object. What it was read from is kept beside its fields, for the keys that are not listed."""


R = TypeVar("R", bound=Record)


class Cell(Record, frozen=True, kw_only=True):
    """What the sweep sets for a trial, by dotted key (every key of a scenario is allowed)."""

    subscribers: Maybe[Subscribers] = UNSET
    """count: subscribers of this cell."""
    stream: Maybe[str | list[str]] = UNSET
    """The stream, or the streams, of this cell."""


def load(kind: type[R], file: Path) -> R:
    """The record in `file`. Raises ResultsError that names the file, and the key that is missing or wrong."""
    value = tables.read_json(file)
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, int):
        raise ResultsError(f"{file}: has no schema number", "name a folder that `rtbench run` wrote")
    if schema > tables.SCHEMA:
        text = f"{file}: has schema {schema}, this rtbench reads up to {tables.SCHEMA}"
        raise ResultsError(text, "install a newer rtbench")
    return read(kind, value, file)


def read(kind: type[R], value: Any, where: object, remedy: str = DAMAGED) -> R:
    """`value` (plain JSON) as a record. `where`: the file, for the error. Raises ResultsError."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return typed(kind, value)
    except msgspec.ValidationError as error:
        raise ResultsError(f"{where}: {_fault(kind, value, str(error))}", remedy) from error
    except ValueError as error:  # half a surrogate, NaN: JSON has neither, and no report could be written
        raise ResultsError(f"{where}: invalid text or number ({error})", remedy) from error


def typed(kind: type[R], value: Any) -> R:
    """`value`, which rtbench itself made, as a record. What does not fit is our bug: msgspec.ValidationError."""
    record = msgspec.convert(value, kind)
    _keep(record, value)
    return record


def plain(value: Any) -> Any:
    """A record as plain JSON: what it was read from, in that order, with its fields as they are now."""
    if isinstance(value, Record):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        known = {name: plain(field) for name, field in fields.items() if field is not UNSET}
        return {**value.__dict__.get("read", {}), **known}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def changed(record: R, **fields: Any) -> R:
    """The same record with other fields; its free keys stay."""
    new = msgspec.structs.replace(record, **fields)
    new.__dict__.update(record.__dict__)
    return new


def _keep(value: Any, read: Any) -> None:
    if isinstance(value, Record):
        value.__dict__["read"] = read
        for name in value.__struct_fields__:
            if name in read:
                _keep(getattr(value, name), read[name])
    elif isinstance(value, list):
        for inner, one in zip(value, read, strict=True):
            _keep(inner, one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _keep(inner, read[key])


def _fault(kind: type[Record], value: Any, error: str) -> str:
    """`trials[0].block is "x", not a whole number`: msgspec's message with the key and what stands there."""
    text, _, path = error.partition(" - at `$")
    if path.startswith("`"):  # "Expected `str`, got `int` - at `key` in `$...`": JSON has no such key
        path = ""
    value = copy.deepcopy(value)
    at, where = value, ""
    for name, index in re.findall(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]", path):
        if index == "...":
            name = _culprit(kind, value, at, error)
        at = at[name] if name else at[int(index)]
        where += f".{name}" if name else f"[{index}]"
    where = where.removeprefix(".")
    if missing := re.search(r"missing required field `(.+)`", text):
        return f"{where}.{missing[1]}".removeprefix(".") + " is missing"
    shown = json.dumps(at)
    shown = shown if len(shown) <= 40 else f"{shown[:40]}…"
    return f"{where or 'the file'} is {shown}, not {_wanted(text)}"


def _wanted(text: str) -> str:
    """msgspec's "Expected `int | null`, got `str`", in words: "a whole number"."""
    types, limit = re.fullmatch(r"(?:Expected `(.*?)`)?(?:, got .*)?(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if types is None:
        return "one of the values that are allowed"
    names = [_WORDS.get(name, name) for name in types.split(" | ") if name != "null"]
    return " or ".join(names) + limit.replace(" <= ", " up to ").replace(" >= ", " from ")


def _culprit(kind: type[Record], whole: Any, at: dict[str, Any], error: str) -> str:
    """The key of `at`, a table inside `whole`, whose value is at fault: alone, it makes the same error."""
    table = dict(at)
    for key, inner in table.items():
        at.clear()
        at[key] = inner
        try:
            msgspec.convert(whole, kind)
        except msgspec.ValidationError as again:
            if str(again) == error:
                at.update(table)
                return key
    at.update(table)
    return next(iter(table))
