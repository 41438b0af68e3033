"""Go: net/http for SSE and both polls, coder/websocket for WebSocket, built by `make go` (servers/go/README.md)."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from rtbench.servers.stacks import options
from rtbench.subjects import CAPABILITIES, Launch, Program, Subject, needs_file

BINARY = Path(os.environ.get("RTBENCH_GO") or Path(__file__).resolve().parents[1] / "go" / "bin" / "rtbench-go")


def _command(transport: str, launch: Launch) -> list[str]:
    return [str(BINARY), options.argument(launch, transport)]


def subject(transport: str, technique: str, description: str) -> Subject:
    """A subject on Go."""
    return Subject(
        name=f"{transport}-go",
        transport=transport,
        stack="go",
        technique=technique,
        program=Program(partial(_command, transport), ready="line", tidy=signal.SIGUSR1),
        capabilities=CAPABILITIES - {"conversation"},
        requires=(needs_file(str(BINARY), "make go (needs go: https://go.dev/dl)"),),
        description=description,
    )
