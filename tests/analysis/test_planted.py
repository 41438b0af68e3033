"""Scripts planted in every text of a results folder: the pages show them, and nothing of them runs.

Two locks, one test each: the text is escaped (no element comes of it, and the policy has nothing to refuse), and the
policy refuses whatever would get past the escaping.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from rtbench.analysis import figures
from rtbench.analysis.history.index import MARK, rebuild
from rtbench.analysis.regression.baseline import against
from rtbench.analysis.regression.formats import render
from rtbench.analysis.report.report import build
from rtbench.cli import cli

pytestmark = pytest.mark.slow

EVIL = """</title></style></script>"'><script>window.ran=1</script><img src=x onerror="window.ran=1">"""
MORE = "[a](javascript:window.ran=1)![b](https://example.net/c)`d`|$\\frac$\x1b[31m\N{RIGHT-TO-LEFT OVERRIDE}"
ELSEWHERE = ("directory", "status", "channels", "transport", "arm", "technique", "sha256", "manifest_sha256")
"""Keys whose values name files or are words of the contract: others there are refused, or tested below."""
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


def planted(value: Any, key: str = "", free: bool = False) -> Any:
    """The JSON value with EVIL behind each text; behind the keys, too, where any key is allowed (`free`)."""
    if isinstance(value, dict):
        inside = free or key in ("environment", "fairness")
        return {f"{k}{EVIL if inside else ''}": planted(v, k, inside) for k, v in value.items()}
    if isinstance(value, list):
        return [planted(inner, key, free) for inner in value]
    return value + EVIL + MORE if isinstance(value, str) and key not in ELSEWHERE else value


@pytest.fixture(scope="module")
def folder(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder whose every text is hostile, with its report, in a folder `results` with its index."""
    plan = make.Plan(
        subjects=("sse-aiohttp", "websocket-websockets"), blocks=2, subscribers=2, window_s=0.5, invalid={2: ("x",)},
        warnings=({"kind": "k", "message": "m `c`", "remedy": "r `c`", "metrics": []},),
        extra={"calibration": {"measured_unix": 1, "checks": [{"name": "n", "met": False, "deviation": 1}]}},
    )  # fmt: skip
    made = Path(make.write(tmp_path_factory.mktemp("planted") / "results" / "a", plan))
    for file in (made / "campaign.json", *made.glob("trials/*/manifest.json")):
        file.write_text(json.dumps(planted(json.loads(file.read_text()))))
    some = [one for one in figures.catalogue() if one.name == "decision"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "catalogue", lambda: some)
        build([made], with_claims=True)
    (made.parent / "index.html").write_text(MARK)
    rebuild(made.parent)
    (made / "compared.html").write_text(render(against(made, made), "html"))
    return made


PAGES = ("report/report.html", "compared.html", "../index.html")


@pytest.fixture(scope="module")
def chromium(chromium_with: Callable[..., Any]) -> Iterator[Any]:
    with chromium_with(QUIET) as driver:
        yield driver


def of(page: Any, expression: str) -> Any:
    return page.execute_script(f"return {expression}")


@pytest.mark.parametrize("name", PAGES)
def test_no_element_comes_of_a_text_and_nothing_runs(chromium: Any, folder: Path, name: str) -> None:
    file = (folder / name).resolve()
    assert "&lt;script&gt;window.ran=1" in file.read_text()
    chromium.get(file.as_uri())
    assert of(chromium, "window.ran") is None
    assert of(chromium, "document.querySelectorAll('img, iframe, object, embed, [onerror]').length") == 0
    scripts = 0 if "index" in name else 1
    assert of(chromium, "document.scripts.length") == scripts
    assert of(chromium, "[...document.links].filter((a) => !['file:'].includes(a.protocol)).length") == 0
    assert "window.ran=1" in of(chromium, "document.body.innerText")
    assert chromium.get_log("browser") == []  # the policy had nothing to refuse


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_refuses_what_gets_past_the_escaping(chromium: Any, folder: Path, name: str, tmp_path: Path) -> None:
    page = (folder / name).read_text()
    inside = (
        "<script>window.ran = 1</script><script src='data:text/javascript,window.ran=1'></script>"
        "<img src=x onerror='window.ran = 1'><a id=evil href='javascript:window.ran=1'>x</a>"
        "<style>h1 { display: none }</style><form id=form action='https://example.net/'></form>"
        "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe><base href='https://example.net/'>"
    )
    (tmp_path / "page.html").write_text(re.sub(r"<body[^>]*>", lambda m: m[0] + inside, page, count=1))
    chromium.get((tmp_path / "page.html").as_uri())
    chromium.execute_script("document.getElementById('evil').click(); document.getElementById('form').submit()")
    assert of(chromium, "window.ran") is None
    assert of(chromium, "document.baseURI").startswith("file:")
    assert of(chromium, "getComputedStyle(document.querySelector('h1')).display") != "none"
    refused = "\n".join(line["message"] for line in chromium.get_log("browser"))
    for what in ("script-src" if "index" not in name else "default-src", "style-src", "img-src", "form-action"):
        assert what in refused or "default-src" in refused, what


def test_markdown_makes_neither_html_nor_links(folder: Path) -> None:
    for text in ((folder / "report/report.md").read_text(), render(against(folder, folder), "markdown")):
        assert "window.ran=1" in text
        assert not re.search(r"<(?!/?(?:details|summary|sub|br)>)", text)
        fences = [line for line in text.splitlines() if line.startswith("```")]
        assert len(fences) == 2 * ("bibtex" in text)
        text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"\]\(|\]\[|^\W*\[[^]]*\]:", text, re.MULTILINE)


def test_the_terminal_gets_no_escape_sequence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "catalogue", lambda: ())
    here, holder = str(folder), str(folder.parent)
    for words in (["report", here], ["compare", here, here], ["list", "results", "--in", holder], ["advise", here]):
        shown = CliRunner().invoke(cli, words).output
        assert shown and "\x1b" not in shown and "\N{RIGHT-TO-LEFT OVERRIDE}" not in shown, words


def test_words_of_the_contract_are_escaped_too(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "catalogue", lambda: ())
    made = Path(make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp",), blocks=2, subscribers=1, window_s=0.5)))
    for file in (made / "campaign.json", *made.glob("trials/*/manifest.json")):
        table = json.loads(file.read_text())
        for row in [table, *table.get("subjects", [])]:
            row |= {key: EVIL for key in ("transport", "arm", "technique") if key in row}
        file.write_text(json.dumps(table))
    build([made])
    assert (made / "report/report.html").read_text().count("<script") == 1
