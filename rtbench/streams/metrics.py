"""`metrics`: processor and memory in percent, every second, for ever: simulated from the seed, or the machine's own.

The seed does not determine real figures (`workload.real`). The publisher makes their payloads when they are due, and
only its record has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rtbench.streams import Emission, Pace, Source, Stream

STEP_NS = 10**9
_MOST_MOVE = 80  # tenths of a percent between two of them, either way


class Metrics(Stream):
    """A walk that stays within 0 to 100 %, or psutil."""

    name = "metrics"
    description = "processor and memory in percent, every second; --real: this machine's"

    def emissions(self, source: Source) -> Iterator[Emission]:
        offset_ns = 0
        if source.pace.real:
            import psutil

            psutil.cpu_percent()  # is since the last call, and the first one has none before it
            while True:
                yield Emission(offset_ns, "")
                offset_ns += STEP_NS
        random = source.random().random
        cpu, memory = int(random() * 1001), int(random() * 1001)
        while True:
            yield Emission(offset_ns, _payload(cpu, memory, source.timestamp(offset_ns)))
            cpu, memory = _moved(cpu, random), _moved(memory, random)
            offset_ns += STEP_NS

    def live(self, source: Source, offset_ns: int) -> str:
        import psutil

        cpu, memory = _tenths(psutil.cpu_percent()), _tenths(psutil.virtual_memory().percent)
        return _payload(cpu, memory, source.timestamp(offset_ns))

    def foreseen(self, pace: Pace) -> bool:
        return not pace.real


def _tenths(percent: float) -> int:
    return min(1000, max(0, round(10 * percent)))


def _moved(tenths: int, random: Callable[[], float]) -> int:
    return min(1000, max(0, tenths + int(random() * (2 * _MOST_MOVE + 1)) - _MOST_MOVE))


def _payload(cpu: int, memory: int, timestamp: str) -> str:
    shares = f'"cpu":{cpu // 10}.{cpu % 10},"memory":{memory // 10}.{memory % 10}'
    return f'{{{shares},"timestamp":{timestamp}}}'
