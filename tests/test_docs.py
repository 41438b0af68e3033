"""The documentation site builds without a warning, and its notebook runs. test_references.py checks all links."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "howto" / "notebook.ipynb"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="mkdocs-material is missing: make docs")
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    # Not --quiet: MkDocs then counts no warnings, and --strict finds none.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    loaded = r"<(?:script|img|iframe|link rel=\"stylesheet\")[^>]*(?:src|href)=\"?https?:"
    assert [page.name for page in pages if re.search(loaded, page.read_text(encoding="utf-8"))] == []


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_committed_without_outputs() -> None:
    assert cells("code") and cells("markdown")
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells("code"))


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {}
    try:
        for cell in cells("code"):
            exec("".join(cell["source"]), names)
        assert len(names["axes"].lines) == names["campaign"].trials["subject"].nunique() > 1
        assert len(names["latency"]) == len(names["axes"].lines)
    finally:
        plt.close("all")
