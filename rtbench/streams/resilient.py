"""`resilient`: a value every 500 ms from a source that fails now and then, says so, and in the end fails for good.

Each attempt fails with probability 0.1. After a failure the client is told to retry in 5,000 ms and which retry this
is, and the source is asked again after 1.5 s; a success resets the count; the fourth failure in a row ends the
stream. Its length is the seed's: some 11,000 messages on average. While it runs it has no end that anyone could wait
for, so who comes without a cursor begins from now; once it is over, it is had whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Notice, Source, Stream

PROBABILITY = 0.1
STEP_NS, AFTER_FAILURE_NS = 500_000_000, 1_500_000_000
RETRY_MS = 5_000
MOST_IN_A_ROW = 4


class Resilient(Stream):
    """The pattern of failures is the seed's, hence the same on every transport."""

    name = "resilient"
    description = "a value every 500 ms from a source that fails now and then, until it fails four times in a row"
    finite = True
    from_start = False

    def emissions(self, source: Source) -> Iterator[Emission | Notice]:
        draw = source.random()
        offset_ns = failures = 0
        while True:
            if draw.random() >= PROBABILITY:
                failures = 0
                value, timestamp = draw.getrandbits(32), source.timestamp(offset_ns)
                yield Emission(offset_ns, f'{{"value":{value},"timestamp":{timestamp}}}')
                offset_ns += STEP_NS
                continue
            failures += 1
            if failures == MOST_IN_A_ROW:
                yield Notice(offset_ns, "failure", {"error": f"the source failed {failures} times in a row"})
                return
            yield Notice(offset_ns, "retry", {"after_ms": RETRY_MS, "count": failures})
            offset_ns += AFTER_FAILURE_NS
