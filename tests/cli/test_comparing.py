"""`rtbench compare`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rtbench.analysis.regression.formats import FORMATS

from .conftest import Call, refused


@pytest.fixture
def differing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """`rtbench compare` finds one regression, whatever it is given; what that was."""
    from rtbench.analysis.regression import baseline
    from rtbench.analysis.regression.changes import Change, Difference

    worse = Change("sse-aiohttp", "lost", "messages", 0.0, 2.0, None, None, None, "worse", True)
    asked: list[tuple[Any, ...]] = []

    def answer(*words: Any) -> Difference:
        asked.append(words)
        return Difference("before", "now", (worse,), ("a note",))

    monkeypatch.setattr(baseline, "against", answer)
    monkeypatch.setattr(baseline, "within", answer)
    return asked


@pytest.mark.parametrize("kind", FORMATS)
def test_compare_finds_a_regression(call: Call, differing: list[tuple[Any, ...]], kind: str) -> None:
    ran = call("compare", "a", "b", "--format", kind, "--tolerance", "20")
    assert (ran.code, ran.err) == (1, "") and "sse-aiohttp" in ran.out
    assert differing[0][:3] == (Path("a"), Path("b"), 1.2)


def test_compare_writes_a_file(call: Call, differing: list[tuple[Any, ...]], tmp_path: Path) -> None:
    ran = call("compare", "a", "b", "--format", "html", "--out", str(tmp_path / "page.html"))
    assert (ran.code, ran.out, ran.err) == (1, "", "")
    assert (tmp_path / "page.html").read_text() == call("compare", "a", "b", "--format", "html").out
    assert "cannot be written" in refused(call("compare", "a", "b", "--out", str(tmp_path / "none/page.html")))


def test_compare_two_subjects_of_one_folder(call: Call, differing: list[tuple[Any, ...]]) -> None:
    assert call("compare", "a", "--subjects", "base, head").code == 1
    assert differing[0][:4] == (Path("a"), "base", "head", 1.05)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("a",), "compare needs two folders"),
        (("a", "b", "c"), "compare needs two folders"),
        (("a", "b", "--subjects", "x,y"), "two subjects of one folder"),
        (("a", "--subjects", "x"), "two subjects of one folder"),
        (("nowhere", "nowhere"), "campaign.json: is missing"),
        (("nowhere", "--subjects", "x,y"), "campaign.json: is missing"),
    ],
)
def test_compare_what_cannot_be(call: Call, words: tuple[str, ...], says: str) -> None:
    assert says in refused(call("compare", *words))


GOLDEN = Path(__file__).parents[1] / "golden/results"


@pytest.mark.slow
def test_compare_a_folder_with_itself_and_with_what_lacks_trials(call: Call, tmp_path: Path) -> None:
    ran = call("compare", str(GOLDEN), str(GOLDEN))
    assert ran.code == 0 and "0 regressions" in ran.out
    shutil.copytree(GOLDEN, tmp_path / "b")
    for folder in sorted((tmp_path / "b/trials").glob("*-sse-aiohttp"))[1:]:
        shutil.rmtree(folder)
    ran = call("compare", str(GOLDEN), str(tmp_path / "b"))
    assert ran.code == 3 and "too few trials: sse-aiohttp has 1 valid trial now" in ran.out
