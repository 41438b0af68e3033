"""benchmarks/quoted.py: every result that README and docs quote is the committed one; a changed one is found."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
CI = "results/reference/ci"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return importlib.import_module("benchmarks.quoted")


@pytest.mark.slow
def test_every_number_of_the_pages_is_the_committed_one(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_a_number_changed_by_hand_is_found_and_put_right(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(shutil.copy(ROOT / "README.md", tmp_path))
    text = page.read_text()
    was = next(iter(re.findall(r"\d+\.\d+× \[[^\]]*\]", text)))
    page.write_text(text.replace(was, "1.01× [0.99, 1.02]", 1))
    assert script.main([str(page)]) == 1
    assert was in capsys.readouterr().out
    assert script.main(["--write", str(page)]) == 0
    assert page.read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "text", "new"),
    [
        ("latency sse-aiohttp", "of 1 ms [1, 2] and", r"of (\S+ ms \[\S+, \S+\]) and"),
        ("latency sse-aiohttp", "of 1 ms and", r"of (\S+ ms) and"),
        ("cpu long-poll-aiohttp/sse-aiohttp", "2×", r"(\S+×)"),
        ("cpu sse-aiohttp/long-poll-aiohttp", "2× [1, 3]", r"0\.\d+× \[0\.\d+, 0\.\d+\]"),
        ("up-to cpu websocket-aiohttp/sse-aiohttp", "up to 1 %.", r"(up to \S+ %)\."),
        ("total delivered; total lost sse-aiohttp", "1 and 2", r"(\S+) and 0"),
        ("valid; trials", "1 of 2, 3", r"(\d+ of (\d+)), \2"),
        ("scenario workload.rate_hz; scenario subscribers", "1, 2", r"\d, (1,000)"),
        ("floor cpu; met", "1 %; 1 of 2", r"\S+ %; (\d+) of \1"),
        ("deviation delay of 1 ms, sse", "1 ms", r"-?0\.\d+ ms"),
        ("report", "30 forests, or 1 of 987,654,321", None),
        ("95 %; valid", "95 % of 1 of 2", r"95 % of (\d+ of \d+)"),
    ],
)
def test_an_expression_is_what_the_report_has(script: ModuleType, expression: str, text: str, new: str | None) -> None:
    """The groups of `new` stand in report.md, which was made from the raw files."""
    found, problems = script.checked(f"<!-- from {CI}: {expression} -->\n{text}")
    if new is None:
        assert "2 numbers" in problems[0]
        return
    match = re.fullmatch(new, found.split("\n", 1)[1])
    assert match and problems
    report = re.sub("</?sub>", "", (ROOT / CI / "report.md").read_text())
    assert all(group in report for group in match.groups())


@pytest.mark.slow
def test_the_committed_report_has_the_same_numbers(script: ModuleType) -> None:
    """What is computed from metrics.csv is what was computed from the raw files."""
    report = re.sub("</?sub>", "", (ROOT / CI / "report.md").read_text())
    page = (ROOT / CI / "report.html").read_text()
    source = script.Source((CI,))
    for name in source.evidence.names:
        for metric in ("latency", "cpu"):
            assert f"| {source.number(f'{metric} {name}')} |" in report
            if name != "sse-aiohttp":
                ratio, interval = source.number(f"{metric} {name}/sse-aiohttp").split(" ", 1)
                row = re.search(rf'<tr data-subject="{name}" data-with="sse-aiohttp"[^>]*>.*?</tr>', page, re.DOTALL)
                assert row is not None and ratio in row[0] and interval in row[0]
                assert metric != "latency" or f"{ratio} {interval}" in report


@pytest.mark.slow
def test_several_campaigns_are_distinguished_and_combined(script: ModuleType) -> None:
    source = script.Source((CI, "results/reference/ci"))  # twice the same: the ratio stays
    said = script.repeats(source, ["cpu", "websocket-aiohttp/sse-aiohttp"])
    ratio = script.Source((CI,)).number("cpu websocket-aiohttp/sse-aiohttp").split()[0]
    assert said.startswith(f"The server CPU per message of WebSocket beside SSE in 2 campaigns of `ci`: {ratio}")
    assert ratio in said.partition("Together: ")[2]


def test_a_result_without_a_source_is_found(script: ModuleType) -> None:
    page = "<!-- printed by `make aa` -->\n5 ms\n\n{}\n"
    assert script.checked(page.format("It takes 4 blocks at 2026-11-24, R13, in `5 ms`."))[1] == []
    assert script.checked(page.format("`benchmarks/gates.py` prints 5 ms."))[1] == []
    assert script.checked(page.format("```\n5 ms\n```"))[1] == []
    assert len(script.checked(page.format("It takes 5 ms, 1.2× [1.0, 1.4]."))[1]) == 2
    assert script.checked("5 ms") == ("5 ms", [])  # a page without a mark quotes nothing


@pytest.mark.parametrize(
    ("mark", "problem"),
    [
        ("results/reference/NONE: valid", "results/reference/NONE has no campaign.json"),
        (f"{CI}: latency nobody", "has no latency_kernel_p50_ns of 'nobody'"),
        (f"{CI}: cpu sse-aiohttp/nobody", "nothing compares sse-aiohttp and nobody"),
    ],
)
@pytest.mark.slow
def test_an_expression_that_names_nothing_is_a_problem(script: ModuleType, mark: str, problem: str) -> None:
    _, problems = script.checked(f"<!-- from {mark} -->\n5 ms", "a.md")
    assert len(problems) == 1 and problems[0].startswith("a.md:2: ") and problem in problems[0]


@pytest.mark.slow
def test_a_generated_block_is_replaced_as_a_whole(script: ModuleType) -> None:
    page = f"<!-- from {CI}: table beside sse-aiohttp: latency (bytes) -->\n| old |\n|---|\n\nText.\n"
    new, problems = script.checked(page)
    assert len(problems) == 1
    assert new.endswith("| 171 B |\n\nText.\n") and "| old |" not in new
    assert script.checked(new) == (new, [])


@pytest.mark.parametrize("name", ["README.md", "docs/interface.md", "docs/data.md", "METHODOLOGY.md"])
def test_a_page_s_blocks_are_the_page(script: ModuleType, name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "\n".join(block.text for block in script.blocks(text)) == text


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120 and not line.startswith("| ")] == []  # a table's row is one line
    code = False
    run = 0
    for line in lines:
        code = code != line.startswith("```")
        text = bool(line) and not code and not line.startswith(("```", "|", "#", "<", "-", "     ", "![", ">"))
        run = run + 1 if text else 0
        assert run <= 4, line
