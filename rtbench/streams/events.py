"""`events`: the article's first stream: a numbered line of text every 100 ms, a hundred of them, then the end.

Its payloads are plain text, not JSON: a JSON envelope holds each as a JSON string (interface.md, Wire).
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Source, Stream

COUNT = 100
STEP_NS = 100_000_000


class Events(Stream):
    """The only stream whose payload is not JSON."""

    name = "events"
    description = "event number and time as text, every 100 ms, a hundred of them"
    finite = True
    json_payload = False

    def emissions(self, source: Source) -> Iterator[Emission]:
        for number in range(1, COUNT + 1):
            offset_ns = (number - 1) * STEP_NS
            yield Emission(offset_ns, f"Event {number} at {source.timestamp(offset_ns)}")
