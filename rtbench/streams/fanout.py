"""`fanout`: messages of a set size at a set rate, constant or Poisson, for comparing transports.

A payload is JSON of exactly `payload_bytes` bytes: an object with the sequence number, the timestamp and seeded
padding; where that does not fit, a JSON string of seeded letters. With `payload = "json"` the padding is what a feed
of quotes sends, so that compression finds what it would find there. Channels of a constant unicast workload are spread
evenly over one period, so that the load is even and no two channels depend on each other's phase.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from rtbench.streams import Emission, Source, Stream


class Fanout(Stream):
    """Size, rate and arrivals come from the scenario's [workload]."""

    name = "fanout"
    description = "payload of a set size at a set rate, constant or Poisson arrivals"

    def emissions(self, source: Source) -> Iterator[Emission]:
        bits = source.random().getrandbits
        size, document = source.pace.payload_bytes, source.pace.payload == "json"
        for seq, offset_ns in enumerate(_offsets(source), start=1):
            head = f'{{"type":"fanout","seq":{seq},"timestamp":{source.timestamp(offset_ns)},"pad":"'
            room = size - len(head) - 2
            if document and room >= 0:
                yield Emission(offset_ns, _document(bits, head.removesuffix('"pad":"'), size))
            elif room >= 0:
                yield Emission(offset_ns, head + _letters(bits, room) + '"}')
            elif size >= 2:
                yield Emission(offset_ns, f'"{_letters(bits, size - 2)}"')
            else:
                yield Emission(offset_ns, str(seq % 10))


_SYMBOLS = ("ACME", "BOLT", "CRUX", "DELT", "ECHO", "FLUX", "GLOW", "HIVE", "IRIS", "JADE", "KITE", "LUMA")
_STATES = ("open", "open", "open", "halted", "auction")
_WORDS = (
    "the",
    "order",
    "was",
    "filled",
    "at",
    "price",
    "above",
    "market",
    "after",
    "close",
    "news",
    "of",
    "offer",
    "for",
)
_NOTE = '"note":"'


def _document(bits: Callable[[int], int], head: str, size: int) -> str:
    """`head`, as many quotes as fit, and a note of words that fills the rest."""
    quotes: list[str] = []
    room = size - len(head) - len(f'"quotes":[],{_NOTE}"}}')
    if room < 0:
        return f'{head}"pad":"{_letters(bits, size - len(head) - 9)}"}}'
    while True:
        price, change, volume = bits(17), bits(9) - 256, bits(20)
        quote = (
            f'{{"id":{bits(30)},"symbol":"{_SYMBOLS[bits(16) % len(_SYMBOLS)]}",'
            f'"price":{price // 100}.{price % 100:02d},"change":{change},"volume":{volume},'
            f'"state":"{_STATES[bits(16) % len(_STATES)]}"}}'
        )
        if len(quote) + bool(quotes) > room:
            break
        room -= len(quote) + bool(quotes)
        quotes.append(quote)
    words = ""
    while len(words) < room:
        words += _WORDS[bits(16) % len(_WORDS)] + " "
    return f'{head}"quotes":[{",".join(quotes)}],{_NOTE}{words[:room]}"}}'


def _offsets(source: Source) -> Iterator[int]:
    rate_hz = source.pace.rate_hz
    if source.pace.arrival == "poisson":
        # A stream of its own, so that the padding does not depend on how arrivals are drawn. Whole microseconds:
        # an ulp of some machine's log() does not show.
        random = source.random()
        random.seed(f"rtbench/{source.seed}/{source.stream}/{source.channel}/arrivals")
        offset_us = 0
        while True:
            offset_us += round(-math.log(1.0 - random.random()) / rate_hz * 1e6)
            yield offset_us * 1000
    phase = source.channel / source.channels
    seq = 0
    while True:
        # From the index, not by adding periods up: due = start + k/rate (R1) to the microsecond, without drift.
        yield round((seq + phase) / rate_hz * 1e6) * 1000
        seq += 1


def _letters(bits: Callable[[int], int], count: int) -> str:
    if count <= 0:
        return ""
    return f"{bits(4 * count):0{count}x}"
