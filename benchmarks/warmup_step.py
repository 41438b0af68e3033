"""Push latency by message number on its connection, from a campaign's files: where TCP's first segments end.

    .venv/bin/python benchmarks/warmup_step.py FOLDER

TCP acknowledges each of a connection's first segments at once (quick-ACK phase), which the sender pays for; after some
16 messages it delays acknowledgements, and latency steps down. Prints, a subject a column, the median over trials of
the median latency of the n-th message, n = 1…40; with the step: how much later the first ten are than the last ten.
A mark shows where the window opens (median over trials). Only ticks after the last subscription count; polls have no
step.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import numpy as np

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.campaigns.trials import Trial

MESSAGES = 40
EDGE = 10
"""The step is between the medians of this many messages at each end."""


def by_number(trial: Trial) -> tuple[dict[int, float], float]:
    """Message number to median latency, ms; and the number at which the window opens, on the median connection."""
    table = trial.read("deliveries", ["subscriber", "connection", "channel", "seq", "kernel_ns", "app_ns"])
    ticks = trial.read("ticks")
    key = (ticks["channel"].astype(np.int64) << 40) | ticks["seq"]
    order = np.argsort(key)
    place = np.searchsorted(key[order], (table["channel"].astype(np.int64) << 40) | table["seq"])
    due = ticks["due_ns"][order][np.minimum(place, key.size - 1)]
    received = np.where(table["kernel_ns"] >= 0, table["kernel_ns"], table["app_ns"])
    rows = np.lexsort((table["app_ns"], table["connection"], table["subscriber"]))
    subscriber, connection = table["subscriber"][rows], table["connection"][rows]
    new = np.flatnonzero(np.r_[True, (subscriber[1:] != subscriber[:-1]) | (connection[1:] != connection[:-1])])
    lengths = np.diff(np.r_[new, rows.size])
    number = np.arange(rows.size) - np.repeat(new, lengths) + 1
    latency, due = (received - due)[rows] / 1e6, due[rows]
    counted = due >= trial.manifest["timeline"]["subscribed_ns"]
    found = {
        n: float(np.median(latency[here])) for n in range(1, MESSAGES + 1) if (here := counted & (number == n)).any()
    }
    assert trial.window is not None
    opens = np.flatnonzero(due >= trial.window[0])
    first = number[opens[np.unique(np.repeat(np.arange(new.size), lengths)[opens], return_index=True)[1]]]
    return found, float(np.median(first))


def main(folder: Path) -> None:
    trials = [one for one in load(folder) if one.measured]
    names = list(dict.fromkeys(one.item for one in trials))
    table: dict[str, dict[int, float]] = {}
    opens = []
    for name in names:
        found = [by_number(one) for one in trials if one.item == name]
        opens += [first for _, first in found]
        table[name] = {
            n: statistics.median(row[n] for row, _ in found if n in row)
            for n in range(1, MESSAGES + 1)
            if any(n in row for row, _ in found)
        }
    print(f"Median latency of a connection's n-th message, ms (medians over {len(trials)} trials of {folder.name})\n")
    print(f"| n | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    window = round(statistics.median(opens))
    for n in range(1, MESSAGES + 1):
        mark = " (the window opens)" if n == window else ""
        print(f"| {n}{mark} | {' | '.join(f'{table[m][n]:.2f}' if n in table[m] else '–' for m in names)} |")
    print("\n| | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    print(f"| first {EDGE} against last {EDGE} | {' | '.join(_step(table[name]) for name in names)} |")
    print(f"| flat from message | {' | '.join(str(_flat(table[name])) for name in names)} |")


def _step(row: dict[int, float]) -> str:
    values = list(row.values())
    if len(values) < 2 * EDGE:
        return "–"
    return f"{statistics.median(values[:EDGE]) / statistics.median(values[-EDGE:]) - 1:+.0%}"


def _flat(row: dict[int, float], runs: int = 4) -> int | str:
    """The first message from which on `runs` in a row have a median no higher than 5 % over that of the last ones."""
    numbers, values = list(row), list(row.values())
    if len(values) < 2 * EDGE:
        return "–"
    limit = 1.05 * statistics.median(values[-EDGE:])
    for place in range(len(values) - runs):
        if statistics.median(values[place : place + runs]) <= limit:
            return numbers[place]
    return "–"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
