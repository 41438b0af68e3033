"""Past campaigns: one line about each results folder of a folder, newest first.

Invariant: it reads only campaign.json and the head of report/report.md, each up to a limit. A damaged folder is a row
with its fault; nothing that lies there raises. Called by `rtbench list results` and by the page of `analysis.history`.
"""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UNSET

from rtbench.errors import ResultsError, line
from rtbench.records import campaign
from rtbench.records.inside import inside

MOST_FOLDERS = 500
"""Folders that are read: the ones that changed last."""
MOST_BYTES = 16 * 2**20
"""Of campaign.json. A campaign of 100 trials has 50,000."""
HEAD_BYTES = 16 * 2**10
"""Of report.md: its first answer stands in its third line."""


@dataclass(frozen=True, slots=True)
class Past:
    """A past campaign. What is not known is empty or None."""

    folder: Path
    scenario: str = ""
    started_unix: float | None = None
    machine: str = ""
    valid: int = 0
    """Trials of status `ok`."""
    trials: int = 0
    exit: int | None = None
    """The exit code; None: not finished."""
    answer: str = ""
    """The first line of the report's answer; empty without a report."""
    fault: str = ""
    """Why the folder cannot be read."""

    @property
    def started(self) -> str:
        """`2026-11-24 03:15 UTC`; empty when it is not known."""
        try:
            return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.started_unix)) if self.started_unix else ""
        except (OverflowError, ValueError, OSError):
            return ""

    @property
    def state(self) -> str:
        """`24 of 25 trials valid`, and what else there is to know."""
        parts = [f"{self.valid} of {self.trials} trials valid"]
        if self.exit is None:
            parts.append("not finished")
        elif self.exit:
            parts.append(f"exit code {self.exit}")
        return self.fault or ", ".join(parts)

    def row(self) -> dict[str, Any]:
        """The row of `rtbench list results --json`."""
        return {
            "result": str(self.folder), "scenario": self.scenario, "started_unix": self.started_unix,
            "machine": self.machine, "valid": self.valid, "trials": self.trials, "exit": self.exit,
            "answer": self.answer, "fault": self.fault,
        }  # fmt: skip


def campaigns(holder: Path) -> list[Past]:
    """The campaigns in `holder`, newest first; empty without that folder."""
    found = []
    try:
        with os.scandir(holder) as entries:
            for entry in entries:
                folder = holder / entry.name
                if any(os.path.lexists(folder / name) for name in ("campaign.json", "trials")):
                    found.append((entry.stat(follow_symlinks=False).st_mtime, folder))
    except OSError:
        return []
    newest = sorted(found, reverse=True)[:MOST_FOLDERS]
    rows = [read(folder) for _, folder in newest]
    return sorted(rows, key=lambda row: row.started_unix or 0, reverse=True)


def read(folder: Path) -> Past:
    """One campaign. Its fault is one line."""
    file = folder / "campaign.json"
    try:
        if os.path.lexists(file) and not file.is_file():
            return Past(folder, fault="campaign.json is not a file")
        if file.is_file() and file.stat().st_size > MOST_BYTES:
            return Past(folder, fault=f"campaign.json has more than {MOST_BYTES:,} bytes")
        found = campaign.load(folder)
    except ResultsError as error:
        return Past(folder, fault=line(error.message.replace(f"{file}: ", "campaign.json: ")))
    except OSError as error:
        return Past(folder, fault=line(f"cannot be read ({error})"))
    trials = found.trials or []
    code = found.exit
    started = found.started_unix
    return Past(
        folder,
        line(found.scenario.name or "") if found.scenario else "",
        None if started is UNSET or started is None else float(started),
        _machine(found.environment or {}),
        sum(trial.status == "ok" for trial in trials),
        len(trials),
        None if code is UNSET else code,
        _answer(folder, folder / "report" / "report.md"),
    )


def _machine(environment: Mapping[str, Any]) -> str:
    cpu, cores = environment.get("cpu"), environment.get("cores")
    return line(", ".join([*([str(cpu)] if cpu else []), *([f"{cores} cores"] if cores else [])]))


def _answer(folder: Path, report: Path) -> str:
    """The first line of a report that is neither empty nor a heading, without its Markdown."""
    try:
        if not (report.is_file() and inside(folder, report)):
            return ""
        with report.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    for raw in head.splitlines():
        if raw.strip() and not raw.startswith(("#", "<!--")):
            text = re.sub(r"^\s*(?:\d+\.|[-*>])\s+", "", raw).replace("**", "").replace("\\|", "|")
            return line(html.unescape(text))
    return ""
