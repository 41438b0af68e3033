"""Where numbers come from: the command, what was asked, the machine, and the trials that do not count.

Invariant: look-ups in campaign.json and in the manifests; nothing is computed. Called by the report and the page of
`rtbench compare`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from rtbench.analysis.evidence.model import Evidence, Result


@dataclass(frozen=True, slots=True)
class Origin:
    """One campaign: what made it, and on what."""

    campaign: str
    command: str
    asked: str
    """Scenario, hash, seed."""
    version: str
    machine: str


@dataclass(frozen=True, slots=True)
class Aside:
    """Metrics of a trial that do not count, and why. `metrics`: patterns, `*` stands for any text."""

    number: int
    item: str
    block: int
    attempt: int
    metrics: tuple[str, ...]
    why: str

    @property
    def words(self) -> str:
        """The metrics for a reader: `all`, or the patterns."""
        return "all" if "*" in self.metrics else ", ".join(self.metrics)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: the campaign and its trials."""

    origin: Origin
    trials: tuple[tuple[str, int, int], ...]
    """Subject, its trials, and how many of them are valid."""
    left_out: tuple[Aside, ...]


def origins(evidence: Evidence) -> list[Origin]:
    """One for each campaign that the evidence is of."""
    return [
        _origin(name, document)
        for name, document in zip(evidence.campaign.names, evidence.campaign.documents, strict=True)
    ]


def _origin(name: str, document: Mapping[str, Any]) -> Origin:
    environment = document.get("environment") or {}
    scenario = (document.get("scenario") or {}).get("name") or "?"
    commit = f", commit {environment['commit']}" if environment.get("commit") else ""
    parts = {"cores": "{} cores", "cpu": "{}", "system": "{}", "kernel": "kernel {}", "python": "Python {}"}
    known = [words.format(environment[key]) for key, words in parts.items() if environment.get(key)]
    return Origin(
        name,
        str(document.get("command") or "?"),
        f"scenario {scenario}, hash {document.get('scenario_hash', '?')}, seed {document.get('seed', '?')}",
        f"rtbench {document.get('rtbench', '?')}{commit}",
        ", ".join(known) or "?",
    )


def left_out(results: Sequence[Result], metrics: Collection[str] = ()) -> list[Aside]:
    """What does not count of these trials; of `metrics` alone when there are any."""
    return [
        Aside(r.trial.number, r.trial.item, r.trial.block, r.trial.attempt, row.metrics, row.why)
        for r in results
        for row in r.trial.left_out
        if not metrics or any(fnmatchcase(name, pattern) for name in metrics for pattern in row.metrics)
    ]


def side(evidence: Evidence, subjects: Collection[str] = ()) -> Side:
    """The evidence as one side of a comparison; of these subjects (without their cells) when there are any."""
    shown = [s for s in evidence.subjects if not subjects or s.base in subjects]
    results = [r for s in shown for r in evidence.of(s.name)]
    return Side(origins(evidence)[0], tuple((s.name, s.trials, s.usable) for s in shown), tuple(left_out(results)))
