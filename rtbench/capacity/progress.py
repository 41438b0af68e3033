"""A search's progress on the terminal, a line a probe, and its result as a table.

Invariant: progress goes to stderr; a sentence about a bracket is made here, from its record. Used by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from rtbench.campaign.progress import Display
from rtbench.capacity.search import Bracket
from rtbench.records.capacity import CapacityRecord, Level, ProbeRow, SubjectCapacity
from rtbench.records.manifest import Manifest
from rtbench.trial import Spec

_MISSING = "-"


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
        return f"between {number(found.held) if found.held is not None else 0} and {number(found.high)}"
    return f"{number(found.held)} or more" if found.held is not None else "not known yet"


def number(value: float | None) -> str:
    """A value of the searched key."""
    return _MISSING if value is None else f"{value:,.10g}"


def level(slo: Level) -> str:
    """`99 % of the messages within 50 ms, 0 % lost, set up within 10 s`."""
    return (
        f"{100 * slo.quantile:g} % of the deliveries within {slo.latency_ms:g} ms, at most {100 * slo.lost:g} % lost, "
        f"each subscriber set up within {slo.set_up_s:g} s"
    )


def holds(row: SubjectCapacity) -> str:
    """The confirmed value; `>= N` where its end was not reached."""
    if row.low is None:
        return _MISSING
    return f"{'' if row.high is not None else '>= '}{number(row.low)}"


def limited(row: SubjectCapacity) -> str:
    """What limits it, and whether that is the harness."""
    text = row.limited_by or _MISSING
    return f"the harness: {text}" if row.harness_limited else text


def table(found: CapacityRecord) -> Iterator[str]:
    """The lines of the result."""
    yield f"Capacity by {found.by}: {level(found.slo)}."
    rows = [("subject", "holds", "fails at", "limited by", "probes")]
    for one in found.subjects:
        rows.append((one.subject, holds(one), number(one.high), limited(one), str(len(one.probes))))
    yield from _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def next_step(found: CapacityRecord, again: str) -> str:
    """The line after the table. `again`: the command that continues the search."""
    open_ = [one for one in found.subjects if not one.closed]
    if not open_:
        return ""
    if any(one.limited_by == "time" for one in open_):
        return f"next: {again}, with more --minutes"
    if any(one.harness_limited for one in open_):
        return (
            "next: the harness was the limit: stop what else runs, give the load more cores ([place] load), "
            "or search --by workload.rate_hz"
        )
    if any(one.limited_by == "--to" for one in open_):
        return "next: a higher --to"
    return ""
