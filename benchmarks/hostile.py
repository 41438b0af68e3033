"""What hostile clients of a server get, what they cost it, and what its other subscribers notice.

    .venv/bin/python benchmarks/hostile.py [SUBJECT ...] [--subscribers 300] [--seconds 5] [--rate 500] [--attacks A,B]
                                    [--set KEY=VALUE ...]

Well-behaved subscribers take five messages a second from a server in the state in which `rtbench` measures it, with
smaller bounds (`BOUNDS`), so that an attack reaches them within its seconds. Each attack comes from another address of
this machine (127.0.0.2), `--rate` attempts a second. Between two attacks the server has time to recover.

Prints for each attack: attempts, what they got (status, close code, or how the connection ended), the server's resident
memory before, at its peak and after, the CPU that it used (of one core), the delivery latency of the other subscribers
(when their kernel had a message less when it was due, R1 and R2) undisturbed and under attack, and what they lost.
p99: over the subscribers, in the median message (R8); max: of all deliveries. Then what the server says that it
refused. Exit code 1: a subscriber lost something, or memory at a peak was more than `MOST_MB` above what it was before.
A latency counts only on a machine that does nothing else: attackers, subscribers and server share its cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import selectors
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from rtbench.campaign.campaign import stay_on
from rtbench.campaign.preflight import prepare
from rtbench.conformance._client import fetch, upgrade
from rtbench.conformance._target import Target
from rtbench.errors import RtbenchError
from rtbench.machine.placement import Place
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import Server, publish_into, server_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import ChatTable, ServerTable, WorkloadTable
from rtbench.subjects import Subject
from rtbench.subjects.registry import Registry
from rtbench.transports import Message
from rtbench.transports.http import request_head

SUBJECTS = ("sse-aiohttp", "websocket-aiohttp")
BOUNDS = ServerTable(
    connections=4000, connections_by_peer=1000, head_s=2.0, publishes_hz=100.0, requests_hz=250.0, buffer_bytes=65536
)
ATTACKER = "127.0.0.2"
MOST_MB = 64
MOST_AT_ONCE = 3000
SO_TIMESTAMPNS, STAMP = 35, struct.Struct("qq")
RAMP_HZ = BOUNDS.requests_hz / 2
WARM_UP_S = 5.0
"""20 messages and more, as TCP needs them (R14)."""
CALM_S, RECOVERY_S, PATIENCE_S = 5.0, 30.0, 60.0


# Subscribers that behave: one epoll loop in a process of its own


def subscribe(target: Target, count: int, pipe: Connection) -> None:
    """Subscribe `count` times, and keep (id, when its kernel had it) of each, until `pipe` asks for it."""
    links: dict[socket.socket, tuple[int, Any]] = {}
    chosen = selectors.EpollSelector()
    chosen.register(pipe, selectors.EVENT_READ)
    rows: list[tuple[int, int, int]] = []
    ended = 0
    for number in range(count):
        codec = target.codec(target.path("fanout"), None, {}, 1.0, "fanout")
        link = socket.create_connection((target.host, target.port), PATIENCE_S)
        time.sleep(1 / RAMP_HZ)
        link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        link.setblocking(False)
        link.sendall(codec.open())
        links[link] = number, codec
        chosen.register(link, selectors.EVENT_READ)
    pipe.send("subscribed")
    while True:
        for key, _ in chosen.select():
            if key.fileobj is pipe:
                pipe.send((rows, ended))
                return
            assert isinstance(key.fileobj, socket.socket)
            number, codec = links[key.fileobj]
            try:
                data, stamps, _, _ = key.fileobj.recvmsg(65536, 64)
            except OSError:
                data, stamps = b"", []
            seconds, rest_ns = STAMP.unpack_from(stamps[0][2]) if stamps else (0, time.time_ns())
            now_ns = seconds * 1_000_000_000 + rest_ns
            if not data:
                ended += 1
                chosen.unregister(key.fileobj)
                continue
            rows += [(event.id, now_ns, number) for event in codec.feed(data) if isinstance(event, Message)]


# Attacks: what each attempt sends, and whether it keeps its connection


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of hostile client: what an attempt sends. It keeps its connection as long as it is let."""

    name: str
    send: Callable[[Target, int], bytes]
    sockets: bool = False
    """Only for a WebSocket's server; it sends after the upgrade."""
    reads: bool = True


def _request(target: Target, path: str, method: str = "GET", **fields: str) -> bytes:
    """A request by hand: `request_head` refuses to write a wrong one."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _subscription(target: Target, path: str) -> bytes:
    return request_head("GET", path, target.authority, upgrade() if target.transport == "websocket" else {})


def _wrong(target: Target, number: int) -> bytes:
    path = target.path("fanout")
    paths = (
        f"{path}?since=-1", f"{path}?since={'9' * 400}", f"{path}?timeout=1e308", f"{path}?channel=99999999999",
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/pages/..%2f..%2fsecret", "/\x7f", "*",
    )  # fmt: skip
    methods = ("DELETE", "PUT", "TRACE", "CONNECT", "PATCH", "BREW")
    choice = number % (len(paths) + len(methods))
    if choice < len(paths):
        return _request(target, paths[choice], Connection="close")
    return _request(target, path, methods[choice - len(paths)], Connection="close")


def _frame(first: int, payload: bytes, mask: bool = True) -> bytes:
    size, bit = len(payload), 0x80 if mask else 0
    length = bytes((bit | size,)) if size < 126 else bytes((bit | 127,)) + size.to_bytes(8, "big")
    return bytes((first,)) + length + (bytes(4) if mask else b"") + payload


def _post(target: Target, _: int) -> bytes:
    body = b'{"type":"chat","user":"x","message":"flood"}'
    return _request(target, "/send/chat", "POST", Content_Length=str(len(body)), Connection="close") + body


def _pipelined(target: Target, _: int) -> bytes:
    return _request(target, "/plan/fanout") * 200 + _request(target, "/plan/fanout", Connection="close")


ATTACKS = (
    Attack("half heads", lambda _t, _n: b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "),
    Attack("connection flood", lambda t, _n: _subscription(t, t.path("fanout"))),
    Attack("huge heads", lambda t, _n: _request(t, "/", X_Long="x" * 100_000)),
    Attack("pipelined requests", _pipelined),
    Attack("wrong requests", _wrong),
    Attack("posts", _post),
    Attack("stopped readers", lambda t, _n: _subscription(t, t.path("fanout") + "?since=0"), reads=False),
    Attack("unmasked frames", lambda _t, _n: _frame(0x81, b"{}", mask=False), sockets=True),
    Attack("oversized frames", lambda _t, _n: _frame(0x81, b"x" * 200_000), sockets=True),
    Attack("fragments", lambda _t, _n: _frame(0x01, b"x" * 100) + _frame(0x00, b"x" * 1000) * 100, sockets=True),
    Attack("pings", lambda _t, _n: _frame(0x89, b"x" * 100) * 1000, sockets=True),
)


class Attempt:
    """One connection of an attack. `after`: what it sends once its WebSocket is open."""

    def __init__(self, target: Target, left: bytes, after: bytes, reads: bool) -> None:
        self.link = socket.socket()
        self.left, self.after, self.reads = left, after, reads
        self.got = bytearray()
        if not reads:
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.link.bind((ATTACKER, 0))
        self.link.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.link.connect((target.host, target.port))

    def go_on(self, mask: int) -> str:
        """Read and write what is possible. Returns how the connection ended; "": it did not."""
        try:
            if mask & selectors.EVENT_READ and self.reads:
                if not (data := self.link.recv(65536)):
                    return "closed"
                self.got += data
                del self.got[64:-2048]  # the status and the last frames
                if self.after and self.got.startswith(b"HTTP/1.1 101"):
                    self.left, self.after = self.after, b""
            if self.left:
                self.left = self.left[self.link.send(self.left) :]
        except BlockingIOError:
            return ""
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
        return ""

    @property
    def events(self) -> int:
        """What it waits for."""
        return (selectors.EVENT_READ if self.reads else 0) | (selectors.EVENT_WRITE if self.left else 0)


def attack(target: Target, what: Attack, rate: float, until_ns: int) -> tuple[int, Counter[str]]:
    """Attack until then. Returns the attempts and what came of them."""
    chosen = selectors.EpollSelector()
    attempts: set[Attempt] = set()
    outcomes: Counter[str] = Counter()
    made, began_ns = 0, time.monotonic_ns()
    while (now_ns := time.monotonic_ns()) < until_ns:
        while made < rate * (now_ns - began_ns) / 1e9 and len(attempts) < MOST_AT_ONCE:
            made += 1
            sent = what.send(target, made)
            first = _subscription(target, target.path("fanout")) if what.sockets else sent
            one = Attempt(target, first, sent if what.sockets else b"", what.reads)
            attempts.add(one)
            chosen.register(one.link, one.events, one)
        for key, mask in chosen.select(0.005):
            one = key.data
            if how := one.go_on(mask):
                chosen.unregister(one.link)
                one.link.close()
                attempts.discard(one)
                outcomes[_outcome(bytes(one.got)) or how] += 1
            elif not one.events:
                chosen.unregister(one.link)  # it never reads
            elif one.events != key.events:
                chosen.modify(one.link, one.events, one)
    for one in attempts:
        outcomes[_outcome(bytes(one.got)) or "held"] += 1
        one.link.close()
    return made, outcomes


def _outcome(got: bytes) -> str:
    """The status of an answer, or the close code of a WebSocket."""
    if not got.startswith(b"HTTP/"):
        return ""
    status = got[9:12].decode("ascii", "replace")
    at = got.rfind(b"\x88\x02") if status == "101" else -1
    return f"close {int.from_bytes(got[at + 2 : at + 4], 'big')}" if at > 0 else status


# One subject


@dataclass(frozen=True, slots=True)
class Phase:
    """One row: what happened between two instants (Unix time)."""

    name: str
    start_ns: int
    end_ns: int
    attempts: int
    outcomes: Counter[str]
    memory: tuple[int, int, int]
    cpu_ns: int
    """The server's, from start to end."""


def _watched(server: Server, until: Callable[[], bool]) -> int:
    peak = server.resident_bytes()
    while not until():
        peak = max(peak, server.resident_bytes())
        time.sleep(0.05)
    return peak


def _recover(target: Target) -> None:
    """Wait until a new client gets an answer: what an attack left in the queue of connections comes first."""
    fetch(target, "/plan/fanout?since=999999999", headers={"Connection": "close"}, within_s=RECOVERY_S)
    time.sleep(2.0)


def _phase(server: Server, target: Target, what: Attack | None, rate: float, seconds: float) -> Phase:
    before, start_ns, cpu_ns = server.resident_bytes(), time.time_ns(), server.cpu_ns()
    ours, theirs = multiprocessing.Pipe()
    until_ns = time.monotonic_ns() + int(seconds * 1e9)

    def run() -> None:
        theirs.send(attack(target, what, rate, until_ns) if what else (0, Counter()))

    worker = multiprocessing.get_context("fork").Process(target=run, daemon=True)
    if what is not None:
        worker.start()
        peak = _watched(server, lambda: ours.poll() or not worker.is_alive())
        made, outcomes = ours.recv()
        worker.join()
    else:
        peak = _watched(server, lambda: time.monotonic_ns() >= until_ns)
        made, outcomes = 0, Counter()
    end_ns, cpu_ns = time.time_ns(), server.cpu_ns() - cpu_ns
    _recover(target)
    memory = before, peak, server.resident_bytes()
    return Phase(what.name if what else "(undisturbed)", start_ns, end_ns, made, outcomes, memory, cpu_ns)


def run(
    subject: Subject,
    place: Place,
    attacks: Sequence[Attack],
    bounds: ServerTable,
    subscribers: int,
    rate: float,
    seconds: float,
) -> bool:
    """Attack one subject and print its rows. Returns whether all was well."""
    scenario = Scenario(
        subjects=(subject.name,), subscribers=subscribers, stream=("fanout", "chat"), server=bounds,
        workload=WorkloadTable(rate_hz=5.0), chat=ChatTable(senders=1),
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtbench-")))
        workload = scenario.make_workload()
        publisher = stack.enter_context(
            PublisherProcess(workload, scenario, folder, place.publisher, folder / "publisher.log")
        )
        publisher.ready()
        server = stack.enter_context(
            server_of(subject, scenario, publisher.socket_path, folder, place.server, folder / "server.log")
        )
        publish_into(publisher, subject, server)
        publisher.play(["fanout", "chat"])
        host, _, port = server.ready().removeprefix("http://").rpartition(":")
        target = Target(host, int(port), subject.transport, "fanout", workload=workload, subject=subject)
        ours, theirs = multiprocessing.Pipe()
        load = multiprocessing.get_context("fork").Process(
            target=subscribe, args=(target, subscribers, theirs), daemon=True
        )
        load.start()
        stack.callback(load.kill)
        if not ours.poll(PATIENCE_S) or ours.recv() != "subscribed":
            raise RtbenchError(f"{subject.name}: not all subscribed", "try fewer: --subscribers 100")
        time.sleep(WARM_UP_S)
        phases = [_phase(server, target, None, 0, CALM_S)]
        phases += [_phase(server, target, what, rate, seconds) for what in attacks]
        due = _plan(target)
        ours.send("enough")
        rows, ended = ours.recv()
        load.join(PATIENCE_S)
        server.stop()
        return _print(subject, phases, np.asarray(rows, dtype=np.int64), due, subscribers, ended, server.refused)


def _plan(target: Target) -> dict[int, int]:
    return dict(fetch(target, "/plan/fanout").json()["ticks"])


def _print(
    subject: Subject,
    phases: Sequence[Phase],
    rows: np.ndarray[Any, Any],
    due: dict[int, int],
    subscribers: int,
    ended: int,
    refused: dict[str, int],
) -> bool:
    print(f"\n{subject.name}: {subscribers} subscribers, 5 messages a second")
    head = ("attack", "attempts", "what they got", "memory MB", "server CPU", "p99 ms", "max ms", "lost")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    fine, received = ended == 0, Counter(rows[:, 0].tolist())
    latency_ns = rows[:, 1] - np.asarray([due.get(number, 0) for number in rows[:, 0].tolist()])
    for phase in phases:
        ids = {number for number, at_ns in due.items() if phase.start_ns <= at_ns < phase.end_ns}
        ticks = [latency_ns[rows[:, 0] == number] / 1e6 for number in ids if received[number]]
        # Copies of one message are not independent (R8): a percentile within each, summarised over them.
        p99 = np.median([np.percentile(tick, 99) for tick in ticks]) if ticks else float("nan")
        most = max((tick.max() for tick in ticks), default=float("nan"))
        lost = sum(subscribers - received[number] for number in ids)
        got = ", ".join(f"{what} × {count:,}" for what, count in phase.outcomes.most_common(6)) or "–"
        memory = " → ".join(f"{size / 1e6:.0f}" for size in phase.memory)
        fine = fine and not lost and phase.memory[1] - phase.memory[0] < MOST_MB * 1e6
        busy = phase.cpu_ns / (phase.end_ns - phase.start_ns)
        figures = f"{memory} | {busy:.0%} | {p99:.1f} | {most:.1f} | {lost}"
        print(f"| {phase.name} | {phase.attempts:,} | {got} | {figures} |")
    print(f"refused, by the server's count: {json.dumps(refused)}; subscribers that were cut off: {ended}", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", default=SUBJECTS)
    parser.add_argument("--subscribers", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=500.0, help="attempts a second")
    parser.add_argument("--attacks", default="", help=f"some of: {', '.join(each.name for each in ATTACKS)}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another bound of [server]")
    asked = parser.parse_args()
    other = {key: json.loads(value) for key, _, value in (each.partition("=") for each in asked.set)}
    names = [name.strip() for name in asked.attacks.split(",") if name.strip()]
    prepare(Scenario(subscribers=asked.subscribers + MOST_AT_ONCE))
    place, fine = Place.here(), True
    stay_on(place)
    for name in asked.subjects:
        try:
            subject = Registry().find(name)
            subject.check()
        except RtbenchError as error:
            print(f"rtbench: {error}", file=sys.stderr)
            return 2
        attacks = [
            each for each in ATTACKS
            if (not names or each.name in names) and (not each.sockets or subject.transport == "websocket")
        ]  # fmt: skip
        fine = (
            run(subject, place, attacks, replace(BOUNDS, **other), asked.subscribers, asked.rate, asked.seconds)
            and fine
        )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
