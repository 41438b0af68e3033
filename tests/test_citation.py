"""CITATION.cff: what the Citation File Format 1.2.0 requires, and the version that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import rtbench

TEXT = (Path(__file__).parent.parent / "CITATION.cff").read_text(encoding="utf-8")


def values(indent: str = "") -> dict[str, str]:
    return dict(re.findall(rf"^{indent}(?:- )?([a-z-]+):[ \t]*(.*)$", TEXT, re.MULTILINE))


def test_the_required_keys_and_no_unknown_ones() -> None:
    top = values()
    assert {"authors", "cff-version", "message", "title"} <= top.keys()
    allowed = {"abstract", "authors", "cff-version", "keywords", "license", "message", "references", "title", "type",
               "version"}  # fmt: skip
    assert top.keys() <= allowed
    assert top["cff-version"] == "1.2.0" and top["type"] == "software"
    assert re.search(r"^authors:\n  - name: \S", TEXT, re.MULTILINE)


def test_version_and_licences_are_those_of_the_project() -> None:
    assert values()["version"] == rtbench.__version__
    assert values()["license"] == "MIT"
    reference = values("    ") | values("  ")
    assert {"type", "title", "authors"} <= reference.keys()  # required of a reference
    assert reference["license"] == "CC-BY-4.0"
    assert "CC BY 4.0" in (Path(__file__).parent.parent / "results" / "README.md").read_text(encoding="utf-8")
