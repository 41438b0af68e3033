"""Which process a subject's server is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtbench.processes.server import ServerProcess
from rtbench.subjects.registry import find


@pytest.mark.slow
def test_one_of_ours_is_a_process_of_its_own(start: Any, tmp_path: Path) -> None:
    server = start(find("sse-aiohttp"))
    assert isinstance(server, ServerProcess)
