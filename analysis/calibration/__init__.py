"""What a calibration's campaigns should show, and what they do show: known truths in, deviations out (R16).

Invariant: judged from the raw files alone; what is expected comes from the scenario and the recorded events, by
arithmetic, never from what was measured. A judge is a function that yields checks; JUDGES names the campaigns that it
looks at. Called by `rtbench calibrate` and `rtbench aa`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rtbench.analysis.calibration import deliveries, starvation, stops
from rtbench.analysis.calibration.aa import AA_METRICS, aa_short, judge_aa
from rtbench.analysis.calibration.check import Check, measured_trials
from rtbench.analysis.calibration.loopback import record as loopback
from rtbench.analysis.evidence import gather
from rtbench.analysis.notebook import Campaign, load
from rtbench.analysis.statistics import noise

__all__ = ["AA_METRICS", "Check", "judge", "judge_aa", "loopback", "noise_of"]

Judge = Callable[[Mapping[str, Campaign]], Iterator[Check]]

JUDGES: tuple[tuple[tuple[str, ...], Judge], ...] = (
    (("delay",), deliveries.delays),
    (("server-stop",), deliveries.sizes),
    (("faults",), deliveries.faults),
    (("server-stop",), stops.server_stop),
    (("publisher-stop",), stops.publisher_stop),
    (("rested", "starved-short"), starvation.starved_short),
    (("rested", "starved-long"), starvation.starved_long),
    (("aa-short",), aa_short),
)
"""The campaigns that a judge needs, and the judge, in the order of the table."""


def judge(folder: Path) -> list[Check]:
    """Every check whose campaigns are in `folder`."""
    found: dict[str, Campaign] = {
        path.parent.name: load(path.parent) for path in sorted(folder.glob("*/campaign.json"))
    }
    checks = [one for name, campaign in found.items() for one in _whole(name, campaign)]
    there = {name for name, campaign in found.items() if any(measured_trials(campaign))}
    return checks + [one for needs, look in JUDGES if set(needs) <= there for one in look(found)]


def _whole(name: str, campaign: Campaign) -> Iterator[Check]:
    """A trial that failed shows nothing: that is one truth not met, not one fewer."""
    planned = sum(len(block) for block in campaign.document["order"])
    measured = len({(trial.block, trial.subject) for trial in measured_trials(campaign)})
    if measured < planned:
        yield Check(f"trials of {name}", planned, measured, "trials", "all measured", False)


def noise_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The noise of every metric, from the A/A campaign in `folder` (its sub-folder, or itself)."""
    place = folder / "aa-short" if (folder / "aa-short").exists() else folder
    evidence = gather(load(place))
    return {metric: one.row() for metric, one in noise.noise(evidence.values, evidence.names).items()}
