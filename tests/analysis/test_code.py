from __future__ import annotations

from pathlib import Path

import pytest

from rtbench.analysis.claims import simplicity
from rtbench.analysis.claims._code import Size, python, script, size

PYTHON = '''"""A docstring
of two lines."""

import sys  # why


def f(x):
    """Another."""
    # nothing
    return (
        x + "a\\nb"  # a text is one token
    )
'''
"""import sys | def f ( x ) : | return ( x + "…" ): 2 + 6 + 6 tokens on 5 lines (a bracket alone is a line)."""

SCRIPT = """// a comment
/* another,
   longer */
export function f(url, hear) {
  const text = `${url}?since=${0}`; // "no text"
  return text !== 'a//b' ? hear(text, 10_000) : null;
}
"""


def test_python_is_counted_without_comments_docstrings_and_layout() -> None:
    assert python(PYTHON) == Size(lines=5, tokens=14)
    assert python("x = 1\n") == python("x   =   1  # one\n") == Size(1, 3)
    assert python('"""Only words."""\n') == Size(0, 0)


def test_a_text_that_is_used_is_code() -> None:
    assert python('x = """a\nb"""\n') == Size(2, 3)


def test_javascript_is_counted_without_comments_and_layout() -> None:
    # export function f(url, hear) {  const text = `…`;  return text !== 'a//b' ? hear(text, 10_000) : null;  }
    assert script(SCRIPT) == Size(lines=4, tokens=9 + 5 + 14 + 1)
    assert script("a=>b?.c??d") == Size(1, 7)
    assert script("// nothing\n\n") == Size(0, 0)
    assert script("`a\nb`") == Size(2, 1)


def test_the_file_s_name_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("f() // call")
    (tmp_path / "a.py").write_text("f() # call")
    assert size(tmp_path / "a.js") == size(tmp_path / "a.py") == Size(1, 3)


def clients(folder: Path, **tokens: int) -> Path:
    """Clients of so many tokens each, in both languages."""
    for name, count in tokens.items():
        for suffix in (".py", ".js"):
            (folder / f"{name.replace('_', '-')}{suffix}").write_text("\n".join(["f"] * count) + "\n")
    return folder


@pytest.mark.parametrize(("sse", "outcome"), [(3, "supported"), (4, "equivalent"), (5, "contradicted")])
def test_claim_7_goes_by_the_fewest_tokens(tmp_path: Path, sse: int, outcome: str) -> None:
    found = simplicity.of(clients(tmp_path, sse=sse, websocket=4, short_poll=6, long_poll=7))
    assert found is not None and found.outcome == outcome
    assert found.campaign == "examples/clients" and len(found.points) == 8
    assert f"sse {sse} ({sse}), websocket 4 (4), short-poll 6 (6), long-poll 7 (7)" in found.text


def test_claim_7_needs_both_languages(tmp_path: Path) -> None:
    folder = clients(tmp_path, sse=1, websocket=4, short_poll=6, long_poll=7)
    (folder / "sse.js").write_text("f\n" * 5)  # simplest in one, not in the other
    found = simplicity.of(folder)
    assert found is not None and found.outcome == "contradicted"
    (folder / "sse.js").write_text("f\n" * 4)
    found = simplicity.of(folder)
    assert found is not None and found.outcome == "not resolved"
    (folder / "sse.js").unlink()
    assert simplicity.of(folder) is None


def test_claim_7_without_the_clients_is_not_tested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rtbench.analysis.claims import Judged

    monkeypatch.setattr(simplicity, "FOLDERS", (tmp_path / "nowhere",))
    assert simplicity.judge(None) is None  # type: ignore[arg-type]
    assert Judged(simplicity.HYPOTHESIS, ()).outcome == "not tested by this campaign"


def test_the_clients_that_are_kept_are_the_ones_that_are_counted() -> None:
    folder = next(f for f in simplicity.FOLDERS if f.is_dir())
    found = simplicity.of(folder)
    assert found is not None
    for point in found.points:
        assert point.value == size(folder / point.a).tokens > 20
