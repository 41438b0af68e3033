"""The common errors of users, one line each, as tests/approved/errors.txt has them.

`RTBENCH_APPROVE=1 pytest tests/cli/test_errors.py` rewrites that file.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench import programs
from rtbench.scenario.loading import FOLDER

from .conftest import Call, refused

APPROVED = Path(__file__).parents[1] / "approved" / "errors.txt"
COMMANDS = (
    "run nightly",
    "run smok",
    "run gone.toml",
    "run broken.toml",
    "run smoke --set subscribers",
    "run smoke --set subscribers=many",
    "run smoke --set subscribers=0",
    "run smoke --set blocks=true",
    "run smoke --set window_s=0",
    "run smoke --set polling.interval_s=1",
    "run smoke --set poll.interval=1",
    "run smoke --set interval_s=1",
    "run smoke --set poll=5",
    "run smoke --set subscribers.most=5",
    "run smoke --set workers=60",
    "run smoke --set grace_s=0.1",
    "run smoke --set 'stream=\"stock\"'",
    "run smoke --set workload.arrival=bursty",
    "run smoke --set proxy=ngin",
    "run smoke --set place.server=9999",
    "run smoke --set 'place.server=\"9999\"'",
    "run smoke --set chat.senders=1",
    "run smoke --subjects sse-aiohtp",
    "run smoke --subjects http://[::1",
    "run smoke --subjects gone.py",
    "run smoke --subjects empty.py",
    "run smoke --subjects sse-nchan",
    "run smoke --set proxy=nginx",
    "run smoke --resume",
    "run smoke --resume --out empty",
    "run smoke --out taken",
    "run smoke --out file/out",
    "capacity smok",
    "capacity smoke --by workers",
    "capacity smoke --from 2.5",
    "capacity smoke --from 100 --to 50",
    "capacity smoke --from nan",
    "capacity smoke --to 0.5",
    "capacity smoke --width 2",
    "capacity sweep-rate",
    "capacity memory",
    "capacity stocks --by workload.rate_hz --subjects sse-aiohttp",
    "capacity smoke --resume",
    "capacity smoke --resume --out taken",
    "capacity smoke --out taken",
    "serve sse-aiohtp",
    "serve sse-aiohttp --set port=5",
    "serve sse-aiohttp --port PORT",
    "serve sse-nchan",
    "demo --port PORT",
    "ticks stock",
    "ticks replay",
    "verify http://192.0.2.1:80",
    "verify sse-aiohtp",
    "check sse-aiohtp",
    "check tcp-floor",
    "check http://192.0.2.1:80",
    "check sse-aiohttp --ignore buffer",
    "run idle --set window_s=5",
    "report empty",
    "report damaged",
)


@pytest.fixture
def port() -> Iterator[str]:
    """A port in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with damaged files and folders, on a machine without optional programs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SBIN", ())
    Path("broken.toml").write_text("subscribers = \n")
    Path("empty.py").write_text("X = 1\n")
    Path("file").write_text("")
    Path("empty").mkdir()
    for name in ("taken", "damaged"):
        Path(name).mkdir()
        Path(name, "campaign.json").write_text('{"schema": ')
    return tmp_path


@pytest.mark.slow
def test_common_errors_are_one_approved_line(call: Call, folder: Path, port: str) -> None:
    lines = []
    for command in COMMANDS:
        line = refused(call(*shlex.split(command.replace("PORT", port))))
        for text, name in ((str(folder), "."), (str(FOLDER), "SCENARIOS"), (f":{port} ", ":PORT ")):
            line = line.replace(text, name)
        line = re.sub(r"cpus from [0-9,-]+", "cpus from N", line)
        lines += [f"$ rtbench {command}", line, ""]
    text = "\n".join(lines)
    if os.environ.get("RTBENCH_APPROVE"):
        APPROVED.parent.mkdir(exist_ok=True)
        APPROVED.write_text(text, encoding="utf-8")
    assert text == APPROVED.read_text(encoding="utf-8")
