"""`python inside.py rtbench-arguments…`: rtbench, which stops at chosen moments until the injector lets it continue.

A moment is `TRIAL:STAGE` (`2:measuring`), `TRIAL:started` (all processes run, the server has not answered yet),
`TRIAL:verified` (the first case of a verification is about to run), `TRIAL:rename NAME` (NAME is written and not in
place yet), `report` or `rename NAME`. The environment has the moments (RTBENCH_FAULTS_AT, separated by commas), the
descriptor of a socket to the injector (RTBENCH_FAULTS_FD), whether the campaign ends with its report
(RTBENCH_FAULTS_REPORT), and whether subjects are verified (RTBENCH_FAULTS_VERIFY). Most rows leave out both: each
takes longer than a trial here.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from rtbench import cli
from rtbench.campaign import campaign
from rtbench.campaign.progress import Display
from rtbench.trial._process_group import ProcessGroup


def _without_report() -> None:
    """`rtbench run` without the modules that make its report: they take seconds to import."""
    reporting, analysis = ModuleType("rtbench.cli.reporting"), ModuleType("rtbench.analysis")
    analysis.metrics = None  # type: ignore[attr-defined]
    reporting.claims_option = click.option("--claims", is_flag=True)  # type: ignore[attr-defined]
    reporting.write_report = lambda *words, **_: words[2]  # type: ignore[attr-defined]
    sys.modules |= {one.__name__: one for one in (reporting, analysis)}


class Moments:
    """Reports chosen moments and waits for an answer at each."""

    def __init__(self, chosen: list[str], descriptor: int) -> None:
        self._chosen = chosen
        self._socket = socket.socket(fileno=descriptor)
        self.trial = 0

    def reach(self, moment: str) -> None:
        """A moment; what is not the next chosen one passes."""
        for name in (moment, f"{self.trial}:{moment}"):
            if self._chosen and self._chosen[0] == name:
                self._chosen.pop(0)
                self._socket.sendall(name.encode() + b"\n")
                self._socket.recv(1)


def main() -> None:
    """Never returns."""
    chosen = [name for name in os.environ.pop("RTBENCH_FAULTS_AT", "").split(",") if name]
    moments = Moments(chosen, int(os.environ.pop("RTBENCH_FAULTS_FD")))
    if not os.environ.pop("RTBENCH_FAULTS_REPORT"):
        _without_report()
    from rtbench.cli import running
    from rtbench.conformance import verify

    trial, stage, opened = Display.trial, Display.stage, ProcessGroup.open
    report, rename, cases = running.write_report, os.rename, verify._run

    def on_trial(self: Display, spec: Any, number: int, total: int) -> None:
        moments.trial = number
        trial(self, spec, number, total)

    def on_stage(self: Display, text: str) -> None:
        stage(self, text)
        moments.reach("connecting" if text.startswith("connecting") else text)

    def on_open(self: ProcessGroup, streams: Any) -> None:
        moments.reach("started")
        opened(self, streams)

    def on_report(*words: Any, **named: Any) -> int:
        moments.reach("report")
        return report(*words, **named)

    def on_cases(*words: Any) -> Any:
        moments.reach("verified")
        return cases(*words)

    def on_rename(source: Any, target: Any, **named: Any) -> None:
        moments.reach(f"rename {Path(target).name}")
        rename(source, target, **named)

    Display.trial, Display.stage, ProcessGroup.open = on_trial, on_stage, on_open  # type: ignore[method-assign]
    running.write_report = on_report
    if os.environ.pop("RTBENCH_FAULTS_VERIFY"):
        verify._run = on_cases
    else:
        running.check_quickly = lambda *_, **__: []
    # What is committed or installed on this machine meanwhile changes nothing here.
    environment = {**campaign.fingerprint(), "commit": "", "packages": {}, "packages_sha256": ""}
    campaign.fingerprint = lambda: environment  # type: ignore[attr-defined]
    os.rename = on_rename
    cli.main()


if __name__ == "__main__":
    main()
