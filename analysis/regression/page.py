"""A difference as one HTML page: the verdict, the changes, what limits them, and both campaigns.

Invariant: one file without a network; it says what the other formats say. Styles and the script are the report's.
Called by `formats`.
"""

from __future__ import annotations

import re
from pathlib import Path

from rtbench.analysis import format, templates
from rtbench.analysis.regression.changes import FAULTS, Change, Difference

_HERE = Path(__file__).parent
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What no text node of HTML may hold (WHATWG, control characters), and no terminal should get: escape sequences (C0 and
C1), and what turns the direction of text."""
_ORDER = ("worse", "better", "not comparable")


def render(found: Difference, summary: str) -> str:
    """The page. `summary`: the verdict in one line. Text of a results folder cannot break out of it."""
    changes = sorted(found.changes, key=_place)
    rows = [(change, _values(change), _side(change)) for change in changes]
    text = (
        templates.environment(_HERE)
        .get_template("compare.html.j2")
        .render(found=found, summary=summary, rows=rows, **templates.parts())
    )
    return CONTROL.sub("?", text)


def _place(change: Change) -> tuple[bool, int, bool]:
    """Regressions first, then other differences, then what is not comparable; counts of faults after ratios."""
    verdict = _ORDER.index(change.verdict) if change.verdict in _ORDER else len(_ORDER)
    return not change.regression, verdict, change.metric in FAULTS


def _values(change: Change) -> tuple[str, str, str, str, str]:
    """Before, now, the ratio, its interval, and what is concluded."""
    one = change.judged
    ratio, _, interval = (format.ratio(one) if one else format.MISSING).partition(" ")
    notes = (format.undecided(one) if one and one.verdict != "too few blocks" else "", change.why)
    words = ": ".join(filter(None, (change.verdict, "; ".join(filter(None, notes)))))
    return format.quantity(change.before, change.unit), format.quantity(change.now, change.unit), ratio, interval, words


def _side(change: Change) -> str:
    """The class of the cell that has the ratio: coloured where a difference is claimed."""
    return {"worse": "higher", "better": "lower", "equivalent": "equivalent"}.get(change.verdict, "")
