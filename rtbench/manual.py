"""`python -m rtbench.manual [FOLDER]`: generate the reference pages of the documentation from the code.

Invariant: every text on a page comes from a definition: commands and options (`rtbench.cli`), keys of a scenario
(`rtbench.scenario`), metrics (`rtbench.analysis.metrics`), docstrings of the public modules. A test checks that the
committed pages are the generated ones. Modules of the kit are read, not imported: some need optional packages.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import rtbench
from rtbench.analysis import dictionary
from rtbench.analysis.dictionary import table
from rtbench.analysis.metrics import catalogue
from rtbench.cli import COMMANDS, EXITS, FINDING, FINDINGS, INTERRUPTED, TASKS, TOO_FEW, UNSETTLED
from rtbench.records import described
from rtbench.scenario.model import Scenario, keys
from rtbench.scenario.tables import Rule
from rtbench.subjects.model import CLAIMS

_ROOT = Path(rtbench.__file__).parent


def pages() -> dict[str, str]:
    """Every generated page: its path from docs/ to its text."""
    made = {"cli": _commands(), "scenario": _scenario(), "metrics": _metrics(), "python": _python()}
    mark = "<!-- Made by `python -m rtbench.manual`; change the texts beside the definitions. -->"
    found = {}
    for name, lines in made.items():
        title, *rest = lines
        found[f"reference/{name}.md"] = "\n".join((f"# {title}", "", mark, "", *rest)).rstrip() + "\n"
    return found | {"data.md": dictionary.text()}


# Commands


def _commands() -> Iterator[str]:
    yield "Command line"
    yield "Results go to stdout, everything else to stderr. Every exit code has one meaning for all commands:"
    yield ""
    yield from table(("exit code", "meaning"), ((str(code), meaning) for code, meaning in EXITS.items()))
    yield "If several apply, the first of 130, 2, 1, 3 counts."
    yield ""
    for task, names in TASKS.items():
        yield f"## {task}"
        yield ""
        for name in names:
            yield from _command(name)


def _command(name: str) -> Iterator[str]:
    module, function, _ = COMMANDS[name]
    command: click.Command = getattr(importlib.import_module(f"rtbench.cli.{module}"), function)
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option)]
    words = [name, *(_argument(one) for one in arguments), *(["[OPTIONS]"] if options else [])]
    yield f"### `rtbench {name}`"
    yield ""
    yield from _fenced(f"rtbench {' '.join(words)}", "console")
    yield inspect.cleandoc(command.help or "")
    yield ""
    if options:
        yield from table(("option", "default", "meaning"), (_option(one) for one in options))
    yield from _fenced((command.epilog or "").removeprefix("Example: "), "console", "Example:")
    codes = ["0"]
    if name in FINDINGS:
        codes.append(f"{FINDING}: {FINDINGS[name]}")
    codes.append("2")
    if name in UNSETTLED:
        codes.append(str(TOO_FEW))
    yield f"Exit codes: {'; '.join(codes)}; {INTERRUPTED}."
    yield ""


def _argument(one: click.Argument) -> str:
    if one.metavar:
        return one.metavar
    return "|".join(one.type.choices) if isinstance(one.type, click.Choice) else (one.name or "").upper()


def _option(one: click.Option) -> tuple[str, str, str]:
    kind = ""
    if not one.is_flag:
        choices = "|".join(map(str, one.type.choices)) if isinstance(one.type, click.Choice) else ""
        kind = f" {one.metavar or choices or one.type.name.upper().replace(' RANGE', '')}"
    plain = isinstance(one.default, (str, int, float)) and not isinstance(one.default, bool)
    default = f"`{one.default}`" if plain and one.default != "" else ""
    return f"`{', '.join(one.opts)}{kind}`".replace("|", "\\|"), default, (one.help or "").replace("|", "\\|")


def _fenced(text: str, language: str, before: str = "") -> Iterator[str]:
    if before:
        yield before
        yield ""
    yield from (f"```{language}", text, "```", "")


# Scenarios


def _scenario() -> Iterator[str]:
    yield "Scenario keys"
    yield (
        "A scenario is a TOML file: `rtbench run FILE.toml`. `rtbench list scenarios` has those that ship. A key that "
        "is missing has its default. `--set KEY=VALUE` overrides a value; keys are dotted, as in "
        "`--set poll.interval_s=0.5`. An unknown key, a wrong type or an impossible value is an error."
    )
    yield ""
    yield "## Top level"
    yield ""
    yield from _keys(Scenario)
    for item in keys(Scenario):
        if "rule" in item.metadata:
            continue
        kind = _inner(item)
        yield f"## `{f'[[{item.name}]]' if 'rows' in item.metadata else f'[{item.name}]'}`"
        yield ""
        yield from _class(kind)
        for inner in keys(kind):
            if "rows" in inner.metadata and inner.metadata["rows"] is not None:
                yield f"### `[[{item.name}.{inner.name}]]`"
                yield ""
                yield _meaning(kind, inner.name)
                yield ""
                yield from _keys(inner.metadata["rows"])
    yield "## Capabilities"
    yield ""
    yield "The `capabilities` that a `[[subject]]` may claim. `rtbench verify` checks each claim:"
    yield ""
    yield from table(("capability", "meaning"), ((f"`{name}`", meaning) for name, meaning in CLAIMS.items()))


def _class(kind: type[Any]) -> Iterator[str]:
    sentence = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    sentence = re.sub(r"^\[+\w+\]+: ", "", sentence)
    yield f"{sentence[:1].upper()}{sentence[1:]}"
    yield ""
    yield from _keys(kind)


def _keys(kind: type[Any]) -> Iterator[str]:
    rows = [item for item in keys(kind) if "rule" in item.metadata]
    yield from table(
        ("key", "type", "default", "allowed", "meaning"),
        (
            (
                f"`{item.name}`",
                _TYPES[item.metadata["rule"].kind],
                _default(item),
                _allowed(item.metadata["rule"]),
                _meaning(kind, item.name),
            )
            for item in rows
        ),
    )


_TYPES = {
    object: "true, false or text",
    int: "integer",
    float: "number",
    str: "text",
    bool: "boolean",
    list: "list",
    dict: "table",
}


def _inner(item: dataclasses.Field[Any]) -> type[Any]:
    """The class of a table, or of the rows of an array of tables."""
    kind: Any = item.metadata.get("rows") or item.default_factory
    assert isinstance(kind, type)
    return kind


def _default(item: dataclasses.Field[Any]) -> str:
    made: Any = item.default_factory
    value = item.default if item.default is not dataclasses.MISSING else made()
    return "" if value in ("", (), {}, None) else f"`{json.dumps(value)}`"


def _allowed(rule: Rule) -> str:
    """The allowed values as in an error, without the type, which has its own column."""
    plain = re.sub(r"^expected (?:one of |(?:an integer|a number) from )?", "", rule.allowed)
    return "" if plain in ("a string", "a string of one line", "true or false") else plain.replace("|", "\\|")


def _meaning(kind: Any, name: str) -> str:
    return next(key.meaning for key in described.keys(kind) if key.name == name).replace("|", "\\|")


def undescribed() -> list[str]:
    """The keys of a scenario without a text."""
    kinds: list[type[Any]] = [Scenario]
    found = []
    for kind in kinds:
        for item in keys(kind):
            if "rule" not in item.metadata:
                kinds.append(_inner(item))
                if kind is Scenario:
                    continue  # a table: its class has the text
            if not _meaning(kind, item.name):
                found.append(f"{kind.__name__}.{item.name}")
    return found


# Metrics


def _metrics() -> Iterator[str]:
    yield "Metrics"
    yield (
        "One number per trial: `metrics` of report.json, `value` of metrics.csv, and `rtbench list metrics`. Every "
        "`ns` is a duration. [Formulas](../recompute.md) has each formula. *Better* is the direction in which a "
        "subject is better."
    )
    yield ""
    yield from table(
        ("metric", "unit", "better", "applies to", "meaning"),
        (
            (f"`{m.name}`", m.unit, m.direction, ", ".join(m.transports) or "all", f"{m.title}: {m.caption}")
            for m in catalogue()
        ),
    )


# Python

PLACES = (
    ("subjects", "What a subject's file needs."),
    ("servers.kit", "The kit for a server in Python."),
    ("servers.kit.app", ""),
    ("servers.kit.hub", ""),
    ("servers.kit.aiohttp_app", ""),
    ("servers.kit.starlette_app", ""),
    ("servers.kit.uvicorn_server", ""),
    ("servers.kit.hypercorn_server", ""),
    ("servers.kit.sse_encoder", ""),
    ("servers.kit.websocket_encoder", ""),
    ("servers.kit.poll_answer", ""),
    ("servers.kit.queue", ""),
    ("servers.kit.cursor", ""),
    ("analysis.notebook", "Results as DataFrames. `rtbench.analysis` has both names."),
)
"""The public modules, below `rtbench`."""


def _python() -> Iterator[str]:
    yield "Python API"
    yield "These modules are public: their names stay, and CHANGELOG has each change. All other modules may change."
    yield ""
    for name, note in PLACES:
        tree = _parsed(name)
        yield f"## `rtbench.{name}`"
        yield ""
        if note:
            yield note
            yield ""
        yield _docstring(tree)
        yield ""
        for public in _public(tree):
            yield from _member(*_definition(name, tree, public), public)


def _file(name: str) -> Path:
    path = _ROOT / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _parsed(name: str) -> ast.Module:
    return ast.parse(_file(name).read_text(encoding="utf-8"))


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return _prose(ast.get_docstring(node) or "")


def _prose(text: str) -> str:
    """A docstring as Markdown: words in braces become code, so that they are not read as markup."""
    return re.sub(r"(?<![`\w{])(\{[\w,]+\})", r"`\1`", text)


def _public(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _definition(name: str, tree: ast.Module, public: str) -> tuple[ast.stmt, str]:
    """The definition of `public`, here or in the module that it is imported from, and the text under it."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == public:
            return node, _docstring(node)
        if public in _assigned(node):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            return node, _prose(inspect.cleandoc(str(text)))
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and public in (alias.asname or alias.name for alias in node.names)
        ):
            where = node.module.removeprefix("rtbench.")
            return _definition(where, _parsed(where), public)
    raise LookupError(f"rtbench.{name} does not define {public}")


def _assigned(node: ast.stmt) -> set[str]:
    """The names that a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return {word.id for target in targets for word in ast.walk(target) if isinstance(word, ast.Name)}


def _member(node: ast.stmt, text: str, public: str) -> Iterator[str]:
    yield f"### `{public}`"
    yield ""
    if isinstance(node, ast.ClassDef):
        yield from _fenced("\n".join(_outline(node)), "python")
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from _fenced(_signature(node), "python")
    if text:
        yield text
        yield ""
    if isinstance(node, ast.ClassDef):
        yield from _methods(node)


def _outline(node: ast.ClassDef) -> Iterator[str]:
    yield f"class {node.name}{'(' + ', '.join(map(ast.unparse, node.bases)) + ')' if node.bases else ''}"
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and not ast.unparse(item.target).startswith("_"):
            yield f"    {ast.unparse(item)}"


def _methods(node: ast.ClassDef) -> Iterator[str]:
    found = [
        (item, text)
        for item in node.body
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and not item.name.startswith("_")
        if (text := _docstring(item))
    ]
    for item, text in found:
        yield f"- `{_signature(item)}`: {' '.join(text.split())}"
    if found:
        yield ""


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    if any(ast.unparse(one) in ("property", "cached_property") for one in node.decorator_list):
        return f"{node.name}{f' -> {ast.unparse(node.returns)}' if node.returns else ''}"
    word = "async def " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{word}{node.name}({arguments}){f' -> {ast.unparse(node.returns)}' if node.returns else ''}"


def main(folder: Path) -> None:
    """Write every page below `folder`."""
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
