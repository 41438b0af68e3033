"""A forecast as text for a terminal: a block a subject, then what the model takes for granted and what is not in it.

Invariant: every number is an `Amount`'s, with its interval. Called by `rtbench forecast`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.analysis import format
from rtbench.analysis.evidence import naming
from rtbench.analysis.forecast.amounts import PORTS, Amount, Server, Wanted
from rtbench.analysis.forecast.forecast import Forecast

_FAR = 1.02
"""From this factor on, an amount lies outside of what was measured."""

NOT_IN_IT = (
    "what carries messages between the servers (a broker), and what it adds",
    "a proxy or a load balancer before them",
    "room for failure: machines that take over from others",
)


def text(found: Forecast) -> str:
    """The whole forecast."""
    lines: list[str] = []
    for one in found.servers:
        lines += [*_server(one, found.wanted), ""]
    lines += ["Taken for granted:", *(f" - {one}" for one in _granted(found.wanted)), ""]
    lines += ["Not in it:", *(f" - {one}" for one in NOT_IN_IT)]
    if found.left:
        lines += ["", "No forecast:", *(f" - {name}: {why}" for name, why in found.left)]
    return "\n".join(lines)


def _server(one: Server, wanted: Wanted) -> Iterator[str]:
    option = one.option
    yield f"{naming.capital(option.title)} ({option.subject.name})"
    for name, amount, more in (
        ("machines", one.machines, ""),
        ("cores", one.cores, _each(one, wanted)),
        ("memory", one.memory, ""),
        ("bandwidth", one.bandwidth, ""),
        ("ports", one.ports, f"{-(-wanted.subscribers // PORTS):,} client addresses towards one address and port"),
        ("load hosts", one.load_hosts, ""),
        ("load cores", one.load_cores, ""),
        ("reconnect", one.reconnect, "of a core, for a full TLS handshake each"),
    ):
        if amount is one.reconnect and amount.value is None:
            continue
        decides = "load hosts" if name in ("ports", "load cores") else "machines"
        notes = [more, f"decides the {decides}" if amount.binding else ""]
        if amount.extrapolated_by is not None and amount.extrapolated_by > _FAR:
            notes.append(f"{format.number(amount.extrapolated_by)}× outside of what was measured")
        note = "; ".join(note for note in notes if note)
        yield f"  {name:<11} {amount_text(amount)}{f'   ({note})' if note else ''}"
    s = option.seen
    yield (
        f"  measured at {s.subscribers:,} subscribers, {format.number(s.rate_hz)} messages a second each, "
        f"{format.number(s.payload_bytes)} B"
    )


def _each(one: Server, wanted: Wanted) -> str:
    if one.each.value is None or one.each.value >= wanted.subscribers:
        return "one core holds all"
    return f"{amount_text(one.each)} subscribers on each"


def amount_text(amount: Amount) -> str:
    """`12 [11, 14]`, `3.2 GiB [3.1, 3.3]`, `7.1 Gbit/s`, or why there is none."""
    if amount.value is None:
        return f"– ({amount.missing})"
    if amount.unit == "bits/s":
        divisor, unit = next(
            ((by, name) for by, name in ((1e9, "Gbit/s"), (1e6, "Mbit/s")) if amount.value >= by), (1e3, "kbit/s")
        )
        return f"{_interval(amount, divisor)} {unit}"
    if amount.unit in ("bytes", "ns"):
        return format.interval((amount.value, amount.low, amount.high), amount.unit)
    return _interval(amount, 1.0)


def _interval(amount: Amount, divisor: float) -> str:
    def digits(value: float) -> str:
        whole = amount.unit in ("machines", "subscribers", "ports")
        return f"{value / divisor:,.0f}" if whole else format.number(value / divisor)

    assert amount.value is not None
    if amount.low is None or amount.high is None or amount.low == amount.high:
        return digits(amount.value)
    return f"{digits(amount.value)} [{digits(amount.low)}, {digits(amount.high)}]"


def _granted(wanted: Wanted) -> Iterator[str]:
    yield (
        f"machines and load hosts of {wanted.cores:g} cores like the measured one's, {wanted.memory_gib:g} GiB and "
        f"{wanted.gbit:g} Gbit/s"
    )
    yield f"cores at most {format.share(wanted.busy)} busy"
    yield "subscribers spread evenly over processes, one process a core"
    yield f"{PORTS:,} local ports a client address (Linux's default range)"
