"""The generated pages of docs/ are what the code says, and every key of a scenario has a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbench import manual
from rtbench.cli import COMMANDS, FINDINGS, TASKS, UNSETTLED

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_committed_pages_are_the_generated_ones(tmp_path: Path) -> None:
    """`python -m rtbench.manual` writes them."""
    manual.main(tmp_path)
    made = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.md")}
    assert made.keys() == {"data.md", *(f"reference/{name}.md" for name in ("cli", "metrics", "python", "scenario"))}
    assert {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in made} == made


def test_every_key_of_a_scenario_has_a_text() -> None:
    assert manual.undescribed() == []


def test_the_command_line_page_has_every_command() -> None:
    assert sorted(name for names in TASKS.values() for name in names) == sorted(COMMANDS)
    assert {*FINDINGS, *UNSETTLED} <= COMMANDS.keys()
