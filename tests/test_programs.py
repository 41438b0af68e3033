"""Programs are found on PATH and in the sbin folders, and children are started with both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbench import programs
from rtbench.processes.process import Process
from rtbench.processes.program import printed
from rtbench.subjects import needs_program

PATIENCE_S = 60


@pytest.fixture
def sbin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbin folder that PATH does not name, with a program `somebodysd`."""
    folder = tmp_path / "sbin"
    folder.mkdir()
    program = folder / "somebodysd"
    program.write_text("#!/bin/sh\necho somebodysd 7\n")
    program.chmod(0o755)
    monkeypatch.setattr(programs, "SBIN", (str(folder),))
    return folder


def test_what_is_in_sbin_is_found_and_runs(sbin: Path) -> None:
    assert programs.find("somebodysd") == str(sbin / "somebodysd")
    assert needs_program("somebodysd", "").present()
    assert printed(["somebodysd", "--version"]) == "somebodysd 7"


def test_what_is_nowhere_is_not_found(sbin: Path) -> None:
    assert programs.find("nobodysd") is None
    assert not needs_program("nobodysd", "").present()


def test_path_goes_first_and_names_a_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin")
    assert programs.search_path() == "/usr/sbin:/usr/bin:/usr/local/sbin:/sbin"
    monkeypatch.delenv("PATH")
    assert programs.search_path() == ":".join([os.defpath, *programs.SBIN])


def test_a_child_finds_what_its_parent_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with Process(["sh", "-c", "echo $PATH"], (), tmp_path / "log") as process:
        assert process.line(PATIENCE_S) == "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
