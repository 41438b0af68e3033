"""`dashboard`: the article's four figures of a web service, every two seconds, for ever.

The article sends them as JSON over several lines behind a single `data:`, of which an EventSource delivers only `{`.
Here a payload is one line, as everywhere (tests/transports/test_sse.py shows both).
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Source, Stream

STEP_NS = 2 * 10**9


class Dashboard(Stream):
    """Whole numbers from the seed, written with the article's decimals."""

    name = "dashboard"
    description = "users, requests a second, error rate and response time, every 2 s"

    def emissions(self, source: Source) -> Iterator[Emission]:
        random = source.random().random
        offset_ns = 0
        while True:
            users, requests = 500 + int(random() * 1000), 1000 + int(random() * 5000)
            errors, response = int(random() * 201), 50 + int(random() * 101)
            rates = (
                f'"error_rate":{errors // 100}.{errors % 100:02d},"response_time_ms":{response // 10}.{response % 10}'
            )
            yield Emission(offset_ns, f'{{"active_users":{users},"requests_per_second":{requests},{rates}}}')
            offset_ns += STEP_NS
