"""A reader's needs, and a subject under them: the values that an advice consists of. Built by `options`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rtbench.analysis import format
from rtbench.analysis.evidence import ComparedSubject, naming
from rtbench.analysis.sweep.cells import Cell
from rtbench.errors import UserError

CPU = "server_cpu_ns_per_message"
SAME = 0.02
"""Relative difference between need and measurement up to which nothing is called extrapolated."""


@dataclass(frozen=True, slots=True)
class Needs:
    """A reader's needs. None: as measured (`freshness_ms`: any age is acceptable). `rate_hz`: messages a second that
    each subscriber gets."""

    subscribers: int | None = None
    rate_hz: float | None = None
    freshness_ms: float | None = None
    bidirectional: bool = False
    through_proxy: bool = False
    payload_bytes: float | None = None
    rtt_ms: float | None = None
    """The round trip between clients and server."""
    loss: float | None = None
    """The share of packets that the network loses."""
    tls: bool = False
    http2: bool = False
    stack: str | None = None
    """The reader's own: what was measured on it goes before what was measured on others."""

    def check(self) -> Needs:
        """Return itself. Raises UserError for a number that is not finite or out of range."""
        for name in ("subscribers", "rate_hz", "freshness_ms", "payload_bytes"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                option = f"--{name.removesuffix('_hz').replace('_', '-')}"
                raise UserError(f"{option} {value} is out of range", "give a finite number above 0")
        if self.rtt_ms is not None and not (math.isfinite(self.rtt_ms) and self.rtt_ms >= 0):
            raise UserError(f"--rtt-ms {self.rtt_ms} is out of range", "give a finite number of at least 0")
        if self.loss is not None and not 0 <= self.loss < 1:
            raise UserError(f"--loss {self.loss} is out of range", "give a share: 0.01 is one packet in 100")
        return self

    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Seen:
    """A subject's load, network and figures in a cell, medians over its usable trials."""

    subscribers: int
    rate_hz: float
    payload_bytes: float
    interval_s: float | None
    rtt_ms: float
    """Of the network between clients and server, as asked of the router; loopback's counts as 0."""
    loss: float
    tls: bool
    http2: bool


@dataclass(frozen=True, slots=True)
class Option:
    """A subject under the needs. `cores`: processor time of the server, as a share of one core, with its 95 % interval.

    `factor`: messages a second, which multiply the measured CPU a message. `unmet`: needs that it does not meet.
    `asks`: needs that it meets only with something more, or that were not measured. `bytes_hz`: TCP stream, both ways.
    """

    subject: ComparedSubject
    cell: Cell
    seen: Seen
    factor: float
    cores: float
    low: float | None
    high: float | None
    bytes_hz: float | None
    age_p50_ns: float | None
    age_p90_ns: float | None
    interval_s: float | None
    unmet: tuple[str, ...]
    asks: tuple[str, ...]
    reasons: tuple[str, ...]
    extrapolated: tuple[str, ...]

    @property
    def name(self) -> str:
        """The subject, and its poll interval if that differs from the measured one."""
        if self.interval_s is not None and self.interval_s != self.seen.interval_s:
            return f"{self.subject.name} every {format.number(self.interval_s)} s"
        return self.subject.name

    @property
    def title(self) -> str:
        """The same in words: `short polling on Go every 2 s`."""
        return naming.title(self.subject) + self.name.removeprefix(self.subject.name)

    @property
    def worth(self) -> tuple[int, int, float]:
        """The ranking key: needs not met, needs met only with something more, cost."""
        return len(self.unmet), len(self.asks), self.cores
