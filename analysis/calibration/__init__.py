"""Judges a calibration's campaigns: known truths in, deviations out (R16).

Invariant: judged from the raw files alone; expected values come from the scenario and the recorded events, by
arithmetic, never from measurements. A judge is a function that yields checks; JUDGES names its campaigns. Called by
`rtbench calibrate` and `rtbench aa`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rtbench.analysis.calibration import deliveries, networks, starvation, stops
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
    (("network-delay",), networks.delays),
    (("network-thousand",), networks.thousand),
    (("network-jitter",), networks.jitter),
    (("network-loss",), networks.loss),
    (("network-rate",), networks.rate),
    (("aa-short",), aa_short),
)
"""The campaigns of each judge, and the judge, in the order of the table."""


def judge(folder: Path) -> list[Check]:
    """Every check whose campaigns are in `folder`."""
    found: dict[str, Campaign] = {
        path.parent.name: load(path.parent) for path in sorted(folder.glob("*/campaign.json"))
    }
    checks = [one for name, campaign in found.items() for one in _whole(name, campaign)]
    there = {name for name, campaign in found.items() if any(measured_trials(campaign))}
    return checks + [one for needs, look in JUDGES if set(needs) <= there for one in look(found)]


def _whole(name: str, campaign: Campaign) -> Iterator[Check]:
    """A failed trial counts as a truth that is not met."""
    planned = sum(len(block) for block in campaign.document["order"])
    measured = len({(trial.block, trial.item) for trial in measured_trials(campaign)})
    if measured < planned:
        yield Check(f"trials of {name}", planned, measured, "trials", "all measured", False)


def noise_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The noise of every metric, from the A/A campaign in `folder` (its sub-folder, or itself)."""
    place = folder / "aa-short" if (folder / "aa-short").exists() else folder
    evidence = gather(load(place))
    return {metric: one.row() for metric, one in noise.noise(evidence.values, evidence.names).items()}
