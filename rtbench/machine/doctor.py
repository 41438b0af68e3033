"""`rtbench doctor`: can this machine measure? Cores, clocks, power, descriptors, ports, programs, each with a remedy.

Invariant: a check only reads; it changes no setting and leaves no process behind. A new check is one function here.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtbench import programs
from rtbench.machine import inner_loop, placement, topology, tuning
from rtbench.machine.topology import listed
from rtbench.scenario.tables import PlaceTable

SO_TIMESTAMPNS = 35
_WANTED_SUBSCRIBERS = 1000
_STAMP_TRIES = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """One check's result. `status`: ok, warn (it measures, less well) or fail (the main job cannot run)."""

    check: str
    status: str
    seen: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for --json."""
        return asdict(self)


def examine() -> list[Condition]:
    """All checks."""
    return [finding for check in _CHECKS for finding in check()]


def _cores() -> Iterator[Condition]:
    cores = len(topology.read().physical())
    if cores >= 2:
        yield Condition("cores", "ok", f"{cores}: one for the server alone")
    else:
        remedy = "give this process two cores (taskset, cpuset)"
        yield Condition("cores", "warn", "1: server and load generator share it", remedy)


def _placed() -> tuple[topology.Topology, placement.Place, dict[str, placement.Caution]]:
    """This machine, the cpus of a trial's processes on it, and the drawbacks of that placement by kind."""
    machine = topology.read()
    place = placement.place(machine, PlaceTable())
    return machine, place, {caution.kind: caution for caution in placement.cautions(place, machine)}


def _placement() -> Iterator[Condition]:
    _, place, cautions = _placed()
    seen = ", ".join(f"{role} on {listed(getattr(place, role))}" for role in placement.ROLES)
    if shared := cautions.get("shared core"):
        yield Condition("placement", "warn", f"{seen}: {shared.message}", shared.remedy)
    else:
        yield Condition("placement", "ok", seen)


def _quota() -> Iterator[Condition]:
    machine, _, cautions = _placed()
    if short := cautions.get("cpu quota"):
        yield Condition("cpu quota", "warn", short.message, short.remedy)
    else:
        yield Condition("cpu quota", "ok", "none" if machine.quota is None else f"{machine.quota:g} cpus")


def _types() -> Iterator[Condition]:
    machine, place, _ = _placed()
    kinds, kind_of = machine.kinds(), {cpu.number: cpu.kind for cpu in machine.cpus}
    seen = "one" if len(kinds) == 1 else f"{' and '.join(map(str, kinds))} cores, the fastest first"
    if len({kind_of[cpu] for cpu in (*place.server, *place.load)}) > 1:
        remedy = "let rtbench use two cores of one type (taskset, cpuset)"
        yield Condition("core types", "warn", f"{seen}: server and load are on two types", remedy)
    else:
        yield Condition("core types", "ok", seen)


def _tuning() -> Iterator[Condition]:
    machine = topology.read()
    for advice in tuning.advise(tuning.look(machine), machine):
        yield Condition(advice.check, "warn" if advice.remedy else "ok", advice.seen, advice.remedy)


def _descriptors() -> Iterator[Condition]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= _WANTED_SUBSCRIBERS + 200
    remedy = "" if enough else f"ulimit -Hn {_WANTED_SUBSCRIBERS + 200} (as root), or fewer subscribers"
    seen = "no hard limit" if hard == resource.RLIM_INFINITY else f"hard limit {hard:,}"
    yield Condition("file descriptors", "ok" if enough else "fail", seen, remedy)


def _ports() -> Iterator[Condition]:
    text = _read("/proc/sys/net/ipv4/ip_local_port_range")
    low, high = (int(part) for part in text.split()) if text else (32768, 60999)
    enough = high - low >= 10_000
    remedy = "" if enough else "sysctl net.ipv4.ip_local_port_range='10000 65000'"
    yield Condition("local ports", "ok" if enough else "warn", f"{high - low:,}", remedy)


def _backlog() -> Iterator[Condition]:
    backlog = int(_read("/proc/sys/net/core/somaxconn") or 0)
    enough = backlog >= 4096
    remedy = "" if enough else "sysctl net.core.somaxconn=4096"
    yield Condition("listen backlog", "ok" if enough else "warn", str(backlog), remedy)


def _stamps() -> Iterator[Condition]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname(), timeout=2) as client:
            client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            server, _ = listener.accept()
            with server:
                stamped = any(_stamp(server, client) for _ in range(_STAMP_TRIES))
    if stamped:
        yield Condition("kernel receive stamps", "ok", "SO_TIMESTAMPNS works for TCP")
    else:
        remedy = "use a kernel with SO_TIMESTAMPNS; this one gives application latency only"
        yield Condition("kernel receive stamps", "warn", "none", remedy)


def _stamp(server: socket.socket, client: socket.socket) -> bool:
    """Whether one more byte is stamped. The kernel starts to stamp a moment after the first socket asks for it."""
    time.sleep(0.005)
    server.send(b"?")
    return bool(client.recvmsg(1, 64)[1])


def _timer() -> Iterator[Condition]:
    lates = []
    for _ in range(50):
        due = time.monotonic_ns() + 1_000_000
        time.sleep(0.001)
        lates.append(time.monotonic_ns() - due)
    late_ms = sorted(lates)[-5] / 1e6
    good = late_ms < 1
    remedy = "" if good else "stop other programs on this machine"
    yield Condition("timers", "ok" if good else "warn", f"a 1 ms sleep ends {late_ms:.2f} ms late at p90", remedy)


def _steal() -> Iterator[Condition]:
    fields = _read("/proc/stat").split("\n", 1)[0].split()[1:]
    total = sum(int(field) for field in fields) or 1
    share = int(fields[7]) / total if len(fields) > 7 else 0.0
    remedy = "" if share <= 0.01 else "measure on a dedicated machine"
    yield Condition("steal since boot", "ok" if share <= 0.01 else "warn", f"{share:.2%}", remedy)


def _load() -> Iterator[Condition]:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = load > 0.5 * cores
    remedy = "stop other programs on this machine" if busy else ""
    yield Condition("other load", "warn" if busy else "ok", f"load average {load:.2f} on {cores} cores", remedy)


def _programs() -> Iterator[Condition]:
    for name, use, package in (("chromium", "looking at pages and reports", "chromium"),):
        found = programs.find(name)
        remedy = "" if found else f"apt-get install {package} (optional: {use})"
        yield Condition(name, "ok" if found else "warn", found or "not found", remedy)


def _inner_loop() -> Iterator[Condition]:
    found = inner_loop.inner_loop()
    if found == "C":
        yield Condition("load generator's inner loop", "ok", "in C")
    elif os.environ.get(inner_loop.SWITCH) == "python":
        yield Condition("load generator's inner loop", "ok", f"in Python, set by {inner_loop.SWITCH}")
    else:
        seen = "in Python: it uses half as much CPU again"
        remedy = "set XDG_CACHE_HOME to a writable folder" if programs.find("cc") else inner_loop.REMEDY
        yield Condition("load generator's inner loop", "warn", seen, f"{remedy} (optional)")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


_CHECKS: tuple[Callable[[], Iterator[Condition]], ...] = (
    _cores,
    _placement,
    _quota,
    _types,
    _tuning,
    _descriptors,
    _ports,
    _backlog,
    _stamps,
    _timer,
    _steal,
    _load,
    _programs,
    _inner_loop,
)
