"""`production`: a value now and then: steps of 100 ms, each of which sends one with probability 0.3, for ever.

It has the response headers and the heartbeat that the article gives it. The article's heartbeat is a message that
scripts see; ours is a comment or a ping, and `workload.data_heartbeat` adds the article's.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from rtbench.streams import Emission, Source, Stream

STEP_NS = 100_000_000
PROBABILITY = 0.3
HEARTBEAT_S = 30
_HEARTBEAT_STEPS = HEARTBEAT_S * 10**9 // STEP_NS


class Production(Stream):
    """What is due at a step does not depend on whether heartbeats are sent as messages."""

    name = "production"
    description = "a value with probability 0.3 every 100 ms, a heartbeat every 30 s"
    headers = MappingProxyType(
        {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
    )
    heartbeat_s = float(HEARTBEAT_S)

    def emissions(self, source: Source) -> Iterator[Emission]:
        draw = source.random()
        step = 0
        while True:
            offset_ns = step * STEP_NS
            if source.pace.data_heartbeat and step and step % _HEARTBEAT_STEPS == 0:
                yield Emission(offset_ns, f'{{"type":"heartbeat","timestamp":{source.timestamp(offset_ns)}}}')
            if draw.random() < PROBABILITY:
                value, timestamp = draw.getrandbits(32), source.timestamp(offset_ns)
                yield Emission(offset_ns, f'{{"data":"real_time_value_{value}","timestamp":{timestamp}}}')
            step += 1
