"""The words of docstrings and of texts for users: patterns of speech that rtbench's English does without.

`PACKAGES` lists the packages that are written so far; a package joins when its texts are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtbench

ROOT = Path(rtbench.__file__).parent
PACKAGES = ("machine", "processes", "subjects", "scenario", "campaign", "records", "trial")
PATTERN = re.compile(r"\b(is|are) no |\b[Ww]ho |\b[Nn]obody\b|\bmend|\b(said|told)\b")
DEFENDED = {
    ("subjects/model.py", "nobody"),  # a value of `publish` in scenarios and manifests
    ("scenario/tables.py", "nobody"),  # the same
}
"""(file, text) of what stays."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string constant in a file, docstrings and parts of f-strings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("package", PACKAGES)
def test_texts_avoid_the_patterns(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in texts(path)
        if PATTERN.search(text) and (str(path.relative_to(ROOT)), text) not in DEFENDED
    ]
    assert found == []
