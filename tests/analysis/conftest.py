"""Results folders for the analysis tests: the golden one that is committed, and others made on the spot."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """tests/golden/make.py as a module: `make.write(folder, make.Plan(...))`."""
    name = "golden_make"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, GOLDEN / "make.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def golden() -> Path:
    """The committed results folder."""
    return GOLDEN / "results"


@pytest.fixture(scope="session")
def evidence(golden: Path) -> Evidence:
    return gather(load(golden))
