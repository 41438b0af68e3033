"""docs/howto/pandas.md: its code runs as it stands, on the archived campaign."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_the_page_s_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/howto/pandas.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    named = '"results/20261124-031500-ci"'
    assert named in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace(named, repr(str(ROOT / "tests/golden/results"))), {})
    assert "sse" in capsys.readouterr().out
    assert (tmp_path / "MINE.svg").read_text().count("server CPU per message, µs") >= 1
