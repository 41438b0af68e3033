"""A difference as text for a terminal, Markdown for a pull request, JSON for machines, JUnit XML for a CI's test tab,
HTML for a browser.

Invariant: every format says the same changes, notes and subjects without enough trials. Readers get subjects in words,
machines (JSON, JUnit) their names, which do not change with the wording; names from a results folder
cannot break out of Markdown, XML or HTML. Called by `rtbench compare`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from rtbench.analysis import format
from rtbench.analysis.regression import page
from rtbench.analysis.regression.changes import FAULTS, Change, Difference

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, not even escaped (section 2.2)."""


def render(found: Difference, kind: str) -> str:
    """The difference as one of FORMATS. Another name raises KeyError."""
    return _RENDERERS[kind](found)


def _summary(found: Difference) -> str:
    count, better = len(found.regressions), found.count("better")
    parts = [f"{count} regression{'s' * (count != 1)}", f"{better} improvement{'s' * (better != 1)}"]
    aside = found.count("not comparable")
    if aside:
        parts.append(f"{aside} not comparable")
    counts = sum(c.metric in FAULTS for c in found.changes)
    return f"{', '.join(parts)} in {len(found.changes) - counts} comparisons and {counts} counts of faults"


def _mark(change: Change) -> str:
    if change.regression:
        return "✗"
    return {"better": "✓", "worse": "~", "not comparable": "?"}.get(change.verdict, " ")


def _text(found: Difference) -> str:
    lines = [f"{found.current} against {found.baseline}", *found.notes]
    names = [(found.heading(c), c.metric) for c in found.changes]
    wide = [max(map(len, column)) for column in zip(*names, strict=True)]
    for (subject, metric), c in zip(names, found.changes, strict=True):
        lines.append(f"{_mark(c)} {subject:<{wide[0]}}  {metric:<{wide[1]}}  {c.text()}")
    lines += [f"too few trials: {line}" for line in found.too_few]
    return "\n".join(page.CONTROL.sub("?", line) for line in [*lines, _summary(found)]) + "\n"


def _markdown(found: Difference) -> str:
    def safe(text: str) -> str:
        return format.markdown(page.CONTROL.sub("?", text))

    def table(changes: list[Change]) -> list[str]:
        lines = ["| subject | metric | change |", "|---|---|---|"]
        for c in changes:
            bold = "**" if c.regression else ""
            lines.append(f"| {safe(found.heading(c))} | {safe(c.metric)} | {bold}{safe(c.text())}{bold} |")
        return lines

    shown = [c for c in found.changes if c.verdict in ("worse", "better")]
    shown.sort(key=lambda c: (not c.regression, c.verdict))
    lines = [f"**{_summary(found)}**: {safe(found.current)} against {safe(found.baseline)}", ""]
    lines += [f"- **too few trials**: {safe(line)}" for line in found.too_few]
    lines += [*(f"- {safe(note)}" for note in found.notes), ""]
    if shown:
        lines += [*table(shown), ""]
    rest = [c for c in found.changes if c.verdict not in ("worse", "better")]
    if rest:
        lines += [
            "<details><summary>Equivalent, not resolved, unchanged, or not comparable</summary>",
            "",
            *table(rest),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _junit(found: Difference) -> str:
    """The schema that Jenkins, GitLab and GitHub's reporters read: testsuites > testsuite > testcase."""

    def safe(text: str) -> str:
        return _NOT_XML.sub("?", text)

    skipped = found.count("not comparable")
    counts = {
        "tests": str(len(found.changes) + len(found.too_few)),
        "failures": str(len(found.regressions)),
        "errors": str(len(found.too_few)),
        "skipped": str(skipped),
        "time": "0",
    }
    root = ElementTree.Element("testsuites", {k: v for k, v in counts.items() if k != "skipped"})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "rtbench compare", **counts})
    for change in found.changes:
        case = ElementTree.SubElement(
            suite, "testcase", classname=safe(change.subject), name=safe(change.metric), time="0"
        )
        if change.regression:
            ElementTree.SubElement(case, "failure", type="regression", message=safe(change.text()))
        elif change.verdict == "not comparable":
            ElementTree.SubElement(case, "skipped", message=safe(change.why))
    for line in found.too_few:
        case = ElementTree.SubElement(suite, "testcase", classname="rtbench compare", name=safe(line), time="0")
        ElementTree.SubElement(case, "error", type="too-few-trials", message=safe(line))
    ElementTree.SubElement(suite, "system-out").text = safe("\n".join([*found.notes, _summary(found)]))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _json(found: Difference) -> str:
    """The difference for machines."""
    table = {
        "schema": 2,
        "baseline": found.baseline,
        "current": found.current,
        "regressions": len(found.regressions),
        "improvements": found.count("better"),
        "exit": found.exit_code,
        "notes": list(found.notes),
        "too_few": list(found.too_few),
        "changes": [c.row() for c in found.changes],
    }
    return json.dumps(table, indent=1, allow_nan=False) + "\n"


_RENDERERS: Mapping[str, Callable[[Difference], str]] = {
    "text": _text,
    "markdown": _markdown,
    "json": _json,
    "junit": _junit,
    "html": lambda found: page.render(found, _summary(found)),
}

FORMATS = tuple(_RENDERERS)
