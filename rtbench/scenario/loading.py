"""Loads a scenario: a TOML file plus `--set KEY=VALUE`, checked.

Invariant: every loaded `Scenario` can be run. A wrong type, range or combination raises ScenarioError with the key, the
file and the allowed values. Called by the CLI and the campaign.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rtbench.errors import ScenarioError, meant, one_of
from rtbench.scenario import checks, strangers
from rtbench.scenario.cells import combinations, put
from rtbench.scenario.model import Cell, Scenario, keys
from rtbench.scenario.own_subjects import known_with
from rtbench.subjects.registry import Registry

T = TypeVar("T")

FOLDER = Path(__file__).parents[1] / "loadtests" / "scenarios"
"""The shipped scenarios' folder; a new file there is a new scenario."""
SILENCE = {
    "workload.rate_hz": 0.001,
    "reconnect.eventsource_s": 600.0,
    "reconnect.backoff_s": 600.0,
    "reconnect.backoff_most_s": 600.0,
}
"""[idle]: the slowest stream, whose next message is due after the trial, and subscribers that stay away once cut."""


def names() -> list[str]:
    """The shipped scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(
    name: str,
    settings: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    unnamed: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Scenario:
    """The scenario called `name`, or at the path `name`, with `KEY=VALUE` settings and then `overrides` laid over it.

    `unnamed`: values for top-level keys that none of them sets. `warn` gets a line about a file that others may have
    written (`strangers`), before anything in it is acted on. Raises ScenarioError for a missing or broken file, an
    unknown key, a wrong type, an impossible value.
    """
    path = Path(name) if "/" in name or name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ScenarioError(
            f"unknown scenario {name!r}", f"{one_of(name, names())}, or give the path of a TOML file"
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # also bad UTF-8, bad TOML, tables too deep
        raise ScenarioError(f"{path}: cannot be read as TOML ({error})", "correct the file") from error
    table = {**(unnamed or {}), "name": path.stem, **table}
    workload = table.get("workload")
    if isinstance(workload, dict) and isinstance(workload.get("trace"), str) and workload["trace"]:
        workload["trace"] = str(path.parent / workload["trace"])  # relative to the scenario's file
    rows = table.get("subject")
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, dict) and isinstance(row.get("cwd"), str) and row["cwd"]:
            row["cwd"] = str(path.parent / row["cwd"])
    if warn is not None:
        for text in strangers.notes(path, {**table, **(overrides or {})}):
            warn(text)
    return build(table, str(path), settings, overrides)


def build(
    table: dict[str, Any], source: str, settings: Iterable[str] = (), overrides: Mapping[str, Any] | None = None
) -> Scenario:
    """A scenario from a parsed TOML table; `source` names it in errors. Raises ScenarioError."""
    for setting in settings:
        _set(table, setting)
    table.update(overrides or {})
    _silent(table)
    if isinstance(table.get("stream"), str):
        table["stream"] = [table["stream"]]
    registry = Registry()
    if isinstance(table.get("subjects"), list):
        named = []
        for word in table["subjects"]:
            if isinstance(word, str):
                registry, word = registry.reading(word)
            named.append(word)
        table["subjects"] = named
    if isinstance(table.get("subject"), dict):
        table["subject"] = [table["subject"]]
    scenario = _table(Scenario, table, "", source)
    registry = known_with(registry, scenario.subject, source)
    return _resolved(scenario, registry, source)


def _resolved(scenario: Scenario, registry: Registry, source: str) -> Scenario:
    """The scenario with its registry, its trace and its cells, all checked."""
    sha256 = _sha256(Path(scenario.workload.trace))
    scenario = dataclasses.replace(scenario, registry=registry, trace_sha256=sha256)
    checks.check(scenario, source)
    cells = [cell(scenario, settings, f"{scenario.name} [sweep]") for settings in combinations(scenario.sweep)]
    return dataclasses.replace(scenario, swept=tuple(cells))


def _silent(table: dict[str, Any]) -> None:
    """With `[idle] minutes`: the values of the keys that make a silence, unless the scenario names others."""
    idle = table.get("idle")
    minutes = idle.get("minutes", 0) if isinstance(idle, dict) else 0
    if type(minutes) not in (int, float) or minutes <= 0:
        return
    for key, value in {"window_s": 60.0 * minutes, "warmup_messages": 0, "warmup_s": 0.5, **SILENCE}.items():
        *parents, last = key.split(".")
        inner: Any = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        if isinstance(inner, dict):
            inner.setdefault(last, value)


def cell(scenario: Scenario, settings: Mapping[str, Any], source: str) -> Cell:
    """The scenario with other values of these keys, checked; `source` names it in errors. Raises ScenarioError."""
    table = {**scenario.as_dict(), "sweep": {}, "stream": list(scenario.stream)}
    for key, value in settings.items():
        put(table, key, value, f"{source}: {key}")
    if isinstance(table["stream"], str):
        table["stream"] = [table["stream"]]
    return Cell(settings, _resolved(_table(Scenario, table, "", source), scenario.registry, source))


def _sha256(trace: Path) -> str:
    """Of the trace; empty where it cannot be read, which its stream says if it is played."""
    try:
        return hashlib.sha256(trace.read_bytes()).hexdigest() if trace.is_file() else ""
    except (OSError, ValueError):  # a name that is too long, or that holds a NUL
        return ""


def _set(table: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ScenarioError(f"--set {setting}: expected KEY=VALUE", "for example --set poll.interval_s=0.5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word is a string
    put(table, key, value, f"--set {setting}")


def _dotted(kind: type, prefix: str = "") -> list[str]:
    """Every key below a kind of table, dotted as for `--set`."""
    found = []
    for item in keys(kind):
        inside = item.default_factory if not item.metadata else None
        found += _dotted(inside, f"{prefix}{item.name}.") if isinstance(inside, type) else [prefix + item.name]
    return found


def _table(kind: type[T], table: Mapping[str, Any], prefix: str, source: str) -> T:
    fields = {item.name: item for item in keys(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in fields and value is None and fields[key].default is None:
            continue  # of a scenario's own table (`as_dict`): the key was not set
        if key not in fields:
            elsewhere = [f"did you mean {dotted!r}? " for dotted in _dotted(Scenario) if dotted.endswith(f".{key}")]
            near = elsewhere[0] if elsewhere else meant(key, fields)
            raise ScenarioError(f"{source}: unknown key {prefix}{key}", f"{near}choose one of {', '.join(fields)}")
        rule, rows = (fields[key].metadata.get(name) for name in ("rule", "rows"))
        if rows is not None:
            if not (isinstance(value, list) and all(isinstance(row, dict) for row in value)):
                raise ScenarioError(f"{source}: {prefix}{key}: expected tables", f"write [[{prefix}{key}]]")
            values[key] = tuple(_table(rows, row, f"{prefix}{key}[{n}].", source) for n, row in enumerate(value))
        elif rule is None:
            if not isinstance(value, dict):
                raise ScenarioError(f"{source}: {prefix}{key}: expected a table", f"write [{prefix}{key}]")
            values[key] = _table(fields[key].default_factory, value, f"{prefix}{key}.", source)  # type: ignore[arg-type]
        else:
            checked = rule.check(value, prefix + key, source)
            values[key] = tuple(checked) if rule.kind is list else checked
    return kind(**values)
