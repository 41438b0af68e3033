"""The report's page and its Markdown: figures drawn, tables made, templates filled.

Invariant: a template only places what is here; text from a results folder cannot break out of HTML or Markdown, and the
Markdown fits into a comment on a pull request. Called by the report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from rtbench.analysis import claims, figures, format, templates
from rtbench.analysis.advice.advice import Advice
from rtbench.analysis.evidence import Evidence, naming, origin
from rtbench.analysis.figures import _style
from rtbench.analysis.report import (
    answer,
    capacity,
    crowds,
    factors,
    fairness,
    loopback,
    overview,
    pairs,
    proxied,
    silence,
    stacks,
    tables,
)
from rtbench.analysis.report.caveat import Caveat
from rtbench.analysis.report.citation import cite, facts
from rtbench.analysis.report.condense import condense
from rtbench.analysis.report.made import OVER_TRIALS, Made, made
from rtbench.analysis.report.presets import presets
from rtbench.analysis.statistics.compare import Summary
from rtbench.analysis.sweep import curves, words
from rtbench.records.replacing import create, write

_TEMPLATES = Path(__file__).parent / "templates"

LEAD = (
    "decision", "capacity", "sweep", "forest", "freshness", "recovery", "storm", "memory", "floor", "latency",
    "replication",
)  # fmt: skip
"""The figures that may stand open, each in its section; the first OPEN of them that are there do."""

OPEN = 3
"""More figures than these are folded, so that a reader gets to the tables."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure on the page."""

    name: str
    title: str
    caption: str
    svg: Markup
    values: tuple[list[str], list[tuple[str, list[str]]]]
    """What it draws as a table: headings, and a row a subject; empty where the page has such a table anyway."""
    made: Made


def render(
    folder: Path,
    evidence: Evidence,
    warned: Sequence[Caveat],
    said: Sequence[answer.Sentence],
    step: str,
    judged: Sequence[claims.Judged],
    advised: Advice,
) -> None:
    """Write report.html, report.md and the figures into `folder`. `step`: what to do next. OSError passes through."""
    create(folder / "figures")
    shown = _draw(evidence, folder / "figures")
    context = _context(evidence, warned, said, shown) | {"next": step, "judged": judged, "advice": advised}
    context |= templates.parts()
    environment = templates.environment(_TEMPLATES)
    environment.filters |= {
        "cell": format.markdown, "marked": _marked, "ticked": _ticked, "stacked": _stacked, "value": _value,
        "value_md": _value_md,
    }  # fmt: skip
    for name in ("report.html", "report.md"):
        text = environment.get_template(f"{name}.j2").render(context)
        write(folder / name, _fitting(text) if name.endswith(".md") else text)


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
            write(folder / f"{figure.name}.svg", svg)
            write(folder / f"{figure.name}.png", _style.to_png(drawing.canvas))
            page = Markup(_style.inline(svg, figure.name, figure.title))  # noqa: S704 - matplotlib escaped its texts
            values = tables.values(evidence, drawing.values)
            metrics = drawing.metrics or tuple(metric for metric, _ in drawing.values)
            how = made(evidence, figure.title, [m for m in metrics if evidence.known(m)])
            shown.append(Shown(figure.name, figure.title, drawing.caption, page, values, how))
    return shown


def _context(
    evidence: Evidence, warned: Sequence[Caveat], said: Sequence[answer.Sentence], shown: Sequence[Shown]
) -> dict[str, Any]:
    document = evidence.campaign.document
    scenario = document.get("scenario") or {}
    latency = evidence.latency
    first = overview.table(evidence)
    together = condense(warned)
    pair_columns, paired = pairs.pairs(evidence)
    recovery_columns, recovery = tables.recovery(evidence)
    growth_columns, growth = tables.growth(evidence)
    storm_columns, storm = crowds.storm(evidence)
    churn_columns, churn = crowds.churn(evidence)
    paying, heights = loopback.table(evidence), tables.layers(evidence)
    split = [(one, found) for one in (factors.POLL, factors.PUSH) if (found := factors.table(evidence, one))]
    lead = [name for name in LEAD if name in {figure.name for figure in shown}][:OPEN]
    decides = [column.metric for column in first.columns]
    titles = naming.headings(evidence.subjects)
    return {
        "campaign": document.get("campaign", "campaign"),
        "documents": evidence.campaign.documents,
        "scenario": scenario,
        "answer": [c.text for c in said],
        "overview": first,
        "measured": bool(first.groups),
        "titles": titles,
        "grave": [c for c in together if c.grave],
        "mild": [c for c in together if not c.grave],
        "figures": {figure.name: figure for figure in shown},
        "lead": lead,
        "more": [figure.name for figure in shown if figure.name not in lead],
        "presets": presets(evidence),
        "origins": origin.origins(evidence),
        "over_trials": OVER_TRIALS,
        "made": {
            s.name: (f"made-{place}", made(evidence, titles[s.name], decides, [s.name]))
            for place, s in enumerate(evidence.subjects, 1)
        },
        "costs": bool(paying or split) or bool({"memory", "floor"} & {figure.name for figure in shown}),
        "bytes": any(cell != format.MISSING for _, cells in heights for cell in cells),
        "swatches": {
            name: Markup(_style.swatch(s))  # noqa: S704 - of our own colours and shapes
            for s in evidence.subjects
            for name in (s.base, s.name)
        },
        "facts": facts(document),
        "pair_columns": pair_columns,
        "pairs": paired,
        "recovery_columns": recovery_columns,
        "recovery": recovery,
        "growth_columns": growth_columns,
        "growth": growth,
        "silence_columns": silence.HEADINGS,
        "silence": silence.table(evidence),
        "storm_columns": storm_columns,
        "storm": storm,
        "churn_columns": churn_columns,
        "churn": churn,
        "paying_columns": loopback.HEADINGS,
        "paying": paying,
        "split": split,
        "proxied": proxied.behind(evidence, latency),
        "held_ms": proxied.HELD_NS // 1_000_000,
        "fairness": fairness.manifests(evidence),
        "cited": cite(document),
        "matrices": pairs.matrices(evidence),
        "margin": format.share(evidence.margin),
        "combined": pairs.combined(evidence),
        "stacks": stacks.table(evidence),
        "counts": tables.COUNTS,
        "audit": tables.audit(evidence),
        "heights": heights,
        "trials": tables.trials(evidence),
        "left_out": tables.left_out(evidence),
        "halves": tables.halves(evidence),
        "half_columns": tables.HALVES,
        "everything": tables.everything(evidence),
        "subjects": evidence.subjects,
        "bases": list(dict.fromkeys(s.base for s in evidence.subjects)),
        "setup": tables.settings(scenario),
        "environment": tables.settings(document.get("environment") or {}),
        "noise_floor": evidence.noise_floor,
        "calibration": tables.calibration(evidence),
        "interrupted": document.get("exit") == 130,
        "sweep": _sweep(evidence),
        "capacities": capacity.tables(evidence),
        "capacity_columns": capacity.COLUMNS,
    }


def _sweep(evidence: Evidence) -> dict[str, Any] | None:
    """What the sweep's partial templates show; None without a sweep."""
    found = curves.study(evidence)
    if found is None:
        return None
    crossovers = words.crossovers(evidence, found)
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
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _marked(text: str) -> str:
    """The same for Markdown: `commands` stay in backticks, everything else is escaped."""
    return re.sub(r"`([^`]+)`|([^`]+|`)", lambda m: f"`{format.markdown(m[1])}`" if m[1] else _escaped(m[2]), text)


def _escaped(text: str) -> str:
    """With the spaces at its ends."""
    inner = text.strip()
    return text.replace(inner, format.markdown(inner)) if inner else text


def _value(row: Summary | None) -> Markup:
    """A value, its interval on the line below, in smaller type."""
    value, interval = format.split(row)
    return escape(value) + (Markup('<span class="interval">{}</span>').format(interval) if interval else Markup())


def _value_md(row: Summary | None) -> str:
    """The same for Markdown."""
    value, interval = format.split(row)
    return f"{value} <sub>{interval}</sub>" if interval else value


def _stacked(text: str) -> Markup:
    """A value, its interval on the line below, its note on the next."""
    value, bracket, rest = text.partition(" [")
    interval, _, note = rest.partition("; ") if bracket else ("", "", "")
    lines = [f"[{interval}"] if bracket else []
    return escape(value) + Markup("").join(
        Markup('<span class="interval">{}</span>').format(line) for line in [*lines, *([note] if note else [])]
    )
