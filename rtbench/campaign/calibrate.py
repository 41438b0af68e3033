"""`rtbench calibrate` and `rtbench aa`: known truths, measured through the whole harness (R16, R9).

Invariant: each truth is a campaign like any other (loadtests/scenarios/calibration/*.toml), judged from its raw files
by `analysis.calibration`; the newest result of a machine is stored by its fingerprint, goes into every campaign.json
from then on, and is quoted by the reports. Called by the CLI.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rtbench
from rtbench.campaign.campaign import Campaign, Progress, Verify
from rtbench.campaign.preflight import prepare
from rtbench.errors import ResultsError, UserError
from rtbench.machine.fingerprint import fingerprint
from rtbench.machine.placement import Place
from rtbench.processes import namespaces
from rtbench.records import tables
from rtbench.records.loopback import Loopback
from rtbench.records.record import plain
from rtbench.scenario import loading
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject

FOLDER = loading.FOLDER / "calibration"


def scenarios() -> list[Scenario]:
    """The campaigns of a calibration, in running order."""
    return [loading.load(str(path)) for path in sorted(FOLDER.glob("*.toml"))]


def possible(tables: list[Scenario]) -> tuple[list[Scenario], str]:
    """Those that can run here, and why the others cannot; "" when all can. Networks need root."""
    try:
        namespaces.check(routed=True)
    except UserError as error:
        return [table for table in tables if not any(cell.scenario.apart for cell in table.cells())], error.message
    return tables, ""


def measure(
    tables: list[Scenario], folder: Path, command: str, place: Place, progress: Progress, verify: Verify
) -> None:
    """Run these campaigns, each into its own folder below `folder`; a subject is verified once for all of them."""
    known: dict[str, list[str]] = {}

    def once(subject: Subject, logs: Path) -> list[str]:
        if subject.name not in known:
            known[subject.name] = verify(subject, logs)
        return known[subject.name]

    for table in tables:
        prepare(table)
    for table in tables:
        # One load process, whatever there are cores for: some truths stop or starve it.
        campaign = Campaign(table.with_load_cores(1), folder / table.name, command)
        progress.note(f"{table.name}: {table.description}")
        campaign.run(place, progress, once)
        campaign.save(campaign.verdict())


def result(
    checks: list[dict[str, Any]],
    noise: dict[str, dict[str, Any]],
    aa: bool = False,
    loopback: Loopback | None = None,
) -> dict[str, Any]:
    """The stored form of the findings (`rtbench.analysis.calibration`), with their origin."""
    return {
        "schema": tables.SCHEMA,
        "rtbench": rtbench.__version__,
        "environment": fingerprint(),
        "measured_unix": time.time(),
        "met": bool(checks) and all(row["met"] for row in checks),
        "checks": checks,
        "noise": {"source": "aa" if aa else "calibrate", "metrics": noise},
        **({"loopback": plain(loopback)} if loopback is not None else {}),
    }


def home() -> Path:
    """The folder of calibrations (XDG Base Directory): one file per machine."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rtbench" / "calibration"


def store(result: Mapping[str, Any]) -> Path:
    """Store `result` for this machine. The noise of a longer A/A control is kept. Raises ResultsError."""
    machine = result["environment"]["machine"]
    path = home() / f"{machine}.json"
    before = newest(machine) or {}
    kept = dict(result)
    if result["noise"]["source"] == "aa":
        only_aa = before.get("checks") == before.get("aa", {}).get("checks")  # nothing was calibrated yet
        kept = {**(result if only_aa else before), "noise": result["noise"], "aa": dict(result)}
    elif before.get("noise", {}).get("source") == "aa":
        kept |= {"noise": before["noise"], "aa": before["aa"]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tables.write_json(path, kept)
    except OSError as error:
        remedy = "set XDG_STATE_HOME to a writable folder"
        raise ResultsError(f"cannot write {path} ({error.strerror})", remedy) from error
    return path


def newest(machine: str) -> dict[str, Any] | None:
    """The calibration of a machine; None without a readable one."""
    try:
        value = json.loads((home() / f"{machine}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def table(checks: list[dict[str, Any]]) -> list[str]:
    """The checks as lines: expected value, measured value, deviation, and whether the truth is met."""
    heads = ("", "check", "expected", "measured", "deviation", "allowed")
    rows = [
        (
            "ok" if row["met"] else "NOT MET",
            row["name"],
            f"{_number(row['expected'])} {row['unit']}".strip(),
            _number(row["measured"]),
            f"{row['deviation']:+,.4g}" if row["deviation"] else "0",
            row["allowed"],
        )
        for row in checks
    ]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
