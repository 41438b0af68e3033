"""A scenario file or a Python file that others may have written says what it does before it does it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbench.scenario import loading, strangers
from rtbench.subjects.registry import Registry

SCENARIO = """
subjects = ["mine", "tcp://127.0.0.1:1", "{module}"]
[[subject]]
name = "mine"
transport = "sse"
command = ["sh", "-c", "echo 'a b'; exec server"]
version = ["server", "--version"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    module = tmp_path / "subject.py"
    module.write_text("raise SystemExit('it was imported')\n")
    file = tmp_path / "s.toml"
    file.write_text(SCENARIO.format(module=module))
    return file


def said(file: Path) -> list[str]:
    """The note on a scenario file; importing its Python file ends the test."""
    lines: list[str] = []
    with pytest.raises(SystemExit, match="it was imported"):
        loading.load(str(file), warn=lines.append)
    return lines


def test_of_ones_own_files_nothing_is_said(file: Path) -> None:
    assert said(file) == []


def test_a_file_that_everyone_can_write_says_what_it_does(file: Path) -> None:
    file.chmod(0o646)
    (line,) = said(file)
    assert line == (
        f"{file} can be changed by every user. It starts "
        "`sh -c 'echo '\"'\"'a b'\"'\"'; exec server'`, asks for a version with "
        f"`server --version`, connects to tcp://127.0.0.1:1, imports {file.parent / 'subject.py'}. Ctrl-C stops that"
    )


def test_a_folder_that_everyone_can_write_to(file: Path) -> None:
    file.parent.chmod(0o777)
    one, other = said(file)
    assert one.startswith(f"{file} lies in a folder that every user can write to. It starts ")
    module = file.parent / "subject.py"
    assert other == f"{module} lies in a folder that every user can write to. It is imported. Ctrl-C stops that"
    file.parent.chmod(0o1777)  # as /tmp: what is in it is its owner's
    assert said(file) == []


@pytest.mark.parametrize("sudo", ["", "4242", "x"])
def test_a_file_of_another_user(file: Path, monkeypatch: pytest.MonkeyPatch, sudo: str) -> None:
    stat = Path.stat

    def foreign(path: Path, **options: bool) -> os.stat_result:
        found = list(stat(path, **options))
        found[4] = 4242
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", foreign)
    monkeypatch.setenv("SUDO_UID", sudo)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert strangers.whose(file) == ("" if sudo == "4242" else "belongs to user 4242")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert strangers.whose(file) == ""


def test_what_starts_nothing_needs_no_note(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / "s.toml"
    file.write_text('subjects = ["sse-aiohttp"]\n')
    loading.load(str(file), warn=pytest.fail)
    assert strangers.of_module("sse-aiohttp") == strangers.of_module("http://127.0.0.1/x.py") == []
    assert strangers.whose(tmp_path / "gone") == ""


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / "s.toml"
    file.write_text("")
    (line,) = strangers.notes(file, {"subject": [{"command": ["x" * 5000]}], "subjects": [1, None]})
    assert len(line) < 500 and line.endswith("…. Ctrl-C stops that")
    for table in ({"subject": 1}, {"subject": [1]}, {"subject": {"command": "x"}}, {"subjects": 1}):
        assert strangers.notes(file, table) == []


def test_the_shipped_ones_start_nothing_of_their_own() -> None:
    for name in loading.names():
        loading.load(name, warn=pytest.fail)
    assert Registry().own == {}
