"""What import-linter does not say of imports (the arrows are in .importlinter), held by reading every module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("servers", "loadtests", "analysis")


def _kernel() -> Iterator[Path]:
    for path in (ROOT / "rtbench").rglob("*.py"):  # does not follow the links to the other folders
        if path.relative_to(ROOT / "rtbench").parts[0] not in FOLDERS:
            yield path


def name_of(path: Path) -> str:
    """The one import name of a module, `rtbench.servers.kit.hub` for servers/kit/hub.py."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] != "rtbench":
        parts.insert(0, "rtbench")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: dict[str, Path] = {
    name_of(path): path for path in sorted([*_kernel(), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.py"))])
}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imports_of(module: str) -> frozenset[str]:
    """Every name that the module imports, wherever in it, TYPE_CHECKING blocks included."""
    found: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write the import's whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def uses(module: str, *packages: str) -> list[str]:
    """What the module imports out of these packages."""
    return sorted(n for n in imports_of(module) if any(n == p or n.startswith(f"{p}.") for p in packages))


def offenders(modules: Iterable[str], *packages: str) -> dict[str, list[str]]:
    """All at once: who imports out of these packages, and what."""
    return {module: found for module in modules if (found := uses(module, *packages))}


def part_of(module: str) -> str:
    second = module.split(".")[1] if "." in module else ""
    return second if second in FOLDERS else "kernel"


def modules_of(*parts: str) -> list[str]:
    return [module for module in MODULES if part_of(module) in parts]


def test_there_is_something_to_look_at() -> None:
    assert {
        "rtbench.workload",
        "rtbench.servers.kit.hub",
        "rtbench.loadtests.reactor.reactor",
        "rtbench.analysis",
    } <= set(MODULES)
    assert "rtbench.streams.Pace" in imports_of("rtbench.workload")
    assert uses("rtbench.loadtests.users", "locust")


def test_no_module_is_imported_by_a_name_that_import_linter_cannot_see() -> None:
    """`make lint` holds the arrows (.importlinter); a module's name in a string would go around them."""
    hidden = [
        f"{module}, line {node.lineno}: {node.args[0].value}"
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    assert hidden == []


def test_every_module_has_one_name() -> None:
    assert offenders(MODULES, *FOLDERS, "tests") == {}


def test_only_loadtests_import_locust() -> None:
    assert offenders(modules_of("kernel", "servers", "analysis"), "locust", "gevent") == {}


def test_only_servers_import_web_frameworks() -> None:
    assert offenders(modules_of("kernel", "loadtests", "analysis"), "aiohttp", "uvloop") == {}


def test_only_analysis_imports_what_tables_and_figures_need() -> None:
    assert offenders(modules_of("kernel", "servers", "loadtests"), "pandas", "matplotlib", "jinja2") == {}


def test_analysis_never_opens_a_network() -> None:
    network = ("socket", "http", "urllib.request", "asyncio", "requests", "websockets")
    assert offenders(modules_of("analysis"), *network) == {}


def test_codecs_have_no_socket_and_no_clock() -> None:
    codecs = [module for module in MODULES if module.startswith("rtbench.transports")]
    world = ("socket", "time", "asyncio", "threading", "select", "selectors", "ssl", "datetime")
    assert offenders(codecs, *world) == {}


def test_the_workload_knows_only_its_seed() -> None:
    streams = [module for module in MODULES if module.startswith("rtbench.streams")]
    world = ("time", "datetime", "os", "socket", "secrets", "uuid")
    assert offenders([*streams, "rtbench.workload"], *world) == {}


def test_every_module_says_what_it_is() -> None:
    assert [module for module in MODULES if not (ast.get_docstring(tree_of(module)) or "").strip()] == []


def test_nothing_is_called_utils() -> None:
    assert [module for module in MODULES if "utils" in module] == []


def test_no_exception_is_caught_without_a_name() -> None:
    bare = [
        f"{module}, line {node.lineno}"
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def test_nothing_beside_the_locustfile_is_called_like_a_library() -> None:
    """Locust puts the locustfile's folder first on sys.path."""
    libraries = {*sys.stdlib_module_names, *packages_distributions()}
    here = {path.stem for path in (ROOT / "loadtests").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert here & libraries == set()


def test_the_links_that_give_each_module_its_one_name() -> None:
    for folder in FOLDERS:
        link = ROOT / "rtbench" / folder
        assert link.is_symlink()
        assert link.readlink() == Path("..") / folder
