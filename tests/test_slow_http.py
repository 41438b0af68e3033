"""benchmarks/slow_http.py reads what slowhttptest writes, and takes nothing else for a result."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from rtbench.errors import SubjectError, UserError

ROOT = Path(__file__).parent.parent
HEAD = "Seconds,Closed,Pending,Connected,Service Available\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return importlib.import_module("benchmarks.slow_http")


def test_rows_are_cumulative(script: ModuleType) -> None:
    text = HEAD + "0,0,3,7,10\n1,0,0,10,10\n2,4,0,6,0\n3,4,0,6,10\n4,5,0,5,10\n"
    found = script.outcome(text, False)
    assert found == script.Outcome(10, 5, 2, 4, 5, 4, False)
    assert (found.closing(), found.serving()) == ("5 of 10, 2 to 4 s", "4 of 5 s")


def test_nothing_was_closed(script: ModuleType) -> None:
    found = script.outcome(HEAD + "0,0,3,7,10\n1,0,0,10,10\n", False)
    assert found.closing() == "0 of 10"


def test_it_ended_since_none_was_left(script: ModuleType) -> None:
    assert script.outcome(HEAD + "0,0,3,7,10\n1,6,0,1,10\n", True).closing() == "all, within 2 s"


@pytest.mark.parametrize("text", ["", "a,b\n", HEAD])
def test_another_csv_is_refused(script: ModuleType, text: str) -> None:
    with pytest.raises(SubjectError):
        script.outcome(text, False)


@pytest.mark.parametrize(("line", "none_left"), [("Hit test time limit", False), ("No open connections left", True)])
def test_its_exit_status_is_read_without_colours(script: ModuleType, line: str, none_left: bool) -> None:
    assert script.ended(f"a\nExit status: \x1b[1;32m{line}\x1b[0m\nCSV report saved") is none_left


@pytest.mark.parametrize("text", ["", "Exit status: Cannot establish connection\n"])
def test_another_end_is_not_a_result(script: ModuleType, text: str) -> None:
    with pytest.raises(SubjectError):
        script.ended(text)


def test_unknown_subjects_are_the_users_error(script: ModuleType) -> None:
    with pytest.raises(UserError, match="no HTTP subject is called 'sse-nothing'"):
        script.chosen(["sse-nothing"])
    assert [one.name for one in script.chosen(["sse-aiohttp"])] == ["sse-aiohttp"]
    assert "tcp" not in {one.transport for one in script.chosen([])}


@pytest.mark.slow
def test_a_subject_has_all_its_cells(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "MODES", {"slow head": script.MODES["slow head"]})  # a server each
    program = shutil.which("slowhttptest")
    if program is None:
        pytest.skip("needs slowhttptest: apt-get install slowhttptest")
    (subject,) = script.chosen(["sse-aiohttp"])
    cells = script.attacked(program, subject, connections=5, seconds=1)
    assert len(cells) == 2 * len(script.MODES)
    assert all(" of " in cell or cell.startswith("all, ") for cell in cells)
