"""docs/data.md: every file, column and key of a results folder. Called by `rtbench.manual`, which writes it.

Invariant: made from the texts beside the definitions: of the columns (`rtbench.records.tables`), of the records' fields
(`rtbench.records.described`), of the frames and of the metrics. A test compares the committed file with this output,
and fails on anything without a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rtbench.analysis.metrics import catalogue
from rtbench.analysis.report.report import CSV
from rtbench.machine.fingerprint import KEYS
from rtbench.machine.inventory import Inventory
from rtbench.records.campaign import CampaignRecord
from rtbench.records.capacity import CapacityRecord
from rtbench.records.described import UNITS, Key, keys, records
from rtbench.records.manifest import Manifest
from rtbench.records.record import Record
from rtbench.records.report import ReportRecord
from rtbench.records.tables import COLUMNS, SCHEMA

FILES: Mapping[str, tuple[type[Record], str]] = {
    "campaign.json": (CampaignRecord, "What was asked, where, in which order, and what became of each trial."),
    "environment.json": (
        Inventory,
        "The whole environment, for readers that reproduce it; comparisons do not use it.",
    ),
    "trials/NNN-SUBJECT/manifest.json": (
        Manifest,
        "What one trial was, what it counted, and what may be believed of it.",
    ),
    "capacity.json": (
        CapacityRecord,
        "What `rtbench capacity` found: each subject's bracket and its probes. Made of the trials after each of them.",
    ),
    "report/report.json": (
        ReportRecord,
        "What the report says, for machines. Derived: it can be deleted and made again.",
    ),
}
"""A JSON file to the record that it holds, and what it is."""


def text() -> str:
    """docs/data.md."""
    return "\n".join((*_head(), *_tables(), *_documents(), *_others(), *_metrics())) + "\n"


def undescribed() -> list[str]:
    """Columns, keys and metrics without a text, or with a unit that their name contradicts."""
    found = [f"{kind}.{name}" for kind, (_, columns) in COLUMNS.items() for name, column in columns.items()
             if not column.meaning or not _fits(name, column.unit)]  # fmt: skip
    for record in _all():
        found += [
            f"{record.__name__}.{key.name}" for key in keys(record) if not key.meaning or not _fits(key.name, key.unit)
        ]
    return found + [metric.name for metric in catalogue() if not metric.caption]


_PROMISED = {
    "_ns": ("instant", "duration", "total"), "_ns_at_start": ("total", "instant"), "_ns_at_end": ("total", "instant"),
    "_bytes": ("bytes",), "_unix": ("unix",), "_share": ("share",), "_s": ("seconds",),
}  # fmt: skip
"""The end of a name to the units that it may have."""


def _fits(name: str, unit: str) -> bool:
    return all(unit in units for end, units in _PROMISED.items() if name.endswith(end))


def _all() -> Iterator[type[Record]]:
    """Every record of every file, once."""
    yield from dict.fromkeys(one for record, _ in FILES.values() for one in records(record))


def _head() -> Iterator[str]:
    yield "# Data dictionary"
    yield ""
    yield "<!-- Made by `python -m rtbench.manual`; change the texts beside the definitions. -->"
    yield ""
    yield (
        f"Every file of a results folder, with each column and key: schema {SCHEMA}. How numbers are made of them, to "
        "the last digit, is in [recompute.md](recompute.md); what may be relied on is in [interface.md](interface.md)."
    )
    yield ""
    yield from table(("unit", "what it is"), ((f"*{unit}*", meaning) for unit, meaning in UNITS.items()))
    yield (
        "Parquet columns are never null: where there is nothing, they hold what their text says (-1, mostly). A JSON "
        "key whose type ends with ? may be missing or null: the trial failed before it got there, or an older rtbench "
        "wrote the file. Keys that are not listed may be there, too."
    )
    yield ""


def _tables() -> Iterator[str]:
    yield "## Tables"
    yield ""
    for kind, (row, columns) in COLUMNS.items():
        yield f"### `trials/NNN-SUBJECT/{kind}.parquet`"
        yield ""
        yield row
        yield ""
        yield from table(
            ("column", "type", "unit", "meaning"),
            (
                (f"`{name}`", _stored(column.dtype), f"*{column.unit}*", _sentence(column.meaning))
                for name, column in columns.items()
            ),
        )
    yield "### `report/metrics.csv`"
    yield ""
    yield "One row for each trial and metric that has a value; of a sweep, with a column a key after `subject`."
    yield ""
    yield from table(("column", "meaning"), ((f"`{name}`", meaning) for name, meaning in CSV.items()))


def _stored(dtype: np.dtype[Any]) -> str:
    return "string" if dtype.kind == "O" else dtype.name


OTHERS: Mapping[str, str] = {
    "trials/NNN-SUBJECT/*.log": "standard error of the processes",
    "report/report.html, report/report.md": "the report, for people",
    "report/figures/*.svg, report/figures/*.png": "its figures",
}
"""Descriptions of the files that are neither tables nor records."""


def _others() -> Iterator[str]:
    yield "## Other files"
    yield ""
    yield from table(("file", "what it is"), ((f"`{name}`", what) for name, what in OTHERS.items()))


def _documents() -> Iterator[str]:
    yield "## JSON files"
    yield ""
    shown: set[type[Record]] = set()
    for file, (record, what) in FILES.items():
        yield f"### `{file}`"
        yield ""
        yield what
        yield ""
        for one in records(record):
            if one not in shown:
                shown.add(one)
                yield from _record(one, top=one is record)
    yield "**environment** of campaign.json and manifest.json"
    yield ""
    yield from table(("key", "meaning"), ((f"`{name}`", meaning) for name, meaning in KEYS.items()))


def _record(record: type[Record], top: bool) -> Iterator[str]:
    if not top:
        also = [base.__name__ for base in record.__bases__ if base is not Record]
        yield f"**{record.__name__}**{f': the keys of {also[0]}, and' if also else ''}"
        yield ""
    yield from table(("key", "type", "unit", "meaning"), (_row(key) for key in keys(record)))


def _row(key: Key) -> tuple[str, ...]:
    return f"`{key.name}`", _type(key.kind), f"*{key.unit}*" if key.unit else "", _sentence(key.meaning)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].removesuffix(".")


def _type(kind: str) -> str:
    """A key's type in JSON's words; with a ? where it may be missing or null."""
    maybe = re.fullmatch(r"Maybe\[(.*)\]", kind)
    kind = maybe[1] if maybe else kind
    kind = re.sub(r"Annotated\[(\w+), .*\]", r"\1", kind)
    for name, word in _WORDS.items():
        kind = re.sub(rf"\b{name}\b", word, kind)
    return f"{kind}{'?' if maybe else ''}".replace("|", "\\|")


_WORDS = {
    "str": "text", "Number": "number", "Value": "number", "Any": "anything", "Status": "text", "dict": "object",
    "tuple": "list", "Whole": "integer", "Place": "integer", "Subscribers": "integer", "int": "integer",
    "float": "number", "bool": "boolean",
}  # fmt: skip


def _metrics() -> Iterator[str]:
    yield "## Metrics"
    yield ""
    yield (
        "One number a trial: `metrics` of report.json, `value` of metrics.csv. [Metrics](reference/metrics.md) has "
        "each name with its unit and definition."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table and an empty line."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
