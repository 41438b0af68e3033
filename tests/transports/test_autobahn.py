"""Autobahn's cases against our WebSocket client: the load generator's and the verifier's codec is a sound client."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

pytest.importorskip("kosoku", reason="needs kosoku, which runs Autobahn's cases: pip install kosoku")


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The script. What kosoku puts before installed packages (a `pkg_resources` of its own) goes after these tests."""
    path = list(sys.path)
    yield importlib.import_module("benchmarks.autobahn")
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if "/kosoku/shim/" in (getattr(module, "__file__", None) or ""):
            del sys.modules[name]


GROUPS = {"1.*": 16, "2.*": 11, "3.*": 7, "4.*": 10, "5.*": 20, "7.*": 37, "10.*": 1}
"""Groups of cases: messages, pings, reserved bits, opcodes, fragments, closing. `make autobahn` runs all."""


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_client_codec_passes(script: ModuleType, group: str) -> None:
    found = asyncio.run(script.of_codec([group]))
    assert len(found) == GROUPS[group]
    assert [one for one in found if not one.passed] == []


@pytest.mark.slow
def test_a_stack_passes(script: ModuleType) -> None:
    """The other way round: the runner is the client, and an echo on a stack of ours the server."""
    found = asyncio.run(script.of_stack(script.websockets, ["1.1.*", "2.*", "5.*"]))
    assert len(found) == 8 + 11 + 20
    assert [one for one in found if not one.passed] == []


def test_a_row_has_what_failed_in_order(script: ModuleType) -> None:
    found = [
        script.Verdict("6.4.10", False, "FAILED", "OK", ""),
        script.Verdict("6.4.9", False, "OK", "UNCLEAN", ""),
        script.Verdict("1.1.1", True, "OK", "OK", ""),
        script.Verdict("6.4.1", True, "NON-STRICT", "OK", ""),
    ]
    assert script.row("it", found) == "| it | 2 of 4 | 1 | 1 | 0 | 6.4.9, 6.4.10 |"


@pytest.mark.parametrize("size", [0, 3, 125, 126, 65535, 65536])
def test_a_masked_frame(script: ModuleType, size: int) -> None:
    from websockets.frames import Frame, Opcode

    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    frame = script.masked(script.BINARY, data)
    start = len(frame) - size
    key = frame[start - 4 : start]
    assert bytes(byte ^ key[i % 4] for i, byte in enumerate(frame[start:])) == data
    assert frame[: start - 4] == Frame(Opcode.BINARY, data).serialize(mask=True)[: start - 4]
