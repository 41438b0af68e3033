"""What so many subscribers take: each subject's measured slopes times the need, divided by what one machine has.

The model is short, so that a reader can check it. A core holds as many subscribers as use its busy share: the measured
CPU a message times the messages a second, which grows with the subscribers of that core by the exponent of a sweep over
`subscribers` where there is one. Memory is the slope of the ladder, bandwidth the bytes a message; machines are what
the scarcest of the three takes. Invariant: an interval is the measurement's own, carried through; what the need lies
outside of the measured range by is in `extrapolated_by`. Called by `rtbench forecast`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbench.analysis.advice.option import CPU, Needs, Option
from rtbench.analysis.advice.options import options, seen
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.forecast.amounts import PORTS, Amount, Server, Wanted, outside
from rtbench.analysis.statistics.compare import Summary
from rtbench.analysis.sweep import curves
from rtbench.analysis.sweep.cells import Cell, cells
from rtbench.analysis.sweep.rows import Exponent
from rtbench.errors import ResultsError, UserError

_USER, _KERNEL = "server_memory_bytes_per_connection", "kernel_memory_bytes_per_connection"
_CLIENT, _HANDSHAKE = "client_cpu_ns_per_message", "server_cpu_ns_per_handshake"
_LADDER = "not measured: --set 'memory.ladder=[250,500,1000]'"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of a folder. `left`: subjects without one, and why."""

    campaign: str
    wanted: Wanted
    servers: tuple[Server, ...]
    left: tuple[tuple[str, str], ...]

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": 1,
            "campaign": self.campaign,
            "wanted": {name: getattr(self.wanted, name) for name in Wanted.__slots__},
            "subjects": [one.row() for one in self.servers],
            "not_forecast": [{"subject": name, "why": why} for name, why in self.left],
        }


def of_folder(folder: Path, wanted: Wanted) -> Forecast:
    """The forecast of a results folder. Raises ResultsError for a folder that cannot be read or has too few usable
    trials, UserError for impossible needs."""
    wanted.check()
    needed(wanted).check()
    return forecast(gather(load(folder)), wanted, folder)


def needed(wanted: Wanted) -> Needs:
    """The same as an advice has it, which knows each subject's cost and traffic under it."""
    return Needs(wanted.subscribers, wanted.rate_hz, payload_bytes=wanted.payload_bytes, through_proxy=True)


def forecast(evidence: Evidence, wanted: Wanted, folder: Path) -> Forecast:
    """The forecast from gathered evidence. `folder`: where it is from, for errors."""
    parts = [cell for cell in cells(evidence) if bool(cell.scenario.get("tls")) == wanted.tls]
    if not parts:
        how, remedy = ("with", "leave --tls out, or `rtbench run tls`") if wanted.tls else ("without", "add --tls")
        raise UserError(f"{folder}: everything was measured with{'out' * wanted.tls} TLS, nothing {how}", remedy)
    found, left = options(parts, needed(wanted))
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in left) or "it has no subjects"
        raise ResultsError(f"{folder}: nothing can be forecast ({why})", "run more blocks: `rtbench run ci`")
    growth = curves.study(evidence)
    exponents = [one for one in growth.exponents if (one.key, one.metric) == ("subscribers", CPU)] if growth else []
    servers = [_server(option, parts, exponents, wanted) for option in found]
    servers.sort(key=lambda one: (one.cores.value or math.inf, one.option.name))
    return Forecast(str(evidence.campaign.document.get("campaign")), wanted, tuple(servers), tuple(left))


def _server(option: Option, parts: list[Cell], exponents: list[Exponent], wanted: Wanted) -> Server:
    measured = [s for cell in parts if (s := seen(cell, option.subject)) is not None]
    traffic = max(
        outside(wanted.rate_hz or option.seen.rate_hz, [s.rate_hz for s in measured]),
        outside(wanted.payload_bytes or option.seen.payload_bytes, [s.payload_bytes for s in measured]),
    )
    sizes = [float(s.subscribers) for s in measured]
    each, cores = _cores(option, _growth(option, exponents), wanted, sizes, traffic)
    memory = _memory(option, wanted)
    bandwidth = replace(_bandwidth(option), extrapolated_by=traffic)
    room = {"cores": wanted.cores, "memory": wanted.memory_gib * 2**30, "bandwidth": wanted.gbit * 1e9}
    machines, scarce = _whole({"cores": cores, "memory": memory, "bandwidth": bandwidth}, room)
    load_cores = _load(option, wanted, sizes, traffic)
    ports = Amount(float(wanted.subscribers), wanted.subscribers, wanted.subscribers, "ports", extrapolated_by=1.0)
    room = {"cores": wanted.cores, "ports": PORTS * (machines.value or 1.0)}
    hosts, scarcer = _whole({"cores": load_cores, "ports": ports}, room)
    return Server(
        option=option,
        each=each,
        cores=replace(cores, binding=scarce == "cores"),
        memory=replace(memory, binding=scarce == "memory", extrapolated_by=_ladder(option, wanted, machines)),
        bandwidth=replace(bandwidth, binding=scarce == "bandwidth"),
        ports=replace(ports, binding=scarcer == "ports"),
        machines=machines,
        load_cores=replace(load_cores, binding=scarcer == "cores"),
        load_hosts=hosts,
        reconnect=_slope(option, _HANDSHAKE, wanted.subscribers),
    )


def _growth(option: Option, exponents: list[Exponent]) -> tuple[float, float, float]:
    """The exponent of the CPU a message over subscribers, with its interval; 0 where no sweep shows it."""
    others = {key: value for key, value in option.cell.settings.items() if key != "subscribers"}
    for one in exponents:
        if one.subject == option.subject.base and dict(one.at) == others:
            return one.exponent, one.low, one.high
    return 0.0, 0.0, 0.0


def _cores(
    option: Option, growth: tuple[float, float, float], wanted: Wanted, sizes: list[float], traffic: float
) -> tuple[Amount, Amount]:
    """The subscribers that a core holds, and the cores that all take at the busy share."""
    count, measured = wanted.subscribers, option.seen.subscribers

    def per_core(cores: float | None, exponent: float) -> float | None:
        """n · c · (n / measured)^exponent = busy, with c the cores of one subscriber as measured."""
        if cores is None or cores <= 0 or exponent <= -1:
            return None
        return float((wanted.busy * measured**exponent * count / cores) ** (1 / (1 + exponent)))

    def together(cores: float | None, exponent: float) -> float | None:
        holds = per_core(cores, exponent)
        if holds is None or cores is None:
            return None
        return float(cores * (min(holds, count) / measured) ** exponent / wanted.busy)

    middle, low, high = growth
    holds = per_core(option.cores, middle)
    by = max(traffic, outside(min(holds or count, count), sizes))
    least, most = per_core(option.high, high), per_core(option.low, low)
    each = Amount(holds, least, most, "subscribers", extrapolated_by=by)
    cores = Amount(
        together(option.cores, middle), together(option.low, low), together(option.high, high), "cores",
        extrapolated_by=by,
    )  # fmt: skip
    return each, cores


def _slope(option: Option, metric: str, by: float) -> Amount:
    """A measured number times `by`."""
    found: Summary | None = option.cell.evidence.summary(option.subject.name, metric)
    if found is None or found.median is None:
        return Amount(None, missing="not measured")
    return Amount(found.median, found.low, found.high, found.unit).times(by)


def _memory(option: Option, wanted: Wanted) -> Amount:
    """The server's own memory and its half of the kernel's, which has both ends of a connection on loopback."""
    count = float(wanted.subscribers)
    user, kernel = _slope(option, _USER, count), _slope(option, _KERNEL, count / 2)
    if user.value is None or kernel.value is None:
        return Amount(None, unit="bytes", missing=_LADDER)
    return Amount(_sum(user.value, kernel.value), _sum(user.low, kernel.low), _sum(user.high, kernel.high), "bytes")


def _ladder(option: Option, wanted: Wanted, machines: Amount) -> float | None:
    """How many times the largest step of the ladder one machine holds."""
    ladder = (option.cell.scenario.get("memory") or {}).get("ladder") or ()
    if not ladder or not machines.value:
        return None
    return outside(wanted.subscribers / machines.value, [float(step) for step in ladder])


def _bandwidth(option: Option) -> Amount:
    """Bits a second in both directions: of the interface where that was measured, else of the TCP streams."""
    if option.bytes_hz is None:
        return Amount(None, unit="bits/s", missing="not measured")
    evidence, name = option.cell.evidence, option.subject.name
    rows = [evidence.summary(name, f"{one}_bytes_per_message") for one in ("wire", "tcp_down", "tcp_up")]
    wire, down, up = (None if row is None else row.median for row in rows)
    bits = 8 * option.bytes_hz * (wire / (down + up) if wire and down is not None and up is not None else 1.0)
    first = rows[0] if wire else rows[1]
    if first is None or not first.median:
        return Amount(bits, unit="bits/s")
    low, high = (None if end is None else bits * end / first.median for end in (first.low, first.high))
    return Amount(bits, low, high, "bits/s")


def _load(option: Option, wanted: Wanted, sizes: list[float], traffic: float) -> Amount:
    """The cores of load processes that would subscribe so many."""
    cores = _slope(option, _CLIENT, option.factor / 1e9 / wanted.busy)
    if cores.value is None:
        return Amount(None, unit="cores", missing="not measured")
    each = wanted.subscribers / max(1.0, cores.value)
    return replace(cores, unit="cores", extrapolated_by=max(traffic, outside(each, sizes)))


def _whole(amounts: dict[str, Amount], room: dict[str, float]) -> tuple[Amount, str]:
    """The machines that hold all of it, and what decides their number. What was not measured decides nothing."""

    def shares(end: str) -> dict[str, float]:
        found = {name: getattr(one, end) for name, one in amounts.items()}
        whole = {name: amounts[name].value if value is None else value for name, value in found.items()}
        return {name: value / room[name] for name, value in whole.items() if value is not None}

    each = shares("value")
    if not each:
        return Amount(None, unit="machines", missing="nothing that decides it was measured"), ""
    scarce = max(each, key=lambda name: each[name])
    low, value, high = (float(max(1, math.ceil(max(shares(end).values()) - 1e-9))) for end in ("low", "value", "high"))
    return Amount(value, low, high, "machines", extrapolated_by=amounts[scarce].extrapolated_by), scarce


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b
