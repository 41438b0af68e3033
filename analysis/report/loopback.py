"""The report's table of server CPU on loopback with the client's part of it, and a caveat (R23).

Invariant: the numbers are those of `rtbench.analysis.evidence.loopback`; without a calibrated share the table is left
out, and the caveat names what is not known. Called by the report.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence, naming
from rtbench.analysis.evidence import loopback as paying
from rtbench.analysis.report.caveat import Caveat

HEADINGS = (
    "server CPU / message", "of it the client's receive path", "relative to", "as measured", "each server its own TCP"
)  # fmt: skip


def table(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """A row a subject, beside the cheapest of its arm and cell; none without a calibrated share."""
    found, flows = paying.shares(evidence), paying.flows(evidence)
    words = naming.headings(evidence.subjects)
    rows = []
    for _, subjects in evidence.arms if paying.corners(found) else ():
        for subject in subjects:
            if subject.name not in flows:
                continue
            mine = flows[subject.name]
            rivals = [other.name for other in subjects if other.cell == subject.cell and other.name in flows]
            best = min(rivals, key=lambda name: flows[name].cost)
            ratio = evidence.comparison(paying.METRIC, subject.name, best) if best != subject.name else None
            cells = [format.quantity(mine.cost, "ns"), _from_to(paying.receive_path(found, mine))]
            if ratio is None:
                cells += [format.MISSING] * 3
            else:
                range_ = paying.sensitivity(found, ratio.ratio, mine, flows[best])
                own = format.MISSING if range_ is None else " to ".join(f"{format.number(end)}×" for end in range_)
                cells += [words[best], format.ratio(ratio), own]
            rows.append((subject.name, cells))
    return rows


def caveats(evidence: Evidence) -> Iterator[Caveat]:
    """What the receive path does to the costs of this campaign.

    Nothing where no server's CPU is known, or where a router pays for the way of the packets to the clients.
    """
    if all(result.trial.network for result in evidence.results):
        return
    if all(row.median is None for row in evidence.summaries if row.metric == paying.METRIC):
        return
    found, flows = paying.shares(evidence), paying.flows(evidence)
    if not flows or not paying.corners(found):
        text = "server CPU contains the clients' receive path: an unknown share, which pulls ratios of it towards 1"
        if found is not None and found.why_not:
            text += f" ({found.why_not})"
        if found is not None and found.at_least_ns is not None:
            text += f"; of a message that comes alone it is at least {format.quantity(found.at_least_ns.value, 'ns')}"
        remedy = "run `rtbench calibrate` as root, then measure without --netns"
        yield Caveat("loopback-share-unknown", (text,), remedy, False)
        return
    name, cheapest = min(flows.items(), key=lambda item: item[1].cost)
    path = paying.receive_path(found, cheapest)
    text = (
        f"of {name}'s {format.quantity(cheapest.cost, 'ns')} a message some {_from_to(path)} are the client's receive "
        "path, which loopback bills to the server"
    )
    if paying.sensitivity(found, 1.0, cheapest, cheapest) is None:
        remedy = "run `rtbench calibrate` on the machine as it is during campaigns"
        yield Caveat("loopback-share", (f"{text}: too much to be taken out",), remedy, False)
    else:
        yield Caveat("loopback-share", (f"{text}; each ratio of CPU has the range without it",), "", False)


def _from_to(range_: paying.Range | None) -> str:
    """`2.7 to 2.9 µs`."""
    if range_ is None:
        return format.MISSING
    divisor, unit = format.scale("ns", range_[1])
    ends = dict.fromkeys(format.number(end / divisor) for end in range_)
    return f"{' to '.join(ends)} {unit}"
