"""A subscriber that stops reading: cut off by the declared policy, and everyone else has everything (R3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("subject", ["sse-aiohttp", "websocket-websockets"])
def test_a_client_that_stops_reading_is_cut_off_alone(measure: Callable[..., Any], subject: str) -> None:
    whole = measure(
        subject,
        faults={"deaf": 1},
        server={"heartbeat_s": 6.0},  # who acknowledges nothing for half of it is cut off
        workload={"rate_hz": 100, "payload_bytes": 8000},
        window_s=5.5,
        grace_s=1,
    )
    counts, audit = whole.manifest["counts"], whole.manifest["audit"]
    assert counts["lost"] > 0
    assert {subscriber for subscriber, _ in audit["lost"]} == {0}
    assert (counts["duplicated"], counts["reordered"], counts["corrupted"]) == (0, 0, 0)
    log = (whole.folder / "server.log").read_text()
    assert log.count("dropped a slow consumer of fanout") == 1
    assert "(number 1)" in log
