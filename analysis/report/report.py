"""The report of a campaign: one HTML page, Markdown for a pull request, JSON and CSV for machines, figures for papers.

Invariant: everything under report/ comes from the folders alone; the same files give the same bytes (no date of the
rendering, no random ids), so report/ can be deleted and rebuilt at any time. The page needs no network. Called by
`rtbench report` and by the campaign when it ends.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbench.analysis import claims
from rtbench.analysis.advice.advice import Advice, advise
from rtbench.analysis.advice.option import Needs
from rtbench.analysis.campaigns.load import reportable
from rtbench.analysis.evidence import Evidence, gather, loopback
from rtbench.analysis.metrics import catalogue
from rtbench.analysis.report import answer, caveats, next_step, page, thresholds
from rtbench.analysis.report.caveat import Caveat
from rtbench.analysis.report.condense import condense
from rtbench.analysis.report.several import several
from rtbench.analysis.sweep import curves
from rtbench.records.inside import own, own_all
from rtbench.records.record import plain, typed
from rtbench.records.replacing import create, unwritable
from rtbench.records.replacing import write as write_file
from rtbench.records.report import ReportRecord
from rtbench.records.tables import SCHEMA, write_json


@dataclass(frozen=True, slots=True)
class Report:
    """Where the report is and what the terminal says about it."""

    path: Path
    """report.html; the other files are beside it."""
    headlines: tuple[str, ...]
    """The answer: one to four lines."""
    next: str
    """The line that names the next command."""
    caveats: tuple[str, ...]
    """The grave ones, one line each, for the terminal: which metrics they spoil is in the report."""
    exit_code: int
    """1: a threshold of the scenario is crossed; 3: some subject has too few valid trials; else 0."""


CLAIMED = ("article", "ci", "matrix")
"""Scenarios whose report shows the article's claims without being asked."""


def build(
    paths: Sequence[Path],
    out: Path | None = None,
    calibration: Mapping[str, Any] | None = None,
    with_claims: bool = False,
) -> Report:
    """Build the report of one results folder, or of several of one environment and scenario. A folder of another
    scenario is one more campaign that the claims take evidence from.

    `out`: the folder to write to; `report/` in the first results folder when not given. `calibration`: one of the
    campaign's machine, instead of what the campaign kept. `with_claims`: show the article's claims whatever the
    scenario. Raises ResultsError when the results cannot be read or mixed,
    or when the report cannot be written.
    """
    given = several(paths)
    campaign = given.campaign
    reportable(campaign)
    evidence = gather(campaign, calibration)
    folder = out if out is not None else own(Path(paths[0]), Path(paths[0]) / "report")
    for place in (folder, folder / "figures"):
        own_all(folder, place)
    try:
        return write(evidence, folder, given.beside, given.caveats, with_claims)
    except OSError as error:
        raise unwritable(folder, error, " or name another --out") from error


def write(
    evidence: Evidence,
    folder: Path,
    beside: Sequence[Evidence] = (),
    notes: Sequence[Caveat] = (),
    with_claims: bool = False,
) -> Report:
    """Write every file of the report into `folder`. OSError passes through.

    `beside`: other campaigns, for the claims; `notes`: caveats about them. report.json has the claims in any case.
    """
    create(folder)
    warned = sorted((*caveats.collect(evidence), *notes), key=lambda c: not c.grave)
    said = answer.sentences(evidence)
    judged = claims.judge((evidence, *beside))
    advised = advise(evidence, Needs())
    scenario = (evidence.campaign.document.get("scenario") or {}).get("name")
    shown = judged if with_claims or scenario in CLAIMED else ()
    step = next_step.line(evidence)
    page.render(folder, evidence, warned, said, step, shown, advised)
    write_json(folder / "report.json", plain(typed(ReportRecord, as_json(evidence, warned, said, judged, advised))))
    write_file(folder / "metrics.csv", as_csv(evidence))
    code = 1 if thresholds.crossed(evidence) else 3 if _unsettled(evidence) else 0
    together = condense(warned)
    grave = tuple(f"{c.short}{f' ({c.remedy})' if c.remedy else ''}" for c in together if c.grave)
    headlines = tuple(one.text for one in said)
    return Report(folder / "report.html", headlines, step, grave, code)


def _unsettled(evidence: Evidence) -> bool:
    """Whether nothing can be concluded about some subject."""
    if searched := evidence.campaign.capacities:
        return not all(subject.closed for found in searched for subject in found.subjects)
    return bool(evidence.too_few) or not evidence.subjects


def as_json(
    evidence: Evidence,
    warned: Sequence[Caveat],
    said: Sequence[answer.Sentence],
    judged: Sequence[claims.Judged],
    advised: Advice,
) -> dict[str, Any]:
    """report.json, keys as in interface.md. Every number is finite; what is not known is null."""
    document = evidence.campaign.document
    swept = curves.study(evidence)
    return {
        "schema": SCHEMA,
        "campaign": document.get("campaign"),
        "scenario": document.get("scenario"),
        "environment": document.get("environment"),
        "warnings": [c.row() for c in warned],
        "subjects": [{**s.row, "trials": s.trials, "usable": s.usable} for s in evidence.subjects],
        "trials": [
            {
                "trial": r.trial.number,
                "subject": r.trial.item,
                "base": r.trial.subject,
                "cell": dict(r.trial.cell),
                "block": r.trial.block,
                "attempt": r.trial.attempt,
                "status": r.trial.status,
                "reasons": list(r.trial.reasons),
                "counts": r.trial.counts,
                "left_out": {
                    name: r.trial.why_not(name)
                    for name, value in r.metrics.items()
                    if value is not None and r.trial.spoils(name)
                },
                "metrics": {metric.name: r.metrics.get(metric.name) for metric in catalogue()},
            }
            for r in evidence.results
        ],
        "summary": [s.row() for s in evidence.summaries],
        "comparisons": _comparisons(evidence),
        "combined": [c.row(evidence.campaign.names) for c in evidence.combined],
        "matrix": [row.row() for row in evidence.matrix],
        "noise_floor": evidence.noise_floor,
        "sweep": swept.as_dict() if swept is not None else None,
        "multiplicity": [family.row() for family in evidence.families],
        "claims": [*(c.row() for c in said), *(j.row() for j in judged)],
        "calibration": evidence.calibration,
        "advice": advised.row(),
    }


def _comparisons(evidence: Evidence) -> list[dict[str, Any]]:
    """The rows of comparisons. Those of server CPU have besides the range when each server pays for its own TCP alone
    (R23)."""
    share, flows = loopback.shares(evidence), loopback.flows(evidence)
    rows = []
    for one in evidence.comparisons:
        row = one.row()
        if one.metric == loopback.METRIC:
            found = loopback.sensitivity(share, one.ratio, flows.get(one.a), flows.get(one.b))
            row["sensitivity"] = None if found is None else {"low": found[0], "high": found[1]}
        rows.append(row)
    return rows


CSV: Mapping[str, str] = {
    "trial": "the trial's number",
    "subject": "the subject alone",
    "block": "the block's number",
    "status": "`ok`, `invalid` or `failed`",
    "metric": "the metric's name",
    "unit": "its unit",
    "value": "its value, with as many digits as its double needs",
    "attempt": "which attempt at the block it is, from 1",
    "counts": "whether the value counts: `true` or `false`",
    "why": "why it does not count",
}
"""The columns of metrics.csv, and what they mean."""


def as_csv(evidence: Evidence) -> str:
    """metrics.csv: one row a trial and metric that has a value; of a sweep, with a column for each of its keys."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = list(dict.fromkeys(key for cell in evidence.campaign.cells for key in cell))
    first, second, *others = CSV
    writer.writerow([first, second, *keys, *others])
    for r in evidence.results:
        for metric in catalogue():
            value = r.metrics.get(metric.name)
            if value is not None:
                writer.writerow(
                    [
                        r.trial.number,
                        r.trial.subject,
                        *(r.trial.cell.get(key, "") for key in keys),
                        r.trial.block,
                        r.trial.status,
                        metric.name,
                        metric.unit,
                        repr(value),
                        r.trial.attempt,
                        "false" if r.trial.spoils(metric.name) else "true",
                        r.trial.why_not(metric.name),
                    ]
                )
    return text.getvalue()


def remove(results: Path) -> None:
    """Delete the derived files of a results folder; `build` makes them again."""
    shutil.rmtree(results / "report", ignore_errors=True)
