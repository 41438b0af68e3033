"""Numbers as people read them: three significant digits, a unit that fits, intervals in brackets.

Invariant: files and frames keep nanoseconds and bytes; milliseconds exist only in what these functions return. Called
by the report's templates, its sentences and the figures.
"""

from __future__ import annotations

import math

from rtbench.analysis.statistics.compare import Comparison, Summary

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
    return 1.0, {"hz": "/s", "messages": "", "connections": "", "requests": ""}.get(unit, unit)


def quantity(value: float | None, unit: str) -> str:
    """`8.71 ms`, `190 B`, `12 %`, `3`."""
    return MISSING if value is None else " ".join(parts(value, unit)).rstrip()


def parts(value: float, unit: str) -> tuple[str, str]:
    """The digits and the unit: `8.71` and `ms`."""
    divisor, name = scale(unit, value)
    whole = unit in ("messages", "connections") and float(value).is_integer()
    return f"{value:,.0f}" if whole else number(value / divisor), name


def summary(row: Summary | None) -> str:
    """`8.71 ms [8.20, 9.10]`; without brackets when there is no interval."""
    if row is None or row.median is None:
        return MISSING
    text = quantity(row.median, row.unit)
    if row.low is None or row.high is None or row.low == row.high:
        return text
    divisor, _ = scale(row.unit, row.median)
    return f"{text} [{_end(row.low / divisor)}, {_end(row.high / divisor)}]"


def _end(value: float) -> str:
    """An end of an interval: over two trials it may be of any size, and many digits would not say more."""
    return number(value) if value == 0 or 1e-4 <= abs(value) < 1e7 else f"{value:.0e}"


def interval(row: tuple[float | None, float | None, float | None], unit: str) -> str:
    """(value, low, high) in the same way."""
    return summary(Summary("", "", unit, 0, *row))


def ratio(row: Comparison) -> str:
    """`1.32× [1.25, 1.40]`."""
    text = f"{number(row.ratio)}×"
    return text if row.low is None or row.high is None else f"{text} [{_end(row.low)}, {_end(row.high)}]"


def markdown(value: object) -> str:
    """Text that cannot break out of a Markdown table or start HTML."""
    text = " ".join(str(value).split())
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(raw, safe)
    return text


def undecided(row: Comparison) -> str:
    """What the verdict "no difference seen" was limited by and what it would take: `5 % would take 9 blocks`."""
    words = {"multiplicity": "not after false-discovery control", "noise floor": "within the noise floor"}
    parts = [words[row.limited_by]] if row.limited_by in words else []
    if row.blocks_needed is not None:
        parts.append(f"5 % would take {row.blocks_needed:,} blocks")
    elif row.low is not None:
        parts.append("5 % would take more than 10,000 blocks")
    return ", ".join(parts)
