"""Conversations broken on purpose are named: a subject of a file of its own whose hub does it wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbench.conformance import catalogue
from rtbench.conformance._target import PATIENCE_S
from rtbench.conformance.verify import _verify_codings
from rtbench.scenario.model import Scenario
from rtbench.subjects.registry import Registry

pytestmark = pytest.mark.slow

BROKEN = """
from dataclasses import replace
from rtbench.servers import {module} as whole
from rtbench.servers.kit.hub import Hub

class Broken(Hub):
    kept = 0
    def uplink(self, channel, payload):
{body}

async def serve(server):
    server.hub_type = Broken
    await whole.serve(server)

SUBJECT = replace(whole.SUBJECT, name="{name}", serve=serve)
"""

DEAF = "        return None"
CHANGES = "        return super().uplink(channel, payload.replace(b'User', b'Nobody'))"
TWICE = "        return super().uplink(channel, payload) or super().uplink(channel, payload)"
TAKES_ANYTHING = "        self._upstream and super().uplink(channel, payload)\n        return None"


@pytest.mark.parametrize(
    ("module", "body", "case", "words"),
    [
        ("sse_aiohttp", DEAF, "conversation", "received 0 of 6"),
        ("websocket_aiohttp", DEAF, "conversation", "received 0 of 6"),
        ("short_poll_aiohttp", CHANGES, "conversation", "received 0 of 6"),
        ("websocket_websockets", TWICE, "conversation", "of 6 messages as they were sent"),
        ("long_poll_aiohttp", TAKES_ANYTHING, "conversation-errors", "400"),
        ("websocket_aiohttp", TAKES_ANYTHING, "conversation-refused", "was not refused"),
    ],
)
def test_a_broken_conversation_is_named(tmp_path: Path, module: str, body: str, case: str, words: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN.format(module=module, body=body, name=f"{module}-broken".replace("_", "-")))
    registry, name = Registry().reading(str(path))
    cases = [one for one in catalogue().values() if one.name == case]
    found = _verify_codings(registry.find(name), Scenario(), None, cases, PATIENCE_S, None)
    assert [one.name for one in found.failed] == [case]
    assert words in " ".join(found.failed[0].problems)
