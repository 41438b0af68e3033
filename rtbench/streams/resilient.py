"""`resilient`: a value every 500 ms from a source that fails now and then, and in the end for good.

Each attempt fails with probability 0.1. After a failure a notice advises the client to retry in 5,000 ms and has the
count of retries; the source is asked again after 1.5 s. A success resets the count. The fourth failure in a row ends
the stream. The seed determines its length: some 11,000 messages on average. While it runs, a subscriber without a
cursor begins from now. Once it is over, such a subscriber gets all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Notice, Source, Stream

PROBABILITY = 0.1
STEP_NS, AFTER_FAILURE_NS = 500_000_000, 1_500_000_000
RETRY_MS = 5_000
MOST_IN_A_ROW = 4


class Resilient(Stream):
    """The seed determines the failures, so they are the same on every transport."""

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
