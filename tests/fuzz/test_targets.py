"""Hostile bytes for every parser: each split of an input gives the same, and only the parser's own error comes out.

`make fuzz` does the same for as long as one likes, with atheris. What it finds is in tests/vectors/fuzz.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz import harness
from benchmarks.fuzz.harness import Finding, Target, examine, findings
from benchmarks.fuzz.targets import TARGETS

EVERY = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@EVERY
def test_kept_inputs(target: Target) -> None:
    for _, data in findings(target.name):
        examine(target, data)


@pytest.mark.slow
@EVERY
def test_seeds_in_every_mode(target: Target) -> None:
    for seed in target.seeds():
        for mode in (0, 1, 2, 3, 4, 5, 0x40, 0x80, 0xC1):
            examine(target, bytes([mode]) + seed)


@pytest.mark.slow
@EVERY
@settings(max_examples=60)
@given(st.data())
def test_hostile_bytes(target: Target, data: st.DataObject) -> None:
    piece = st.one_of(
        st.sampled_from(target.tokens),
        st.sampled_from(target.tokens),
        st.sampled_from(target.seeds()),
        st.binary(max_size=6),
    )
    mode = data.draw(st.integers(0, 255))
    examine(target, bytes([mode]) + b"".join(data.draw(st.lists(piece, max_size=12))))


def planted(decode: Any) -> Target:
    return Target("planted", decode, (b"x",), lambda: [])


def test_a_parser_that_minds_its_splits_is_found() -> None:
    def lines(mode: int, pieces: Sequence[bytes]) -> Any:
        return [line for piece in pieces for line in piece.split(b"\n")]

    with pytest.raises(Finding, match="split into"):
        examine(planted(lines), b"\0one\ntwo")


def test_an_exception_of_another_kind_comes_out() -> None:
    def numbers(mode: int, pieces: Sequence[bytes]) -> Any:
        return int(b"".join(pieces))

    assert examine(planted(numbers), b"\x0012") == 12
    with pytest.raises(ValueError, match="invalid literal"):
        examine(planted(numbers), b"\x00x")


def test_what_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.main([]) == 2
    assert capsys.readouterr().err == (
        "atheris is missing (no wheel for this Python or machine?): pip install 'rtbench[fuzz]'\n"
    )
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: object())
    assert command.main(["--target", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("--target nothing: choose one of event-stream, sse, ")


def test_findings_are_counted_and_become_vectors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "crash-1"
    found.write_bytes(b"\x00bytes")
    kept = tmp_path / "fuzz.json"
    kept.write_text('{"lines": []}')
    monkeypatch.setattr(harness, "FINDINGS", kept)
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(command, "fuzz", lambda name, seconds: (1234, 60.0, [found], "Finding: so and so"))
    assert command.main(["--target", "lines", "--seconds", "60", "--keep"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "lines               1,234      1.0        1",
        "Finding: so and so",
        str(found),
    ]
    assert harness.findings("lines") == [("crash-1", b"\x00bytes")]
    monkeypatch.setattr(command, "fuzz", lambda name, seconds: (99, 60.0, [], ""))
    assert command.main(["--seconds", "60"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(TARGETS)
