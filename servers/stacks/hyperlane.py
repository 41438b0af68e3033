"""hyperlane, the article's framework, built by `make hyperlane` (servers/hyperlane/README.md). Used by its subjects."""

from __future__ import annotations

import os
from pathlib import Path

from rtbench.servers.stacks import options
from rtbench.subjects import CAPABILITIES, Launch, Program, Subject, needs_file

_CRATE = Path(__file__).resolve().parents[1] / "hyperlane"
BINARY = Path(os.environ.get("RTBENCH_HYPERLANE") or _CRATE / "target" / "release" / "rtbench-hyperlane")


def _command(launch: Launch) -> list[str]:
    return [str(BINARY), options.argument(launch)]


def subject(transport: str, description: str) -> Subject:
    """A subject on hyperlane."""
    return Subject(
        name=f"{transport}-hyperlane",
        transport=transport,
        stack="hyperlane",
        technique="encode-once",
        program=Program(_command, ready="line"),
        capabilities=CAPABILITIES - {"conversation", "tls"},
        requires=(needs_file(str(BINARY), "make hyperlane (needs cargo: https://rustup.rs)"),),
        description=description,
    )
