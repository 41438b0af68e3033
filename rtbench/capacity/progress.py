"""A search's progress on the terminal: a line a probe.

Invariant: progress goes to stderr; the words of a result are `rtbench.analysis.report.capacity`'s. Used by the command
line.
"""

from __future__ import annotations

from typing import Self

from rtbench.campaign.progress import Display
from rtbench.capacity.search import Bracket
from rtbench.records.capacity import ProbeRow
from rtbench.records.manifest import Manifest
from rtbench.trial import Spec


class Lines(Display):
    """Shows the probes of a search. `by`: the key that is searched."""

    def __init__(self, by: str, quiet: bool = False) -> None:
        super().__init__(0.0, quiet)
        self._by = by

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def trial(self, spec: Spec, number: int, total: int) -> None:
        """A probe begins."""
        self._name = f"{spec.subject.name} {self._by}={spec.cell[self._by]:g}"
        if self._live is not None:
            self._live.update(self._task, total=None, left="")

    def done(self, spec: Spec, manifest: Manifest) -> None:
        """Its trial is over; `judged` shows what it was."""

    def judged(self, subject: str, row: ProbeRow, found: Bracket) -> None:
        """A probe was judged."""
        if not self._quiet:
            self.note(f"{subject} {self._by}={row.value:g}: {outcome(row)}; {between(found)}")


def outcome(row: ProbeRow) -> str:
    """`holds (0.2 % late or lost, 30 s)`, `fails (41 % late or lost, 10 s, server core)`."""
    known = isinstance(row.late_or_lost, (int, float))
    share = f"{100 * (row.late_or_lost or 0):.3g} % late or lost" if known else "not all subscribers got in"
    words = [share, *([f"{row.window_s:g} s"] if row.window_s else []), *([row.limited_by] if row.limited_by else [])]
    return f"{row.verdict} ({', '.join(words)})"


def between(found: Bracket) -> str:
    """Where the capacity is, as far as the probes show."""
    if found.high is not None:
        return f"between {_number(found.held)} and {_number(found.high)}"
    return f"{_number(found.held)} or more" if found.held is not None else "not known yet"


def _number(value: float | None) -> str:
    """A value of the searched key."""
    return "0" if value is None else f"{value:,.10g}"
