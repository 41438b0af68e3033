"""Texts and what they name: every file, folder and module that is mentioned exists, and the documents are complete."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from rtbench.analysis.metrics import catalogue
from rtbench.cli import COMMANDS
from rtbench.records.tables import TABLES
from rtbench.scenario.model import Scenario, keys

ROOT = Path(__file__).parent.parent
ROOMS = ("rtbench", "servers", "loadtests", "analysis", "tests", "benchmarks", "examples", "docs", "results", ".ci")
LINKED = ("servers", "loadtests", "analysis")
"""rtbench/servers and the others are links to the folders of that name."""
READ = {
    ".py",
    ".md",
    ".c",
    ".rs",
    ".go",
    ".js",
    ".html",
    ".css",
    ".toml",
    ".yml",
    ".importlinter",
    "Makefile",
    "run",
    "llms.txt",
}
NOT_OURS = re.compile(
    r"results/(?!README\.md)|tests/golden/results/|servers/hyperlane/target/|.*(?:node_modules|__pycache__)/"
)

ENDING = r"(?:md|py|c|rs|go|js|html|css|toml|svg|png|yml)"
FILE = re.compile(rf"(?<![\w./{{<>*:$\]-])(?:\.\.?/)*(?:[\w.-]+/)*[\w.-]+\.{ENDING}\b(?![\w*(/]|\.\w)")
UNDER_A_ROOM = re.compile(rf"(?<![\w./{{<>*:$-])(?:{'|'.join(map(re.escape, ROOMS))})/[\w./-]*[\w/-]")
DOCSTRING = re.compile(r'(?:\A|:\n) *"""(.*?)"""', re.DOTALL)
DOTTED = re.compile(r"(?<![\w.-])rtbench(?:\.(?!__path__)\w+)+")
IMPORTED = re.compile(r"(?<![\w.-])from (rtbench[\w.]*) import (\w+(?:, \w+)*)")

MADE_UP = re.compile(
    r"|".join(
        (
            r".*\b[A-Z]{2,}(?:[./-].*)?",  # a place for a name: servers/NAME.py, results/TIME-aa, FILE.toml
            r"(?:.*/)?mine\.(?:py|toml)|somebodys_subject\.py",  # the reader's own
            r"(?:\w+/)?report/report\.(?:html|md)|head/.*|forest\.svg",  # what a run writes
            r"results/(?:gate|baseline|slower|ci-smoke|index\.html)\b.*",  # what a reader's run writes
            r"results/\d{8}-\d{6}-[\w-]+",
            r"rtbench/_clients",  # in the wheel: examples/clients
            r"servers/hyperlane/target\b.*",  # what `make hyperlane` builds
            r"servers/go/bin\b.*",  # what `make go` builds
            r"servers/node/node_modules\b.*",  # what `make node` installs
            r"\.github/workflows/benchmark\.yml",  # where a reader puts examples/ci/benchmark.yml
            r"this\.svg",  # JavaScript
            r"explanation/architecture\.md|changelog\.md|security\.md|.*-cells\.md",  # pages that docs/hooks.py makes
        )
    )
)
"""Names of files that need not be here, each for its reason."""
NO_MODULES = {"rtbench.schema", "rtbench.kind", "rtbench.protocol"}
"""Keys: a Parquet file's metadata, an ASGI scope."""


def _files() -> list[str]:
    """Every file of ours, by its path from the root."""
    inside = [path for room in ROOMS for path in (ROOT / room).rglob("*")]
    inside = [path for path in inside if path.relative_to(ROOT).parts[:2] not in {("rtbench", one) for one in LINKED}]
    return sorted(str(path.relative_to(ROOT)) for path in (*inside, *ROOT.glob("*"), ROOT / ".importlinter"))


FILES = _files()
TEXTS = [
    name
    for name in FILES
    if (ROOT / name).is_file()
    and not NOT_OURS.match(name)
    and READ & {Path(name).suffix, Path(name).name}
    and name != "tests/test_references.py"
]
ENDINGS = {"/".join(Path(name).parts[depth:]) for name in FILES for depth in range(len(Path(name).parts))}


@cache
def lines(name: str) -> list[tuple[int, str]]:
    """The lines of a text, numbered; of the changelog not its tables, which name what was."""
    numbered = enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), start=1)
    return [
        (number, line) for number, line in numbered if not (name == "CHANGELOG.md" and line.lstrip().startswith("|"))
    ]


def prose(name: str) -> list[tuple[int, str]]:
    """The lines, but of a test only docstrings and comments: its strings name files that it makes."""
    if not (name.startswith("tests/") and name.endswith(".py")):
        return lines(name)
    text = (ROOT / name).read_text(encoding="utf-8")
    docstrings = [
        (text.count("\n", 0, found.start(1)) + 1 + offset, line)
        for found in DOCSTRING.finditer(text)
        for offset, line in enumerate(found[1].splitlines())
    ]
    return docstrings + [(number, line.partition("# ")[2]) for number, line in lines(name) if "# " in line]


def is_there(named: str, where: str) -> bool:
    """Whether a file or folder is where `named` says: from the root, from the text's folder, or by its last parts."""
    for one in LINKED:
        named = re.sub(rf"^rtbench/{one}\b", one, named)
    named = named.rstrip("/")
    beside = (ROOT / where).parent / named
    return beside.exists() or re.sub(r"^(?:\.\.?/)+", "", named) in ENDINGS


def is_a_name(dotted: str) -> bool:
    """Whether `rtbench.a.b` is a module, or a name in one. Nothing is imported: Locust would patch this process."""
    parts = dotted.split(".")
    for depth in range(len(parts), 0, -1):
        path = "/".join(parts[1 if parts[1] in LINKED else 0 : depth])
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if file in ENDINGS and (ROOT / file).is_file():
                return depth == len(parts) or parts[depth] in names_in(file)
    return False


@cache
def names_in(file: str) -> set[str]:
    """What a module defines or imports, wherever in it."""
    found = {"__file__"}
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def test_there_is_something_to_read() -> None:
    assert {"README.md", "docs/interface.md", "servers/kit/hub.py", "Makefile", ".ci/run", "results/README.md"} <= set(
        TEXTS
    )
    assert is_there("docs/interface.md", "README.md") and is_there("interface.md", "rtbench/cli/__init__.py")
    assert is_there("../ARCHITECTURE.md", "docs/interface.md") and is_there("rtbench/servers/kit/hub.py", "README.md")
    assert not is_there("servers/_sse.py", "README.md") and not is_there("trial/_witness.py", "README.md")
    assert is_a_name("rtbench.subjects.needs_package") and not is_a_name("rtbench.subjects.needs_nothing")
    assert FILE.findall("see `servers/_sse.py`, and docs/none.md. Not *.md") == ["servers/_sse.py", "docs/none.md"]


def test_every_file_that_a_text_names_exists() -> None:
    missing = [
        f"{name}:{number}: {named}"
        for name in TEXTS
        for pattern, texts in ((FILE, prose(name)), (UNDER_A_ROOM, lines(name)))
        for number, line in texts
        if "." in line or "/" in line
        for named in pattern.findall(line)
        if not MADE_UP.fullmatch(named) and not is_there(named, name)
    ]
    assert missing == []


def test_every_module_that_a_text_names_exists() -> None:
    missing = [
        f"{name}:{number}: {dotted}"
        for name in TEXTS
        for number, line in lines(name)
        if "rtbench" in line
        for dotted in (*DOTTED.findall(line), *(f"{a}.{b}" for a, bs in IMPORTED.findall(line) for b in bs.split(", ")))
        if dotted not in NO_MODULES and not is_a_name(dotted)
    ]
    assert missing == []


def _anchors(text: str) -> set[str]:
    """The anchors of the headings of a Markdown text, as GitHub and `make docs` make them."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_link_finds_its_file_and_its_heading() -> None:
    wrong = []
    for name in (text for text in TEXTS if text.endswith(".md")):
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.M | re.S)
        for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([^)]+))?\)", text):
            there = (ROOT / name).parent / target if target else ROOT / name
            found = there.exists()
            if found and anchor:
                found = anchor in _anchors(there.read_text(encoding="utf-8"))
            if not found:
                wrong.append(f"{name}: {target}#{anchor}")
    assert wrong == []


# docs/interface.md

CONTRACT, _, LATER = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8").partition("## Agreed, not there yet")
WORDS = set(
    re.findall(
        r"[\w-]+",
        re.sub(
            r"(\w+)\{([\w,]+)\}(\w+)",
            lambda found: " ".join(found[1] + part + found[3] for part in found[2].split(",")),
            CONTRACT,
        ),
    )
)
"""Every word of the contract; `a_{b,c}_d` is two."""


@pytest.mark.slow
def test_the_contract_has_every_command_and_option() -> None:
    rows = {row.split()[0]: row for row in re.findall(r"^\| `rtbench ([^\n]*)$", CONTRACT, re.MULTILINE)}
    assert rows.keys() == COMMANDS.keys()
    for name, (module, function, _) in COMMANDS.items():
        command: click.Command = getattr(importlib.import_module(f"rtbench.cli.{module}"), function)
        options = {word for parameter in command.params for word in parameter.opts if word.startswith("--")}
        assert options <= set(re.findall(r"--[\w-]+", rows[name])), name


def _keys(kind: Any) -> Iterator[str]:
    for item in keys(kind):
        yield item.name
        inner = item.metadata.get("rows") or item.default_factory
        if dataclasses.is_dataclass(inner):
            yield from _keys(inner)


def test_the_contract_has_every_key_of_a_scenario() -> None:
    assert sorted(set(_keys(Scenario)) - WORDS) == []


def test_the_contract_has_every_column() -> None:
    for kind, columns in TABLES.items():
        (row,) = re.findall(rf"/{kind}\.parquet(.*?)^(?:trials|report)/", CONTRACT, re.MULTILINE | re.DOTALL)
        assert re.sub(r"\([^)]*\)", "", row).split() == list(columns), kind


def test_the_contract_has_every_metric() -> None:
    assert sorted({metric.name for metric in catalogue()} - WORDS) == []


def test_what_is_agreed_only_is_not_there() -> None:
    announced = set(re.findall(r"^\| `rtbench (\w+)", LATER, re.MULTILINE))
    assert announced <= COMMANDS.keys()


# ARCHITECTURE.md


def test_the_picture_has_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = sorted(
        path.parent.name for path in (ROOT / "rtbench").glob("*/__init__.py") if not path.parent.is_symlink()
    )
    assert [room for room in rooms if f"`rtbench/{room}/`" not in text] == []
