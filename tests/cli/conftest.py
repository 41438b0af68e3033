"""What the command line's tests share: a call of it, and a campaign that only pretends."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from rtbench import cli
from rtbench.campaign import campaign as campaigns
from rtbench.cli import reporting, running
from rtbench.machine.placement import Place
from rtbench.records.campaign import TrialRow
from rtbench.records.record import Status, changed


class Ran(NamedTuple):
    """What a command came to."""

    code: Any
    out: str
    err: str


Call = Callable[..., Ran]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """`call("list", "streams")` is `rtbench list streams`; what a command does to this process is taken back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    cores, limits = os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(cli, "_interrupted", [])

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["rtbench", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return Ran(caught.value.code, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.sched_setaffinity(0, cores)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def refused(ran: Ran) -> str:
    """The one line of an error of the user's."""
    assert ran.code == 2
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("rtbench: ")
    return line.removeprefix("rtbench: ")


class Pretended:
    """What the campaign's trials and the report come to."""

    def __init__(self) -> None:
        self.statuses: list[Status] = ["ok"] * 10
        self.error: BaseException | None = None
        self.report_code = 0
        self.places: list[Place] = []
        self.built: list[tuple[list[Path], Path | None]] = []
        self.claimed: list[bool] = []
        """Whether each report was to show the article's claims."""
        self.quoted: list[Any] = []
        """The calibration that each report was given."""

    def run(self, campaign: campaigns.Campaign, place: Place, progress: Any, verify: Any) -> None:
        self.places.append(place)
        names = campaign.scenario.subjects
        for number, status in enumerate(self.statuses, start=len(campaign.trials)):
            block, position = divmod(number, len(names))
            row = TrialRow(trial=number, subject=names[position], block=block + 1, status=status, directory=f"{number}")
            journal = campaign.journal
            journal.record = changed(journal.record, trials=[*campaign.trials, row])
        progress.note("a note")
        if self.error is not None:
            raise self.error

    def build(self, folders: list[Path], out: Path | None, calibration: Any, claims: bool) -> Any:
        self.built.append((folders, out))
        self.claimed.append(claims)
        self.quoted.append(calibration)
        return SimpleNamespace(
            headlines=("first", "second", "third"),
            next="next",
            caveats=("no control",),
            path=folders[0] / "report" / "report.html",
            exit_code=self.report_code,
        )


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pretended:
    pretended = Pretended()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaigns.Campaign, "run", lambda *arguments: pretended.run(*arguments))
    monkeypatch.setattr(campaigns, "fingerprint", lambda: {"cores": 2})
    monkeypatch.setattr(running, "machine", lambda: "abc")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(reporting, "build", pretended.build)
    return pretended


def document(folder: Path) -> dict[str, Any]:
    value = json.loads((folder / "campaign.json").read_text())
    assert isinstance(value, dict)
    return value
