"""results/index.html: the past campaigns of a folder on one page, newest first.

Invariant: one file without network and scripts. Only `results` folders get one, and a folder that already has one of
ours: a page that somebody else wrote is left alone. Called after each run and report.
"""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from rtbench.analysis import templates
from rtbench.records import past
from rtbench.records.inside import inside
from rtbench.records.replacing import write

MARK = '<meta name="generator" content="rtbench">'
"""In the head of every page of ours."""
FILES = (
    ("report", "report/report.html"),
    ("Markdown", "report/report.md"),
    ("metrics.csv", "report/metrics.csv"),
    ("campaign.json", "campaign.json"),
)
"""What a campaign's entry links to, where it is there."""


def rebuild(holder: Path) -> Path | None:
    """Write `holder`/index.html again; None where none belongs. OSError passes through."""
    file = holder.resolve() / "index.html"
    if file.exists():
        with file.open("rb") as head:
            ours = MARK.encode() in head.read(2**10)
    else:
        ours = file.parent.name == "results"
    if ours:
        write(file, render(past.campaigns(holder)))
    return file if ours else None


def render(found: list[past.Past]) -> str:
    """The page. Text of a results folder cannot break out of it."""
    rows = [(row, [(label, name) for label, name in FILES if _there(row.folder, name)]) for row in found]
    template = templates.environment(Path(__file__).parent).get_template("index.html.j2")
    return template.render(rows=rows, mark=Markup(MARK))  # noqa: S704 - a constant


def _there(folder: Path, name: str) -> bool:
    return (folder / name).is_file() and inside(folder, folder / name)
