"""Idle connections ([idle]): which were cut, when, how the subscriber saw it, and whether the server noticed.

Invariant: a row is a trial; the texts say what was observed, never why. Called by the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.evidence import Evidence

HEADINGS = ("heartbeat", "connections", "cut", "after", "the subscriber sees", "the server’s side")


def table(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """The subject in its cell, and a cell for each heading, by subject; no rows without [idle]."""
    rows: list[tuple[str, list[str]]] = []
    for result in evidence.results:
        scenario = evidence.campaign.document.get("scenario") or {}
        if not (scenario.get("idle") or {}).get("minutes"):
            return []
        found = result.trial.manifest.get("silence") or {}
        rows.append((result.trial.item, _cells(found) if found else _failed(result.trial.manifest)))
    return sorted(rows, key=lambda row: row[0])


def _cells(found: Mapping[str, Any]) -> list[str]:
    connections, cut = found.get("connections") or 0, found.get("cut") or 0
    outcomes = found.get("outcomes") or {}
    seen = ", ".join(f"{name} ({count})" if len(outcomes) > 1 else name for name, count in outcomes.items())
    return [
        _heartbeat(found),
        f"{connections:,}",
        f"{cut:,}" if cut else "none",
        _span(found.get("cut_after_s") or ()),
        seen or "open to the end",
        _server(found),
    ]


def _failed(manifest: Mapping[str, Any]) -> list[str]:
    reasons = [str(reason.get("message", "")) for reason in manifest.get("reasons") or ()]
    return [format.MISSING] * 4 + [next(filter(None, reasons), "not measured"), format.MISSING]


def _heartbeat(found: Mapping[str, Any]) -> str:
    period_s, silent_s = found.get("heartbeat_s"), 60 * (found.get("minutes") or 0)
    if period_s is None:
        return format.MISSING
    return f"every {period_s:g} s" if period_s < silent_s else "none"


def _span(seconds: Sequence[float]) -> str:
    """Shortest, median, longest as one text."""
    if len(seconds) != 3:
        return format.MISSING
    low, middle, high = seconds
    return f"{middle:.3g} s" if high - low < 1 else f"{middle:.3g} s ({low:.3g} to {high:.3g})"


def _server(found: Mapping[str, Any]) -> str:
    """What the server had done by the end of the silence."""
    there, left = found.get("server_connections") or 0, found.get("server_left") or 0
    cut, half = found.get("cut") or 0, found.get("server_half_closed") or 0
    if not there:
        return format.MISSING
    text = f"closed {left:,} of {there:,}"
    if left:
        text += f" after {_span(found.get('server_left_after_s') or ())}"
    elif cut:
        text = f"has not noticed: holds all {there:,}"
    if half:
        text += f", {half:,} half closed"
    return text if left or cut or half else f"holds all {there:,}"
