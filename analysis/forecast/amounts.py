"""A forecast's values: what is asked for, and an amount with its interval and how far it goes beyond what was measured.

Invariant: an amount without a value names what was not measured. Made by `forecast`, rendered by `words`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rtbench.analysis.advice.option import Option
from rtbench.errors import UserError

PORTS = 28_232
"""Local ports of one address towards one address and port, by Linux's default net.ipv4.ip_local_port_range."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served, and by what. `rate_hz`: messages a second for each subscriber; None: as measured. `busy`:
    the share of a core that is used at most, for servers and load alike."""

    subscribers: int
    rate_hz: float | None = None
    payload_bytes: float | None = None
    tls: bool = False
    cores: float = 8.0
    memory_gib: float = 32.0
    gbit: float = 10.0
    busy: float = 0.7

    def check(self) -> Wanted:
        """Return itself. Raises UserError for a machine that is not one."""
        for name in ("cores", "memory_gib", "gbit", "busy"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0) or (name == "busy" and value > 1):
                allowed = "a share above 0, at most 1" if name == "busy" else "a finite number above 0"
                raise UserError(f"--{name.replace('_', '-')} {value} is out of range", f"give {allowed}")
        return self


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with its 95 % interval. `unit`: as in metrics. `binding`: it decides the number of machines (ports and
    load CPU: of load hosts). `extrapolated_by`: the factor by which what it stands on lies outside of what was
    measured, 1 within it. `missing`: the reason where the value is None."""

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    binding: bool = False
    extrapolated_by: float | None = None
    missing: str = ""

    def times(self, by: float) -> Amount:
        """The same in another unit, or of more."""
        value, low, high = (None if one is None else one * by for one in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)

    def row(self) -> dict[str, Any]:
        """For JSON."""
        row: dict[str, Any] = {
            "low": self.low,
            "value": self.value,
            "high": self.high,
            "unit": self.unit,
            "binding": self.binding,
            "extrapolated_by": self.extrapolated_by,
        }
        return row | ({"missing": self.missing} if self.missing else {})


@dataclass(frozen=True, slots=True)
class Server:
    """A subject's forecast. `each`: subscribers that one core holds."""

    option: Option
    each: Amount
    cores: Amount
    memory: Amount
    bandwidth: Amount
    ports: Amount
    machines: Amount
    load_cores: Amount
    load_hosts: Amount
    reconnect: Amount

    def row(self) -> dict[str, Any]:
        """For JSON."""
        subject = self.option.subject
        return {
            "subject": subject.name,
            "transport": subject.transport,
            "stack": subject.stack,
            "measured": {
                "subscribers": self.option.seen.subscribers,
                "rate_hz": self.option.seen.rate_hz,
                "payload_bytes": self.option.seen.payload_bytes,
                "cell": dict(self.option.cell.settings),
            },
            "machines": self.machines.row(),
            "cores": self.cores.row(),
            "subscribers_per_core": self.each.row(),
            "memory": self.memory.row(),
            "bandwidth": self.bandwidth.row(),
            "ports": self.ports.row(),
            "load_hosts": self.load_hosts.row(),
            "load_cores": self.load_cores.row(),
            "reconnect_cpu": self.reconnect.row(),
            "extrapolated": list(self.option.extrapolated),
        }


def outside(value: float, measured: Sequence[float]) -> float:
    """The factor, 1 or more, by which `value` lies outside of the measured range."""
    known = [one for one in measured if one > 0]
    if not known or value <= 0:
        return 1.0
    return max(1.0, value / max(known), min(known) / value)
