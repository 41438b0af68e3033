"""The API of notebooks: a campaign with its evidence, as tidy DataFrames.

    campaign = rtbench.analysis.load("results/20261124-031500-ci")
    campaign.trials                    # DataFrame, one row a trial
    campaign.deliveries(3)             # DataFrame, one row a delivery of trial 3, with due_ns, sent_ns and latencies
    campaign.metrics                   # DataFrame, one row a trial and metric

Invariant: columns and dtypes are those of `rtbench.analysis.campaigns.frames.FRAMES`; nothing is computed before it is
asked for. For notebooks only; the report uses the modules below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import pandas as pd

from rtbench.analysis.campaigns import frames
from rtbench.analysis.campaigns import load as campaigns
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.metrics import catalogue

__all__ = ["Campaign", "load"]


@dataclass(frozen=True)
class Campaign(campaigns.Campaign):
    """One results folder, or several that may be mixed. Without slots: it keeps its evidence, once asked for."""

    @cached_property
    def evidence(self) -> Evidence:
        """Every trial measured, and what they say together; computed once, when it is first asked for."""
        return gather(self)

    # The frames: columns and dtypes are those of `frames.FRAMES`.

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; of a sweep, a column for each key of it."""
        return frames.trials(self)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row a trial and metric that has a value."""
        return _metrics(self.evidence)

    @property
    def summary(self) -> pd.DataFrame:
        """One row a subject and metric: the median over trials and the interval of their mean."""
        return frames.frame("summary", [s.row() for s in self.evidence.summaries])

    @property
    def comparisons(self) -> pd.DataFrame:
        """One row a pair of subjects and metric."""
        return frames.frame("comparisons", [c.row() for c in self.evidence.comparisons])

    @property
    def matrix(self) -> pd.DataFrame:
        """One row a metric, transport and stack: its ratio to SSE there, and what holds over the stacks."""
        return _matrix(self.evidence)

    def deliveries(self, number: int | None = None) -> pd.DataFrame:
        """One row a delivery of that trial, or of all (100 bytes a row): raw columns, and due_ns, sent_ns, in_window,
        first, latency_kernel_ns, latency_app_ns from its tick."""
        return frames.of_trials(self, "deliveries", number)

    def ticks(self, number: int | None = None) -> pd.DataFrame:
        """One row a tick of that trial, or of all."""
        return frames.of_trials(self, "ticks", number)

    def connections(self, number: int | None = None) -> pd.DataFrame:
        """One row a TCP connection of that trial, or of all."""
        return frames.of_trials(self, "connections", number)

    def requests(self, number: int | None = None) -> pd.DataFrame:
        """One row an HTTP request of that trial, or of all (polling; empty for the others)."""
        return frames.of_trials(self, "requests", number)

    def probes(self, number: int | None = None) -> pd.DataFrame:
        """One row a second of that trial, or of all; empty when there are none."""
        return frames.of_trials(self, "probes", number)


def load(path: str | Path | Sequence[str | Path]) -> Campaign:
    """Load one results folder, or several of one environment and scenario.

    Raises ResultsError: a folder or its campaign.json is missing or damaged, of a newer schema, or the folders differ
    in a checked key.
    """
    found = campaigns.load(path)
    return Campaign(*(getattr(found, item.name) for item in fields(found)))


def _metrics(evidence: Evidence) -> pd.DataFrame:
    """One row a trial and metric that has a value; `subject` with its cell when there is a sweep."""
    rows = [
        {
            "trial": r.trial.number, "subject": r.trial.item, "block": r.trial.block, "status": r.trial.status,
            "metric": metric.name, "unit": metric.unit, "value": value, "believed": not r.trial.spoils(metric.name),
            "attempt": r.trial.attempt, "counts": not r.trial.spoils(metric.name), "why": r.trial.why_not(metric.name),
        }
        for r in evidence.results
        for metric in catalogue()
        if (value := r.metrics.get(metric.name)) is not None
    ]  # fmt: skip
    return frames.frame("metrics", rows)


def _matrix(evidence: Evidence) -> pd.DataFrame:
    """One row a metric, transport and stack; of a sweep, a column for each key of it."""
    rows = []
    for one in evidence.matrix:
        row = one.row()
        names = {"ratio": "summary_ratio", "low": "summary_low", "high": "summary_high"}
        whole = {names.get(name, name): value for name, value in row["summary"].items()}
        whole |= {name: row[name] for name in ("metric", "transport", "relative_to", "direction")}
        rows += [{**of_stack, **whole, "over_stacks": one.verdict, **one.cell} for of_stack in row["stacks"]]
    return frames.frame("matrix", rows)
