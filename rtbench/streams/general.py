"""`general`: the article's stream for unknown channel names: twenty numbered updates, then the end."""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Source, Stream

COUNT = 20
STEP_NS = 2 * 10**9


class General(Stream):
    """One update every two seconds."""

    name = "general"
    description = "a numbered update every 2 s, twenty of them; also every unknown channel name"
    finite = True

    def emissions(self, source: Source) -> Iterator[Emission]:
        for number in range(1, COUNT + 1):
            offset_ns = (number - 1) * STEP_NS
            timestamp = source.timestamp(offset_ns)
            yield Emission(offset_ns, f'{{"type":"general","message":"Update {number}","timestamp":{timestamp}}}')
