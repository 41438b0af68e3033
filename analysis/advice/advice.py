"""Which transport for these needs: ranked, with the measurements behind each reason, and what would change it.

Invariant: only a claimed difference ranks one option above another (`judgement`). Where both take less of a core than
`TRIVIAL`, or are equivalent, the choice does not matter; where it is not resolved, the advice lists it as open. Costs
measured under the needs keep the report's verdict; ratios that the needs scale are a family of their own. A comparison
over different stacks names them (R10). The reader's own stack goes first: what was measured on another is not
measured for these needs (R17). Called by `rtbench advise` and the report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.advice.option import CPU, SAME, Needs, Option
from rtbench.analysis.advice.options import options
from rtbench.analysis.advice.reasons import percent
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather, naming
from rtbench.analysis.statistics.judgement import Comparison
from rtbench.analysis.sweep.cells import cells
from rtbench.errors import ResultsError, UserError, one_of

TRIVIAL = 0.05
"""Share of a core below which costs do not decide between two servers."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An option with its place. `ratio`: its cost over that of the very first option; `note`: the same in words; `tie`:
    in words against the first option of its own place, empty for that one."""

    rank: int
    option: Option
    ratio: Comparison | None
    note: str
    tie: str
    near: Comparison | None = None
    """Its cost over that of the first option of its own place; None for that one, and where no block has both."""

    def row(self) -> dict[str, Any]:
        """For JSON."""
        o, r = self.option, self.ratio
        return {
            "rank": self.rank,
            "subject": o.subject.name,
            "transport": o.subject.transport,
            "stack": o.subject.stack,
            "arm": o.subject.arm,
            "name": o.name,
            "cell": dict(o.cell.settings),
            "poll_interval_s": o.interval_s,
            "cores": o.cores,
            "cores_low": o.low,
            "cores_high": o.high,
            "tcp_bytes_hz": o.bytes_hz,
            "age_p50_ns": o.age_p50_ns,
            "age_p90_ns": o.age_p90_ns,
            "unmet": list(o.unmet),
            "asks": list(o.asks),
            "reasons": list(o.reasons),
            "extrapolated": list(o.extrapolated),
            "note": self.note,
            "cost_ratio": None
            if r is None
            else {
                "to": r.b,
                "ratio": r.ratio,
                "low": r.low,
                "high": r.high,
                "verdict": r.verdict,
                "margin": r.margin,
                "could_be_up_to": r.could_be_up_to,
                "within_floor": r.within_floor,
                "family": r.family,
            },
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """The whole advice."""

    campaign: str
    needs: Needs
    ranking: tuple[Ranked, ...]
    equal: tuple[str, ...]
    """Options between which the choice does not matter, and why."""
    open: tuple[str, ...]
    """Options that share a place because their order is not resolved, and what is known."""
    changes: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    """Subjects that are not ranked, and why."""

    @property
    def answer(self) -> str:
        """One sentence."""
        if not self.ranking:
            return "Nothing can be advised: no transport has enough usable trials."
        first = [r.option for r in self.ranking if r.rank == 1]
        names = " or ".join(o.title for o in first)
        if first[0].unmet:
            return f"Nothing that was measured meets these needs; {names} comes nearest ({'; '.join(first[0].unmet)})."
        if len(first) < 2:
            return f"{naming.capital(names)}."
        known = any(line.startswith(f"{_names(first)}: ") for line in self.equal)
        why = "it does not matter which" if known else "nothing measured here tells them apart"
        return f"{naming.capital(names)}: {why}."

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": 1,
            "campaign": self.campaign,
            "needs": self.needs.row(),
            "answer": self.answer,
            "ranking": [r.row() for r in self.ranking],
            "does_not_matter": list(self.equal),
            "not_resolved": list(self.open),
            "would_change": list(self.changes),
            "not_ranked": [{"subject": name, "why": why} for name, why in self.left],
        }

    def text(self) -> str:
        """For a terminal."""
        lines = [self.answer, ""]
        for one in self.ranking:
            option = one.option
            lines.append(f"{one.rank}. {naming.capital(option.title)} ({option.subject.name})")
            lines += [f"   ✗ {text}" for text in option.unmet]
            lines += [f"   ! {text}" for text in (*option.asks, *option.extrapolated)]
            lines += [f"   · {text}" for text in (*option.reasons, *([one.note] if one.note else []))]
        for title, texts in (
            ("It does not matter", self.equal),
            ("Not resolved", self.open),
            ("What would change this", self.changes),
            ("Not ranked", [f"{name}: {why}" for name, why in self.left]),
        ):
            if texts:
                lines += ["", f"{title}:", *(f" - {text}" for text in texts)]
        return "\n".join(lines)


def of_folder(folder: Path, needs: Needs, every: bool = False) -> Advice:
    """Advice from a results folder. `every`: all subjects, not the best of each transport. Raises ResultsError for a
    folder that cannot be read or has too few usable trials, UserError for impossible needs."""
    needs.check()
    evidence = gather(load(folder))
    _measured_on(needs.stack, evidence, folder)
    found = advise(evidence, needs, every)
    if not found.ranking:
        why = "; ".join(f"{name}: {reason}" for name, reason in found.left) or "it has no subjects"
        raise ResultsError(f"{folder}: nothing can be advised ({why})", "run more blocks: `rtbench run ci`")
    return found


def _measured_on(stack: str | None, evidence: Evidence, folder: Path) -> None:
    """Refuse a stack on which nothing was measured: costs depend on the stack (R17)."""
    stacks = list(dict.fromkeys(s.stack for s in evidence.subjects))
    if stack is not None and stack not in stacks:
        remedy = f"{one_of(stack, stacks)}, or describe your server in a TOML file and `rtbench run` it beside these"
        raise UserError(f"--stack {stack}: nothing was measured on it in {folder}", remedy)


def advise(evidence: Evidence, needs: Needs, every: bool = False) -> Advice:
    """Advice from gathered evidence; the ranking is empty when there is too little evidence."""
    found, left = options(cells(evidence), needs)
    ordered = sorted(found, key=lambda option: (*option.worth, option.name))
    if not every:
        best: dict[str, Option] = {}
        for option in sorted(ordered, key=lambda option: option.subject.stack != needs.stack):  # its own stack first
            best.setdefault(option.subject.transport, option)
        ordered = [option for option in ordered if best[option.subject.transport] is option]
    costs = cost_ratios(ordered)
    ranking = _ranked(ordered, costs)
    return Advice(
        campaign=str(evidence.campaign.document.get("campaign")),
        needs=needs,
        ranking=tuple(ranking),
        equal=tuple(text for known, text in _places(ranking) if known),
        open=tuple(text for known, text in _places(ranking) if not known),
        changes=tuple(_changes(ranking, costs, needs)),
        left=tuple(left),
    )


Costs = Mapping[tuple[str, str], Comparison]
"""Two options' names to the cost of the first over that of the second."""


def cost_ratios(options: Sequence[Option]) -> Costs:
    """The cost ratio of every pair of options under the needs: the measured ratio times that of the two factors."""
    found: dict[tuple[str, str], Comparison] = {}
    scaled = []
    for a, b in combinations(options, 2):
        evidence, by = b.cell.evidence, a.factor / b.factor if b.factor else 0.0
        whole = evidence.comparison(CPU, a.subject.name, b.subject.name) if a.cell is b.cell else None
        if whole is not None and abs(by - 1) <= SAME:
            found[a.name, b.name] = replace(whole, a=a.name, b=b.name)
            continue
        values = {o.name: o.cell.evidence.values[CPU].get(o.subject.name, {}) for o in (a, b)}
        one = whole or evidence.estimate(CPU, values, a.name, b.name)
        if one is not None and by:
            scaled.append(replace(one.times(by), a=a.name, b=b.name))
    if scaled:
        judged = options[0].cell.evidence.judge(scaled, "advice")
        found |= {(one.a, one.b): one for one in judged}
    return found | {(b, a): one.inverse() for (a, b), one in found.items()}


def _apart(a: Option, leader: Option, ratio: Comparison | None) -> bool:
    """Whether a is worse than the leader by a measured difference that matters."""
    if a.worth[:2] != leader.worth[:2]:
        return True
    if _trivial(a) and _trivial(leader):
        return False
    return ratio is not None and ratio.different


def _trivial(option: Option) -> bool:
    return (option.cores if option.high is None else option.high) < TRIVIAL


def _ranked(ordered: Sequence[Option], costs: Costs) -> list[Ranked]:
    found: list[Ranked] = []
    leader: Option | None = None
    for place, option in enumerate(ordered, start=1):
        if leader is None:
            leader = option
            found.append(Ranked(1, option, None, "", ""))
            continue
        first = found[0].option
        near, ratio = (costs.get((option.name, other.name)) for other in (leader, first))
        apart = _apart(option, leader, near)
        rank, tie = (place, "") if apart else (found[-1].rank, _note(option, leader, near))
        found.append(Ranked(rank, option, ratio, _note(option, first, ratio), tie, None if apart else near))
        leader = option if apart else leader
    return found


def _note(option: Option, leader: Option, ratio: Comparison | None) -> str:
    if ratio is None:
        return f"its server CPU and {leader.title}'s have no block in common"
    here, there = naming.stack(option.subject.stack), naming.stack(leader.subject.stack)
    across = f" (stacks differ: {here}, {there})" if here != there else ""
    if ratio.different:
        return f"its server CPU is {format.ratio(ratio)} of {leader.title}'s{across}"
    return f"its server CPU beside {leader.title}'s: {format.statement(ratio)}{across}"


def _places(ranking: Sequence[Ranked]) -> list[tuple[bool, str]]:
    """The options of each shared place with the reason, and whether the choice is known not to matter."""
    lines: list[tuple[bool, str]] = []
    for rank in sorted({r.rank for r in ranking}):
        group = [r for r in ranking if r.rank == rank]
        if len(group) < 2:
            continue
        names = _names([r.option for r in group])
        known = all(_trivial(r.option) for r in group)
        if known:
            most = max(r.option.high or r.option.cores for r in group)
            ages = [format.quantity(r.option.age_p50_ns, "ns") for r in group]
            why = f"each takes less than {percent(TRIVIAL)} of a core (at most {percent(most)})"
            why += f"; their data is {', '.join(ages)} old at the median, choose by that if it matters"
        else:
            why = "; ".join(f"{r.option.title}: {r.tie}" for r in group[1:])
            known = all(r.near is not None and r.near.verdict == "equivalent" for r in group[1:])
        lines.append((known, f"{names}: {why}"))
    return lines


def _names(options: Sequence[Option]) -> str:
    """`SSE on Go, WebSocket on Go`: the options of one place, a line's beginning."""
    return naming.capital(", ".join(o.title for o in options))


def _changes(ranking: Sequence[Ranked], costs: Costs, needs: Needs) -> list[str]:
    """Conditions under which another would come first, computed from what was measured."""
    if not ranking:
        return []
    first = ranking[0].option
    lines = []
    for one in ranking[1:]:
        lines += _for_polls(one.option, first, costs, needs)
        if one.option.unmet and one.option.age_p90_ns is not None and _too_old(one.option, needs):
            age = format.quantity(one.option.age_p90_ns, "ns")
            lines.append(f"{naming.capital(one.option.title)} would be fresh enough if data {age} old were acceptable.")
    per = first.cores / (needs.subscribers or first.seen.subscribers)
    if per:
        count = math.floor(1 / per)
        beyond = ", extrapolated" if count > first.seen.subscribers * 1.02 else ""
        lines.append(
            f"{naming.capital(first.title)} fills one core at some {count:,} subscribers{beyond}; beyond that it needs "
            "more processes."
        )
    if not needs.bidirectional and any(r.option.subject.transport != "websocket" for r in ranking):
        lines.append("If clients also send (--bidirectional), WebSocket uses its connection; all others need a POST.")
    return lines


def _too_old(option: Option, needs: Needs) -> bool:
    return needs.freshness_ms is not None and (option.age_p90_ns or 0.0) > needs.freshness_ms * 1e6


def _for_polls(one: Option, first: Option, costs: Costs, needs: Needs) -> list[str]:
    """The interval and the rate at which a short poll costs as much as an option of another transport."""
    if (one.interval_s is None) == (first.interval_s is None):
        return []
    poll, other = (one, first) if one.interval_s is not None else (first, one)
    ratio, interval_s = costs.get((poll.name, other.name)), poll.interval_s
    if ratio is None or interval_s is None:
        return []
    rate = needs.rate_hz or other.seen.rate_hz
    edge = "at the earliest" if ratio.ratio > 1 else "at the latest"
    return [
        f"{naming.capital(naming.title(poll.subject))} costs less CPU than {other.title} with a poll interval of "
        f"{_times(ratio, interval_s)} s or longer ({edge}), and data that old; or, polled every "
        f"{format.number(interval_s)} s, from {_times(ratio, rate)} messages a second on. "
        "Measure it: --set poll.interval_s=…"
    ]


def _times(ratio: Comparison, value: float) -> str:
    """`4.34 [3.97, 4.74]`: a value times a ratio and its limits."""
    text = format.number(ratio.ratio * value)
    if ratio.low is None or ratio.high is None:
        return text
    return f"{text} [{format.number(ratio.low * value)}, {format.number(ratio.high * value)}]"
