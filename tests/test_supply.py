"""The supply chain: locks have what pyproject.toml asks for, with hashes; silence is not an audit's answer."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

packaging_requirements = pytest.importorskip("packaging.requirements")
packaging_version = pytest.importorskip("packaging.version")

ROOT = Path(__file__).parent.parent
LOCKS = {"run": (), "stacks": ("stacks",), "dev": ("test", "lint", "stacks"), "docs": ("docs",), "fuzz": ("fuzz",)}
"""A lock to the extras that it has."""
PYTHONS = ("3.11", "3.12", "3.13")
_LINE = re.compile(r"^([a-zA-Z0-9._-]+)(?:\[[^\]]*\])?==(\S+)(?: ; (.+?))?(?: \\)?$", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def locked(name: str) -> dict[str, list[tuple[str, str]]]:
    """Package to its versions and their markers."""
    found: dict[str, list[tuple[str, str]]] = {}
    for package, version, marker in _LINE.findall((ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")):
        found.setdefault(normal(package), []).append((version, marker))
    return found


def on(python: str, marker: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return not marker or packaging_requirements.Requirement(f"x; {marker}").marker.evaluate(environment)


def wanted(lock: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(need for extra in LOCKS[lock] for need in extras[extra])]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_the_project_asks_for(lock: str, python: str) -> None:
    missing = []
    for text in wanted(lock):
        need = packaging_requirements.Requirement(text)
        versions = [version for version, marker in locked(lock).get(normal(need.name), ()) if on(python, marker)]
        if normal(need.name) != "rtbench" and not (len(versions) == 1 and need.specifier.contains(versions[0])):
            missing.append(f"{text}: {versions}")
    assert not missing, "make lock"


@pytest.mark.parametrize("lock", [*LOCKS, "supply"])
def test_each_locked_file_has_its_hash(lock: str) -> None:
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    packages = re.split(r"^(?=[a-zA-Z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(packages) == sum(map(len, locked(lock).values())) > 20
    assert [one.split()[0] for one in packages if "--hash=sha256:" not in one] == []


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock != "dev"])
def test_one_environment_takes_all_locks(lock: str) -> None:
    """A package has the same versions in each: `make stacks` after `make setup` changes nothing."""
    ours, dev = locked(lock), locked("dev")
    differ = {name for name in ours.keys() & dev.keys() if {v for v, _ in ours[name]} != {v for v, _ in dev[name]}}
    assert not differ


def test_what_is_audited_has_every_package(audit: ModuleType) -> None:
    audited = {name for lock in audit.AUDITED for name in locked(lock)}
    assert {name for lock in LOCKS for name in locked(lock)} <= audited


def test_an_extra_is_in_some_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) == {extra for extras in LOCKS.values() for extra in extras}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rtbench_ci_audit", ROOT / ".ci/audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ANSWERS = {
    "of_pip_audit": ({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1"}]}]}, "a 1: X-1"),
    "of_cargo_audit": (
        {"vulnerabilities": {"list": [{"package": {"name": "a", "version": "1"}, "advisory": {"id": "X-1"}}]}},
        "a 1: X-1",
    ),
    "of_npm_audit": ({"vulnerabilities": {"a": {"severity": "high"}}}, "a: high"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_an_auditor_found_is_a_line_each(audit: ModuleType, name: str) -> None:
    document, line = ANSWERS[name]
    assert getattr(audit, name)(json.dumps(document)) == [line]


def test_go_counts_what_is_called(audit: ModuleType) -> None:
    rows: list[object] = [
        {"config": {"protocol_version": "v1"}},
        {"SBOM": {"go_version": "go1"}},
        {"finding": {"osv": "GO-1", "trace": [{"module": "m", "version": "v1", "function": "F"}]}},
        {"finding": {"osv": "GO-2", "trace": [{"module": "m", "version": "v1"}]}},
    ]
    assert audit.of_govulncheck("\n".join(map(json.dumps, rows))) == ["m v1: GO-1"]


def test_go_without_its_database_prints_a_part_and_fails(audit: ModuleType) -> None:
    program = "import sys; print('{\"SBOM\": {}} {\"progress\": {}}'); sys.exit('no such host')"
    check = audit.Check("go", (sys.executable, "-c", program), audit.of_govulncheck, (0,))
    with pytest.raises(audit.NotCheckedError, match="exit code 1: no such host"):
        audit.run(check)


@pytest.mark.parametrize("name", [*ANSWERS, "of_govulncheck"])
@pytest.mark.parametrize("answer", ["", "{}", '{"error": {"code": "ENOTFOUND"}}', "could not connect"])
def test_silence_is_not_an_answer(audit: ModuleType, name: str, answer: str) -> None:
    with pytest.raises(audit.NotCheckedError):
        getattr(audit, name)(answer)


def test_an_audit_names_what_it_did_not_check(audit: ModuleType) -> None:
    def clean(_: str) -> list[str]:
        return []

    python = sys.executable
    every = [
        audit.Check("one", (python, "-c", ""), clean),
        audit.Check("two", ("rtbench-has-no-such-program",), clean, remedy="make it"),
        audit.Check("three", (python, "-c", "import sys; sys.exit('no network')"), audit.of_npm_audit),
    ]
    lines: list[str] = []
    assert audit.audit(every, lines.append) == 0
    assert lines == [
        "one: nothing known",
        "two: not checked: rtbench-has-no-such-program is missing: make it",
        "three: not checked: it gave no answer: no network",
        "0 found; 1 of 3 checked; not checked: two, three",
    ]


def test_an_audit_that_finds_something_fails(audit: ModuleType) -> None:
    lines: list[str] = []
    assert audit.audit([audit.Check("one", (sys.executable, "-c", ""), lambda _: ["a 1: X-1"])], lines.append) == 1
    assert lines[:2] == ["one: 1 known vulnerabilities", "  a 1: X-1"]
