"""What the terminal shows: one line a finished trial on stderr; a live line only where there is a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from rtbench.campaign import progress
from rtbench.campaign.progress import Display, _span
from rtbench.records.manifest import Counts, Manifest
from rtbench.records.reason import Reason
from rtbench.records.record import Status
from rtbench.scenario.model import Scenario
from rtbench.subjects.registry import find
from rtbench.trial import Spec

COUNTS = Counts(expected=12_000, delivered=11_999, duplicated=0, reordered=1, corrupted=2_000)


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, whatever the one that the tests run in says."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def spec(number: int = 1, block: int = 1) -> Spec:
    return Spec(number, find("sse-aiohttp"), block, 1, Scenario(), {})


def manifest(status: Status = "ok", counts: Counts = COUNTS, *reasons: Reason) -> Manifest:
    return Manifest(schema=1, status=status, counts=counts, reasons=list(reasons))


def test_a_line_a_trial_with_counts_and_the_time_left(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Display(20) as display:
        for number, took_s in ((1, 10.0), (2, 30.0)):
            display.trial(spec(number), number, 10)
            display.stage("measuring")
            clock.now += took_s
            display.done(spec(number), manifest())
    out, err = capsys.readouterr()
    assert out == ""
    counted = "ok, 11,999 of 12,000 delivered, 1 reordered, 2,000 corrupted"
    assert err.splitlines() == [
        f"[ 1/10] sse-aiohttp, block 1: {counted} (10 s; about 2 min left)",  # nine more like this one
        f"[ 2/10] sse-aiohttp, block 1: {counted} (30 s; about 3 min left)",  # eight of the mean of both
    ]


def test_reasons_stand_below_with_their_remedies(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Display(20) as display:
        display.trial(spec(), 1, 1)
        display.done(
            spec(), manifest("failed", Counts(), Reason("failed", "the server ended early", "see its log", ["*"]))
        )
    assert capsys.readouterr().err.splitlines() == [
        "[1/1] sse-aiohttp, block 1: failed (0 s; about 0 s left)",
        "      the server ended early; see its log",
    ]


def test_quiet_leaves_what_went_wrong(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Display(20, quiet=True) as display:
        statuses: tuple[Status, ...] = ("ok", "invalid", "ok")
        for number, status in enumerate(statuses, start=1):
            display.trial(spec(number), number, 3)
            display.stage("measuring")
            display.done(spec(number), manifest(status, Counts()))
    assert capsys.readouterr().err == "[2/3] sse-aiohttp, block 1: invalid (0 s; about 0 s left)\n"


def test_notes_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Display(20).note("[1/2] 100% of /results/[bold]")
    assert capsys.readouterr().err == "[1/2] 100% of /results/[bold]\n"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal 100 columns wide, and what was written to it."""
    screen = io.StringIO()

    def console(**_: Any) -> Console:
        return Console(file=screen, force_terminal=True, width=100, highlight=False)

    monkeypatch.setattr(progress, "Console", console)
    return screen


def test_terminal_has_a_live_line_and_lines_that_stay(terminal: io.StringIO, clock: Clock) -> None:
    with Display(20) as display:
        display.note("smoke: 10 trials")
        display.trial(spec(), 1, 10)
        display.stage("measuring [bold]")
        display._live.refresh()  # type: ignore[union-attr]
        clock.now += 10
        display.done(spec(), manifest())
    shown = terminal.getvalue()
    assert "smoke: 10 trials" in shown
    assert "sse-aiohttp: measuring" in shown
    assert "about 3 min left" in shown  # ten of 20 s each, before any was seen
    assert "[ 1/10] sse-aiohttp, block 1: ok, 11,999 of 12,000 delivered" in shown


def test_terminal_and_quiet(terminal: io.StringIO, capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Display(20, quiet=True) as display:
        display.trial(spec(), 1, 1)
        display.stage("measuring")
        display.done(spec(), manifest())
    assert terminal.getvalue() == capsys.readouterr().err == ""


def test_terminal_is_left_in_order_when_it_is_interrupted(terminal: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), Display(20) as display:
        display.trial(spec(), 1, 1)
        raise KeyboardInterrupt
    assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l") >= 0  # the cursor is back


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "60 s"), (89.9, "90 s"), (90, "2 min"), (3_600, "60 min")]
)
def test_span(seconds: float, text: str) -> None:
    assert _span(seconds) == text
