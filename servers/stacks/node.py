"""Node, set up by `make node` (servers/node/README.md): node:http, and ws for WebSocket. Used by its subjects."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from rtbench.servers.stacks import options
from rtbench.subjects import CAPABILITIES, Launch, Program, Subject, needs_file, needs_program

_FOLDER = Path(__file__).resolve().parents[1] / "node"
_PACKAGE = _FOLDER / "node_modules" / "ws" / "package.json"
_REMEDY = "make node (needs Node 20 and npm: apt-get install nodejs npm)"

# Neither the user's options for Node nor ws's optional native helpers.
_ENVIRONMENT = {"NODE_OPTIONS": "", "NODE_ENV": "production", "WS_NO_BUFFER_UTIL": "1", "WS_NO_UTF_8_VALIDATE": "1"}


def _command(transport: str, launch: Launch) -> list[str]:
    listener = [sys.executable, "-m", "rtbench.servers.stacks.listener"]
    listener += [launch.host, str(launch.port), str(launch.limits["heartbeat_s"])]
    return [*listener, "node", "--expose-gc", str(_FOLDER / "main.js"), options.argument(launch, transport)]


def subject(transport: str, description: str) -> Subject:
    """A subject on Node."""
    return Subject(
        name=f"{transport}-node",
        transport=transport,
        stack="node",
        technique="encode-once",
        program=Program(
            lambda launch: _command(transport, launch), ready="line", environment=_ENVIRONMENT, tidy=signal.SIGUSR2
        ),
        capabilities=CAPABILITIES - {"conversation"},
        requires=(needs_program("node", _REMEDY), needs_file(str(_PACKAGE), _REMEDY)),
        description=description,
    )
