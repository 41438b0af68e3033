"""The report of a campaign: one HTML page, Markdown for a pull request, JSON and CSV for machines, figures for papers.

Invariant: everything under report/ comes from the raw files alone; the same files give the same bytes (no date of the
rendering, no random ids), so report/ can be deleted and rebuilt at any time. The page needs no network. Called by
`rtbench report` and by the campaign when it ends.
"""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from rtbench.analysis import claims, figures
from rtbench.analysis.advice.advice import Advice, advise
from rtbench.analysis.advice.option import Needs
from rtbench.analysis.campaigns import shape
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.figures import _style
from rtbench.analysis.metrics import catalogue
from rtbench.analysis.report import answer, caveats, fairness, proxied, tables
from rtbench.analysis.report.caveat import Caveat
from rtbench.analysis.report.citation import cite, facts
from rtbench.analysis.report.condense import condense
from rtbench.analysis.report.several import several
from rtbench.analysis.sweep import curves, words
from rtbench.errors import ResultsError
from rtbench.records.tables import SCHEMA, write_json

_TEMPLATES = Path(__file__).parent / "templates"


PLACED = (
    "decision", "sweep", "freshness", "latency", "parts", "cpu", "floor", "memory", "traffic", "setup", "recovery",
    "replication", "timeline",
)  # fmt: skip
"""The figures that the page has a place for; any other one comes after them, in the registry's order."""


@dataclass(frozen=True, slots=True)
class Report:
    """Where the report is and what the terminal says about it."""

    path: Path
    """report.html; the other files are beside it."""
    headlines: tuple[str, str, str]
    caveats: tuple[str, ...]
    """The grave ones, one line each, for the terminal: which metrics they spoil is in the report."""
    exit_code: int
    """1: a threshold of the scenario is crossed; 3: some subject has too few valid trials; else 0."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure on the page."""

    name: str
    title: str
    caption: str
    svg: Markup
    values: tuple[list[str], list[tuple[str, list[str]]]]
    """What it draws as a table: headings, and a row a subject; empty where the page has such a table anyway."""


def build(paths: Sequence[Path], out: Path | None = None, calibration: Mapping[str, Any] | None = None) -> Report:
    """Build the report of one results folder, or of several of one environment and scenario. A folder of another
    scenario is one more campaign that the claims take evidence from.

    `out`: the folder to write to; `report/` in the first results folder when not given. `calibration`: this machine's
    newest, quoted when the campaign is of this machine and has none. Raises ResultsError when the results cannot be
    read or mixed, or when the report cannot be written.
    """
    given = several(paths)
    campaign = given.campaign
    for path, document in zip(campaign.paths, campaign.documents, strict=True):
        shape.checked(document, shape.REPORTED, path / "campaign.json")
    here = (calibration or {}).get("environment", {}).get("machine")
    if here != (campaign.document.get("environment") or {}).get("machine"):
        calibration = None
    evidence = gather(campaign, calibration)
    folder = out if out is not None else Path(paths[0]) / "report"
    try:
        return write(evidence, folder, given.beside, given.caveats)
    except OSError as error:
        raise ResultsError(
            f"{folder}: the report cannot be written ({error})", "free the disk or name another --out"
        ) from error


def write(evidence: Evidence, folder: Path, beside: Sequence[Evidence] = (), notes: Sequence[Caveat] = ()) -> Report:
    """Write every file of the report into `folder`. OSError passes through.

    `beside`: other campaigns, for the claims; `notes`: what is to be said of them.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    warned = sorted((*caveats.collect(evidence), *notes), key=lambda c: not c.grave)
    said = answer.sentences(evidence)
    judged = claims.judge((evidence, *beside))
    advised = advise(evidence, Needs())
    shown = _draw(evidence, folder / "figures")
    context = _context(evidence, warned, said, shown) | {"judged": judged, "advice": advised}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    for part in ("css", "js"):
        context[part] = Markup((_TEMPLATES / f"report.{part}").read_text(encoding="utf-8"))
    environment.filters |= {"cell": _markdown_cell, "ticked": _ticked, "stacked": _stacked}
    for name in ("report.html", "report.md"):
        text = environment.get_template(f"{name}.j2").render(context)
        (folder / name).write_text(_fitting(text) if name.endswith(".md") else text, encoding="utf-8")
    write_json(folder / "report.json", as_json(evidence, warned, said, judged, advised))
    (folder / "metrics.csv").write_text(as_csv(evidence), encoding="utf-8")
    code = 1 if caveats.crossed(evidence) else 3 if evidence.too_few or not evidence.subjects else 0
    first, second, third = (claim.text for claim in said)
    together = condense(warned)
    grave = tuple(f"{c.short}{f' ({c.remedy})' if c.remedy else ''}" for c in together if c.grave)
    return Report(folder / "report.html", (first, second, third), grave, code)


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
                "status": r.trial.status,
                "reasons": list(r.trial.reasons),
                "metrics": {metric.name: r.metrics.get(metric.name) for metric in catalogue()},
            }
            for r in evidence.results
        ],
        "summary": [s.row() for s in evidence.summaries],
        "comparisons": [c.row() for c in evidence.comparisons if math.isfinite(c.ratio)],
        "noise_floor": evidence.noise_floor,
        "sweep": swept.as_dict() if swept is not None else None,
        "multiplicity": [family.row() for family in evidence.families],
        "claims": [*(c.row() for c in said), *(j.row() for j in judged)],
        "calibration": evidence.calibration,
        "advice": advised.row(),
    }


def as_csv(evidence: Evidence) -> str:
    """metrics.csv: one row a trial and metric that has a value; of a sweep, with a column for each of its keys."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = list(dict.fromkeys(key for cell in evidence.campaign.cells for key in cell))
    writer.writerow(["trial", "subject", *keys, "block", "status", "metric", "unit", "value"])
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
                    ]
                )
    return text.getvalue()


def _draw(evidence: Evidence, folder: Path) -> list[Shown]:
    """Draw and write every figure that has something to show; figures of an earlier report are removed first."""
    for old in folder.iterdir():
        if old.suffix in (".svg", ".png"):
            old.unlink()
    shown = []
    with _style.style():
        for figure in figures.catalogue():
            drawing = figure.draw(evidence)
            if drawing is None:
                continue
            svg = _style.to_svg(drawing.canvas)
            (folder / f"{figure.name}.svg").write_text(svg, encoding="utf-8")
            (folder / f"{figure.name}.png").write_bytes(_style.to_png(drawing.canvas))
            page = Markup(_style.inline(svg, figure.name, figure.title))
            values = tables.values(evidence, drawing.values)
            shown.append(Shown(figure.name, figure.title, drawing.caption, page, values))
    return shown


def _context(
    evidence: Evidence, warned: Sequence[Caveat], said: Sequence[answer.Sentence], shown: Sequence[Shown]
) -> dict[str, Any]:
    document = evidence.campaign.document
    scenario = document.get("scenario") or {}
    columns, rows = tables.results(evidence)
    latency = evidence.latency
    together = condense(warned)
    pair_columns, pairs = tables.pairs(evidence)
    recovery_columns, recovery = tables.recovery(evidence)
    return {
        "campaign": document.get("campaign", "campaign"),
        "documents": evidence.campaign.documents,
        "scenario": scenario,
        "claims": [c.text for c in said],
        "grave": [c for c in together if c.grave],
        "mild": [c for c in together if not c.grave],
        "figures": {figure.name: figure for figure in shown},
        "placed": PLACED,
        "swatches": {name: Markup(_style.swatch(s)) for s in evidence.subjects for name in (s.base, s.name)},
        "facts": facts(document),
        "pair_columns": pair_columns,
        "pairs": pairs,
        "recovery_columns": recovery_columns,
        "recovery": recovery,
        "proxied": proxied.behind(evidence, latency),
        "held_ms": proxied.HELD_NS // 1_000_000,
        "fairness": fairness.manifests(evidence),
        "cited": cite(document),
        "columns": columns,
        "rows": rows,
        "arms": evidence.arms,
        "matrices": tables.matrices(evidence),
        "counts": tables.COUNTS,
        "audit": tables.audit(evidence),
        "heights": tables.layers(evidence),
        "trials": tables.trials(evidence),
        "everything": tables.everything(evidence),
        "subjects": evidence.subjects,
        "setup": tables.flat(scenario),
        "environment": tables.flat(document.get("environment") or {}),
        "noise_floor": evidence.noise_floor,
        "calibration": tables.calibration(evidence),
        "metrics": list(catalogue()),
        "interrupted": document.get("exit") == 130,
        "sweep": _sweep(evidence),
    }


def _sweep(evidence: Evidence) -> dict[str, Any] | None:
    """What the sweep's partial templates show; None without a sweep."""
    found = curves.study(evidence)
    if found is None:
        return None
    crossovers = words.crossovers(found)
    return {
        "over": found.keys,
        "exponents": words.exponents(evidence, found),
        "crossovers": crossovers,
        "flips": [row for row, one in zip(crossovers, words.ordered(found), strict=True) if one.flips],
        "tally": words.tally(found),
        "across": any(across for _, _, _, across in crossovers),
        "freshness": words.freshness(found),
        "curves": words.curves(evidence, found),
    }


def _markdown_cell(value: object) -> str:
    """Text that cannot break out of a Markdown table or start HTML."""
    text = " ".join(str(value).split())
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(raw, safe)
    return text


COMMENT = 65_536
"""Characters that a comment on a GitHub pull request takes."""


def _fitting(text: str) -> str:
    """What fits into a comment: whole lines, and a word about the rest."""
    if len(text) < COMMENT:
        return text
    kept = text[: COMMENT - 200].rpartition("\n")[0]
    return f"{kept}\n\n**Cut here**: {text.count(chr(10)) - kept.count(chr(10)):,} more lines are in report.html.\n"


def _ticked(text: str) -> Markup:
    """Text with `commands` in backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _stacked(text: str) -> Markup:
    """A value with its interval on a line below."""
    value, bracket, interval = text.partition(" [")
    below = Markup('<span class="interval">[{}</span>').format(interval) if bracket else ""
    return escape(value) + below


def remove(results: Path) -> None:
    """Delete the derived files of a results folder; `build` makes them again."""
    shutil.rmtree(results / "report", ignore_errors=True)
