"""Formats numbers for people: three significant digits, a unit that fits, intervals in brackets.

Invariant: files and frames keep nanoseconds and bytes; milliseconds exist only in what these functions return. Called
by the report's templates, its sentences and the figures.
"""

from __future__ import annotations

import math

from rtbench.analysis.statistics.compare import Estimate, Summary
from rtbench.analysis.statistics.judgement import Comparison

MISSING = "–"

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**14, "KiB"), (1.0, "B"))


def number(value: float) -> str:
    """Three significant digits without an exponent; thousands separated."""
    if value == 0:
        return "0"
    value = float(f"{value:.3g}") if abs(value) < 1000 else value
    digits = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-12))
    return f"{value:,.{min(digits, 9)}f}"


def scale(unit: str, value: float) -> tuple[float, str]:
    """The divisor and the unit's name that fit `value` of `unit`."""
    if unit == "ns":
        return next(((d, u) for d, u in _TIMES if abs(value) >= d * 0.9995), _TIMES[-1])
    if unit == "bytes":
        divisor, name = next(((d, u) for d, u in _SIZES if abs(value) >= d), _SIZES[-1])
        return (float(1024 if name == "KiB" else divisor), name)
    if unit == "share":
        return 0.01, "%"
    return 1.0, {"hz": "/s", "messages": "", "connections": "", "requests": "", "segments": ""}.get(unit, unit)


def quantity(value: float | None, unit: str) -> str:
    """`8.71 ms`, `190 B`, `12 %`, `3`."""
    return MISSING if value is None else " ".join(parts(value, unit)).rstrip()


def parts(value: float, unit: str) -> tuple[str, str]:
    """The digits and the unit: `8.71` and `ms`."""
    divisor, name = scale(unit, value)
    whole = unit in ("messages", "connections") and float(value).is_integer()
    return f"{value:,.0f}" if whole else number(value / divisor), name


def summary(row: Summary | None) -> str:
    """`8.71 ms [8.20, 9.10]`; without brackets if the interval is missing."""
    return " ".join(split(row)).rstrip()


def split(row: Summary | None) -> tuple[str, str]:
    """The value and its interval: `8.71 ms` and `[8.20, 9.10]`, which is empty if it is missing."""
    if row is None or row.median is None:
        return MISSING, ""
    text = quantity(row.median, row.unit)
    if row.low is None or row.high is None or row.low == row.high:
        return text, ""
    divisor, _ = scale(row.unit, row.median)
    return text, f"[{_end(row.low / divisor)}, {_end(row.high / divisor)}]"


def _end(value: float) -> str:
    """An end of an interval: over two trials it may be of any size, and more digits would mean nothing."""
    return number(value) if value == 0 or 1e-4 <= abs(value) < 1e7 else f"{value:.0e}"


def interval(row: tuple[float | None, float | None, float | None], unit: str) -> str:
    """(value, low, high) in the same way."""
    return summary(Summary("", "", unit, 0, *row))


def ratio(row: Estimate) -> str:
    """`1.32× [1.25, 1.40]`."""
    text = f"{number(row.ratio)}×"
    return text if row.low is None or row.high is None else f"{text} [{_end(row.low)}, {_end(row.high)}]"


def span(ends: tuple[float, float]) -> str:
    """A range of ratios: `0.860× to 4.62×`."""
    return " to ".join(f"{_end(end)}×" for end in ends)


def markdown(value: object) -> str:
    """Text that cannot break out of a Markdown table, start HTML, or become a link, an image, or a link's address."""
    text = " ".join(str(value).split())
    for raw, safe in _MARKDOWN:
        text = text.replace(raw, safe)
    return text


_MARKDOWN = (
    ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'"),
    ("](", "]\\("), ("]:", "]\\:"), ("][", "]\\["),
)  # fmt: skip


def share(value: float) -> str:
    """`5 %`, `33 %`, `0.2 %`: a share with two digits at most."""
    return f"{float(f'{100 * value:.2g}'):g} %"


def at_most(far: float) -> str:
    """How far a ratio can be from 1: `up to 33 %`, or from its double on `up to 2.50×`."""
    return f"up to {share(far)}" if far < 1 else f"up to {_end(1 + far)}×"


def statement(row: Comparison, relative_to: str = "") -> str:
    """A comparison's statement: `1.32× [1.25, 1.40]`, `equivalent within ±5 % (1.01× [0.98, 1.03])`, `not
    resolved: 1.17× [1.03, 1.33], could differ by up to 33 % (24 blocks would settle it)` or `too few blocks to say
    (10.4×, 2 blocks)`. `relative_to` is named where the sentence around it does not do that.
    """
    words = {"equivalent": "to", "not resolved": "relative to", "too few blocks": "with"}
    to = f" {words.get(row.verdict, 'of')} {relative_to}" if relative_to else ""
    more = f", {', '.join(notes)}" if (notes := _notes(row)) else ""
    if row.verdict == "equivalent":
        return f"equivalent{to} within ±{share(row.margin)} ({ratio(row)}){more}"
    if row.verdict == "too few blocks":
        verb = f"compare{to}" if to else "say"
        return f"too few blocks to {verb} ({number(row.ratio)}×, {row.blocks} block{'s' * (row.blocks != 1)})"
    if row.verdict == "not resolved":
        return f"not resolved{to}: {ratio(row)}, {_up_to(row)}{more} ({_needed(row)})"
    return f"{ratio(row)}{to}"


def undecided(row: Comparison) -> str:
    """The same for a cell of a table that has the ratio: `could differ by up to 33 %; 24 blocks would settle it`."""
    if row.verdict == "too few blocks":
        return "too few blocks to say"
    if row.verdict == "not resolved":
        return "; ".join([_up_to(row), *_notes(row), _needed(row)])
    return ", ".join(_notes(row))


def _up_to(row: Comparison) -> str:
    up_to = row.could_be_up_to or 0.0
    return f"could differ {'by ' if up_to < 1 else ''}{at_most(up_to)}"


def _notes(row: Comparison) -> list[str]:
    """Effects that are seen but may not be claimed."""
    if row.within_floor and row.noise_floor is not None:
        floor = number(row.noise_floor)
        return [f"a difference is seen, {number(row.ratio)}×, but it lies within the A/A noise floor of {floor}×"]
    if row.limited_by == "noise floor" and row.noise_floor is not None:
        return [f"the A/A noise floor of {number(row.noise_floor)}× is wider than ±{share(row.margin)}"]
    return ["its interval excludes 1, but it does not stand among so many"] if row.limited_by == "multiplicity" else []


def _needed(row: Comparison) -> str:
    if row.blocks_needed is None:
        return "more than 10,000 blocks would settle it"
    several = f" in {round(row.blocks_needed * row.campaigns / row.blocks)} campaigns" if row.campaigns > 1 else ""
    return f"{row.blocks_needed:,} blocks{several} would settle it"
