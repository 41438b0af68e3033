"""A campaign as tidy DataFrames, for notebooks: one row an observation, documented columns and dtypes.

Invariant: notebooks may rely on `FRAMES`: every frame has at least these columns, in this order, with these dtypes,
also when it is empty; results/README.md shows the same table (a test compares them). Raw frames are read on demand, one
trial or all; `metrics`, `summary` and `comparisons` measure every trial once. Called by `Campaign`
(`rtbench.analysis.load`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rtbench.errors import ResultsError
from rtbench.records.audit import in_window, match
from rtbench.records.tables import TABLES, concatenate

if TYPE_CHECKING:
    from rtbench.analysis.campaigns.load import Campaign
    from rtbench.analysis.campaigns.trials import Trial

Dtypes = dict[str, str]

_WHOSE: Dtypes = {"trial": "int64", "subject": "category", "block": "int64"}


def _raw(kind: str, **more: str) -> Dtypes:
    stored = {name: "string" if dtype == np.dtype(object) else dtype.name for name, dtype in TABLES[kind].items()}
    return {**_WHOSE, **stored, **more}


FRAMES: Mapping[str, Dtypes] = {
    "trials": {
        "trial": "Int64", "subject": "string", "transport": "string", "stack": "string", "arm": "string",
        "technique": "string", "block": "Int64", "position": "Int64", "status": "string",
        "window_start_ns": "Int64", "window_end_ns": "Int64", "attempt": "Int64", "counts": "string",
        "left_out": "string",
    },
    "deliveries": _raw(
        "deliveries", due_ns="int64", sent_ns="int64", in_window="bool", first="bool",
        latency_kernel_ns="float64", latency_app_ns="float64",
    ),
    "ticks": _raw("ticks", in_window="bool"),
    "connections": _raw("connections"),
    "requests": _raw("requests"),
    "probes": _raw("probes"),
    "metrics": {
        "trial": "int64", "subject": "string", "block": "int64", "status": "string", "metric": "string",
        "unit": "string", "value": "float64", "believed": "bool", "attempt": "int64", "counts": "bool", "why": "string",
    },
    "summary": {
        "subject": "string", "metric": "string", "unit": "string", "trials": "int64", "median": "float64",
        "low": "float64", "high": "float64",
    },
    "comparisons": {
        "metric": "string", "a": "string", "b": "string", "ratio": "float64", "low": "float64", "high": "float64",
        "confidence": "float64", "verdict": "string", "blocks": "int64", "pooled": "bool",
        "p": "float64", "q": "float64", "blocks_needed": "Int64",
        "margin": "float64", "could_be_up_to": "float64", "within_floor": "bool",
    },
    "matrix": {
        "metric": "string", "transport": "string", "relative_to": "string", "stack": "string", "ratio": "float64",
        "low": "float64", "high": "float64", "verdict": "string", "over_stacks": "string", "direction": "string",
        "summary_ratio": "float64", "summary_low": "float64", "summary_high": "float64", "predicted_low": "float64",
        "predicted_high": "float64", "tau": "float64", "i2": "float64",
    },
}  # fmt: skip
"""Frame to column to dtype. docs/data.md describes the raw columns."""

ROWS = {
    "trials": "a trial; `attempt`: 1, or more in a block that was run again; `counts`: all, some or none of its "
    "metrics; `left_out`: those that do not, `*` is any rest of a name",
    "deliveries": "a delivery; `due_ns`, `sent_ns`: its tick's (-1: no such tick); `first`: the first arrival at that "
    "subscriber; `latency_…`: from `due_ns` (NaN: no stamp of its own)",
    "ticks": "a message of the timetable",
    "connections": "a TCP connection",
    "requests": "an HTTP request (polling; empty for the others)",
    "probes": "a second, or an edge of a twelfth of the window",
    "metrics": "a trial and metric that has a value; `counts`: it is in medians and comparisons (no reason of the "
    "trial spoils it, R13), else `why` not; `believed`: the same as `counts`",
    "summary": "a subject and metric: the median over trials, the 95 % interval of their mean",
    "comparisons": "a pair and metric: `ratio` a/b, paired by block and attempt, and its verdict; `blocks`: how many "
    "pairs",
    "matrix": "a metric, transport and stack: `ratio` to SSE on that stack and its `verdict`; the rest is over all of "
    "them: `over_stacks` their verdict, `predicted_…` where the next stack is expected; empty with fewer than two",
}

_OF_A_TRIAL = ("deliveries", "ticks", "connections", "requests", "probes")


def described() -> str:
    """The table of results/README.md."""
    lines = ["| frame | a row is | columns and dtypes |", "|---|---|---|"]
    for name, columns in FRAMES.items():
        call = f"`{name}(N)`, `{name}()`" if name in _OF_A_TRIAL else f"`{name}`"
        lines.append(f"| {call} | {ROWS[name]} | {', '.join(f'{c} {d}' for c, d in columns.items())} |")
    return "\n".join(lines) + "\n"


def frame(name: str, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows or columns as the documented frame; other columns stay, at the end."""
    dtypes = FRAMES[name]
    table = pd.DataFrame(rows)
    for column in dtypes:
        if column not in table:
            table[column] = pd.Series([], dtype=object)
    return table[[*dtypes, *(c for c in table if c not in dtypes)]].astype(dtypes)


def of_trials(campaign: Campaign, kind: str, number: int | None) -> pd.DataFrame:
    """A raw frame of one trial, or of every trial that was measured. Raises KeyError for a number that is not there,
    ResultsError when a file cannot be read, or when the trial has no such table because it failed."""
    if number is not None:
        return _of_trial(campaign, campaign[number], kind)
    parts = [_of_trial(campaign, trial, kind) for trial in campaign if trial.measured]
    if not parts:
        return _whose(campaign, None, frame(kind, {**_empty(kind)}))
    return pd.concat(parts, ignore_index=True)


def _empty(kind: str) -> dict[str, Any]:
    return dict(concatenate(kind, []))


def _of_trial(campaign: Campaign, trial: Trial, kind: str) -> pd.DataFrame:
    optional = kind in ("requests", "probes") and not trial.has(kind)
    table: dict[str, Any] = _empty(kind) if optional else dict(trial.read(kind))
    if kind == "deliveries":
        table |= _joined(trial, table)
    elif kind == "ticks":
        table["in_window"] = in_window(table, trial.window or (0, 0))
    return _whose(campaign, trial, frame(kind, {"trial": trial.number, "block": trial.block, "subject": "", **table}))


def _whose(campaign: Campaign, trial: Trial | None, table: pd.DataFrame) -> pd.DataFrame:
    """Add the subject as a category of the campaign's: the same in every part, a byte a row."""
    names = list(dict.fromkeys(row["subject"] for row in campaign.subjects))
    codes = np.full(len(table), names.index(trial.subject) if trial else -1, dtype=np.int64)
    table["subject"] = pd.Categorical.from_codes(codes, pd.Index(names))
    return table


def _joined(trial: Trial, table: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """A delivery's columns from its tick."""
    ticks = trial.read("ticks")
    try:
        joined = match(table, ticks, trial.channel_of())
    except ValueError as error:
        raise ResultsError(f"{trial.directory / 'ticks.parquet'}: {error}", "measure again") from error
    known = joined.tick >= 0
    row = np.where(known, joined.tick, 0)

    def of_tick(column: npt.NDArray[Any], otherwise: Any) -> npt.NDArray[Any]:
        return np.where(known, column[row], otherwise) if column.size else np.full(known.size, otherwise)

    due = of_tick(ticks["due_ns"], -1)
    stamped = known & (table["kernel_ns"] >= 0)
    return {
        "due_ns": due,
        "sent_ns": of_tick(ticks["sent_ns"], -1),
        "in_window": of_tick(in_window(ticks, trial.window or (0, 0)), False),
        "first": joined.first,
        "latency_kernel_ns": np.where(stamped, table["kernel_ns"] - due, np.nan),
        "latency_app_ns": np.where(known, table["app_ns"] - due, np.nan),
    }


def trials(campaign: Campaign) -> pd.DataFrame:
    """One row a trial, in the order they were run; of a sweep, a column for each key of it."""
    rows = [
        {
            "trial": t.number, "subject": t.subject, "transport": t.transport, "stack": t.stack, "arm": t.arm,
            "technique": t.technique, "block": t.block, "position": t.position, "status": t.status,
            "window_start_ns": t.window[0] if t.window else None,
            "window_end_ns": t.window[1] if t.window else None, "attempt": t.attempt, "counts": t.counts,
            "left_out": " ".join(dict.fromkeys(p for row in t.left_out for p in row.metrics)),
            **t.cell,
        }
        for t in campaign
    ]  # fmt: skip
    return frame("trials", rows)
