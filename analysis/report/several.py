"""Several results folders in one report: which are the campaign, which stand beside it.

Folders of the first one's scenario are one campaign with it and must agree in everything that is checked (R15: load
refuses them otherwise, with the key). A folder of another scenario is a campaign of its own, which only the claims take
evidence from: nothing of it is in a table or figure, and its times are never set against another's. Called by the
report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbench.analysis.campaigns.load import Campaign, checked_keys, load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.report.caveat import Caveat


@dataclass(frozen=True, slots=True)
class Several:
    """What a report is made of."""

    campaign: Campaign
    beside: tuple[Evidence, ...]

    @property
    def caveats(self) -> list[Caveat]:
        """That there are others, and where they are of another environment."""
        return [_caveat(self.campaign.document, one.campaign) for one in self.beside]


def several(paths: Sequence[Path]) -> Several:
    """The campaign of the first folder and all that belong to it, and the others, each measured. Raises
    ResultsError."""
    first, *rest = paths
    hash_ = load(first).document.get("scenario_hash")
    others = [path for path in rest if load(path).document.get("scenario_hash") != hash_]
    return Several(
        campaign=load([path for path in paths if path not in others]),
        beside=tuple(gather(load(path)) for path in others),
    )


def _caveat(document: Mapping[str, Any], other: Campaign) -> Caveat:
    mine, theirs = checked_keys(document), checked_keys(other.document)
    differing = [
        f"{key}: {mine.get(key)!r}, there {theirs.get(key)!r}"
        for key in sorted(mine.keys() | theirs.keys())
        if key != "scenario_hash" and mine.get(key) != theirs.get(key)
    ]
    name = (other.document.get("scenario") or {}).get("name", "another scenario")
    where = f"; it is of another environment ({differing[0]})" if differing else ""
    return Caveat(
        "beside",
        (
            f"the claims also take evidence from {other.document.get('campaign')} ({name}), a campaign of its own that "
            f"no table or figure shows{where}",
        ),
        "`rtbench report` of its folder shows it",
        bool(differing),
    )
