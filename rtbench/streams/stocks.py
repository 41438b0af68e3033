"""`stocks`: the article's ticker: a round of five symbols every second, prices between 100 and 150."""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Source, Stream

SYMBOLS = ("AAPL", "GOOGL", "MSFT", "AMZN", "TSLA")


class Stocks(Stream):
    """Five messages due at the same instant, every second, for ever."""

    name = "stocks"
    description = "five stock prices, in a round every second"

    def emissions(self, source: Source) -> Iterator[Emission]:
        random = source.random().random
        offset_ns = 0
        while True:
            timestamp = source.timestamp(offset_ns)
            for symbol in SYMBOLS:
                cents = 10_000 + int(random() * 5_001)
                price = f"{cents // 100}.{cents % 100:02d}"
                yield Emission(
                    offset_ns, f'{{"type":"stock","symbol":"{symbol}","price":{price},"timestamp":{timestamp}}}'
                )
            offset_ns += 10**9
