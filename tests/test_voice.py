"""The words of docstrings and of texts for users: patterns of speech that rtbench's English does without."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtbench

ROOT = Path(rtbench.__file__).parent
CHECKOUT = Path(__file__).parent.parent
PLACES = {
    **{path.name: path for path in sorted(ROOT.iterdir()) if path.suffix == ".py" or any(path.glob("*.py"))},
    **{name: CHECKOUT / name for name in ("Makefile", "action.yml", "benchmarks", "examples")},
}
"""Every package and module of rtbench, and the files beside it that users read."""
OTHERS = {(".toml", "loadtests"), (".toml", "examples"), (".yml", "examples")}
"""Files in other languages with texts for users."""
PATTERN = re.compile(
    r"\b(is|are) no |\b[Ww]ho |\b[Ww]hoever\b|\b[Nn]obody\b|\bmend|\b(said|told)\b|\bhear(s|d)\b|\bgo(es)? on with\b"
)
DEFENDED = {
    "subjects/model.py": "nobody",  # a value of `publish` in scenarios and manifests
    "scenario/tables.py": "nobody",  # the same
    "analysis/figures/__init__.py": "there is no list",  # not the idiom "X is no Y"
    "analysis/figures/_style.py": "people who",  # people, not programs
}
"""File to the words in it that stay."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string constant of a Python file (docstrings, parts of f-strings), or of every line."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(content.splitlines(), start=1)
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("place", PLACES)
def test_texts_avoid_the_patterns(place: str) -> None:
    whole = PLACES[place]
    found = []
    for path in [whole] if whole.is_file() else sorted(whole.rglob("*")):
        if path != whole and path.suffix != ".py" and (path.suffix, place) not in OTHERS:
            continue
        name = str(Path(place) / path.relative_to(whole))
        stays = DEFENDED.get(name, "")
        found += [
            f"{name}:{line}: {text}"
            for line, text in texts(path)
            if PATTERN.search(text.replace(stays, "") if stays else text)
        ]
    assert found == []
