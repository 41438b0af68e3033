"""Go: net/http for SSE and both polls, coder/websocket for WebSocket, built by `make go` (servers/go/README.md)."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

from rtbench.streams import catalogue
from rtbench.subjects import CAPABILITIES, Launch, Program, Subject, needs_file

BINARY = Path(os.environ.get("RTBENCH_GO") or Path(__file__).resolve().parents[1] / "go" / "bin" / "rtbench-go")


def _command(transport: str, launch: Launch) -> list[str]:
    # The feed does not say which streams are finite, or have headers or a heartbeat of their own.
    streams = {
        stream.name: {
            "finite": stream.finite,
            "from_start": stream.from_start,
            "heartbeat_s": stream.heartbeat_s,
            "headers": dict(stream.headers),
        }
        for stream in catalogue().values()
    }
    limits = {name: launch.limits[name] for name in ("ring_messages", "ring_bytes", "buffer_bytes", "heartbeat_s")}
    options = {
        "transport": transport,
        "host": launch.host,
        "port": launch.port,
        "ingest": str(launch.feed),
        "limits": limits,
        "streams": streams,
    }
    return [str(BINARY), json.dumps(options)]


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
