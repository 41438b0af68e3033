"""What a search for capacities found, in words: the sentences, the table, and the next step (R19).

Invariant: a bracket is worded from capacity.json alone, and what the harness limited is "N or more", never a capacity.
Called by the report and, for the terminal, by `rtbench capacity`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.report.command import without
from rtbench.records.capacity import CapacityRecord, Level, SubjectCapacity

COLUMNS = ("holds", "fails at", "limited by", "probes")
_UNITS = {"subscribers": "subscribers", "workload.rate_hz": "messages a second"}


@dataclass(frozen=True, slots=True)
class Table:
    """The brackets of one folder: a row a subject, its name and its cells as COLUMNS."""

    title: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def tables(evidence: Evidence) -> list[Table]:
    """A table for each folder of a search; none for other campaigns."""
    names = naming.headings(evidence.subjects)
    several = len(evidence.campaign.capacities) > 1
    return [
        Table(
            f"{title(found)}{f', campaign {place}' if several else ''}",
            tuple((names.get(one.subject, one.subject), cells(one)) for one in found.subjects),
        )
        for place, found in enumerate(evidence.campaign.capacities, 1)
    ]


def sentences(evidence: Evidence, longest: int) -> list[str]:
    """A line for each subject of the first folder, with the level where it fits into `longest` characters."""
    names = naming.headings(evidence.subjects)
    found = evidence.campaign.capacities[0]
    within = f" ({100 * found.slo.quantile:g} % within {found.slo.latency_ms:g} ms)"
    lines = [f"{names.get(one.subject, one.subject)}: {sentence(found, one)}" for one in found.subjects]
    return [f"{text}{within}" if len(text) + len(within) <= longest else text for text in lines]


def sentence(found: CapacityRecord, one: SubjectCapacity) -> str:
    """`holds 1,240 subscribers, fails at 1,350, limited by server core`."""
    unit = _UNITS.get(found.by, found.by)
    if one.low is None and one.high is None:
        text = "no load at which it holds was found"
    elif one.low is None:
        text = f"fails at {number(one.high)} {unit}"
    elif one.high is None:
        text = f"holds {number(one.low)} {unit} or more"
    else:
        text = f"holds {number(one.low)} {unit}, fails at {number(one.high)}"
    return f"{text}, limited by {limited(one)}" if limited(one) else text


def lines(found: CapacityRecord) -> Iterator[str]:
    """The table for a terminal."""
    yield f"{title(found)}."
    rows = [("subject", *COLUMNS), *((one.subject, *cells(one)) for one in found.subjects)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def title(found: CapacityRecord) -> str:
    """`Capacity by subscribers: 99 % of the deliveries within 50 ms, …`."""
    return f"Capacity by {found.by}: {level(found.slo)}"


def level(slo: Level) -> str:
    """The service level in words."""
    return (
        f"{100 * slo.quantile:g} % of the deliveries within {slo.latency_ms:g} ms, at most {100 * slo.lost:g} % lost, "
        f"each subscriber set up within {slo.set_up_s:g} s"
    )


def cells(one: SubjectCapacity) -> tuple[str, ...]:
    """A subject's cells, as COLUMNS."""
    held = format.MISSING if one.low is None else f"{number(one.low)}{'' if one.high is not None else ' or more'}"
    return held, number(one.high), limited(one) or format.MISSING, str(len(one.probes))


def limited(one: SubjectCapacity) -> str:
    """What limits it, and whether that is the harness; empty: not known."""
    if not one.limited_by:
        return "the time" if one.out_of_time else ""
    return f"the harness: {one.limited_by}" if one.harness_limited else one.limited_by


def number(value: float | None) -> str:
    """A value of the searched key."""
    return format.MISSING if value is None else f"{value:,.10g}"


def next_step(found: CapacityRecord, command: str, folder: str) -> str:
    """One line with one command. `command`: the search's without its folder."""
    unsettled = [one for one in found.subjects if not one.closed]
    if not unsettled:
        held = [one.low for one in found.subjects if one.low is not None]
        value = f"{found.by}={number(min(held)).replace(',', '')}"
        scenario = next(iter(_scenario(command)), "SCENARIO")
        run = shlex.join(["rtbench", "run", scenario, "--set", value])
        return f"Next: `{run}` compares latency and cost at a load that all hold."
    if any(one.out_of_time for one in unsettled):
        typed = shlex.join(without(shlex.split(command), "--minutes"))
        return f"Next: `{typed} --out {shlex.quote(folder)} --resume --minutes M` continues: the time was over."
    if any(one.harness_limited for one in unsettled):
        return (
            f"Next: `{command}` again on a quiet machine, or with more cores for the load ([place] load): the harness "
            "was the limit."
        )
    return f"Next: `{command} --to N` with a higher N, or another level (--set slo.latency_ms=MS)."


def _scenario(command: str) -> Sequence[str]:
    """The word after `capacity` in a command."""
    words = shlex.split(command)
    return words[words.index("capacity") + 1 :][:1] if "capacity" in words else ()
