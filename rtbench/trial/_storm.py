"""What a storm did, from the load processes' reports: the event of the manifest, and a warning if it cut too few.

Invariant: the event's count is that of connections that were really reset. Called by the trial once the load processes
have reported.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtbench.messages.load import LoadReport
from rtbench.records.manifest import Event
from rtbench.records.reason import Reason
from rtbench.trial._process_group import ProcessGroup


def settle(group: ProcessGroup, reports: Sequence[LoadReport]) -> list[Reason]:
    """Add the storm to the group's events. Returns a warning if some of the subscribers had no connection to cut."""
    scenario = group.run.spec.scenario
    cuts = [report.cut for report in reports if report.cut is not None]
    if not cuts:
        return []
    count = sum(cut.connections for cut in cuts)
    began_ns, ended_ns = min(cut.began_ns for cut in cuts), max(cut.ended_ns for cut in cuts)
    group.events.append(
        Event(
            do="cut",
            what="connections",
            planned_s=scenario.storm.at_s,
            began_ns=began_ns,
            ended_ns=ended_ns,
            count=count,
        )
    )
    wanted = max(1, round(scenario.storm.cut * scenario.subscribers))
    if count == wanted:
        return []
    text = f"the storm cut {count:,} connections of {wanted:,}: the others were not connected then"
    return [Reason("storm", text, "a later storm.at_s, or fewer subscribers", [])]
