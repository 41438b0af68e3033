"""The most requests a second that each stack answers on one core, and what one costs: what a poll costs there at least.

    .venv/bin/python benchmarks/request_ceiling.py [STACK ...] [--blocks 5] [--seconds 4] [--connections 64]

The request is the short poll of a client that has everything: `GET` of the subject's own path with the validators of
the answer before it, answered 304 without a body over kept-alive connections. Every stack of the matrix answers it;
204 to a long poll whose time is up is not: Nchan has no such parameter. Nothing is published. Without STACK: every
stack with a short-polling subject that can run here; one that cannot is left out, with the command that changes that.

Each block starts each stack's server anew, in a shuffled order, on the server's core. One epoll loop in C
(request_loop.c, built with cc) on the other core has one request under way on each connection, so the server is never
idle. Prints requests a second and server CPU of a request (whole process tree, user and system; on loopback the
client's receive path is in it, R23), then both as ratios to the first stack with their t-intervals over blocks (R8).
Where the server was busy for less than 95 % of the time, the client or another process was the bottleneck (R13): then
that line says "no ceiling".
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from rtbench.analysis.statistics import compare
from rtbench.campaign.campaign import stay_on
from rtbench.campaign.preflight import prepare
from rtbench.errors import RtbenchError, SubjectError, UserError, one_of
from rtbench.machine.placement import Place
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import publish_into, server_of
from rtbench.scenario import loading
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.subjects.bounded import Response, response
from rtbench.subjects.registry import catalogue
from rtbench.transports.http import request_head

HERE = Path(__file__).parent
TRANSPORT, STATUS = "short-poll", 304
WARM_S, PATIENCE_S = 1.0, 60.0
BUSY = 0.95
"""A server that is less busy than this was waiting: for its client, or for its core."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What one run gave: requests a second, server CPU of one, and how busy server and client were (shares)."""

    hz: float
    request_ns: float
    server_busy: float
    client_busy: float


def subjects(stacks: list[str]) -> dict[str, Subject]:
    """The short-polling subject of each stack. Raises UserError for an unknown stack, or when none can run here."""
    known = {one.stack: one for one in catalogue().values() if one.transport == TRANSPORT}
    for stack in stacks:
        if stack not in known:
            raise UserError(f"no stack called {stack!r} has a short poll", one_of(stack, known))
    found = {}
    for stack in stacks or known:
        what, remedy = known[stack].missing()
        if what:
            print(f"{stack} left out: {what} is missing; {remedy}")
        else:
            found[stack] = known[stack]
    if not found:
        raise UserError("no stack can run here", "see `rtbench list subjects`")
    return found


def known_request(url: str, path: str, fields: dict[str, str]) -> bytes:
    """The request of a client that has everything: the answer to it is STATUS. Raises SubjectError for any other."""
    parts = urlsplit(url)
    validators: dict[str, str] = {}
    answer: Response | None = None
    for _ in range(2):
        text = request_head("GET", path, parts.netloc, {**fields, **validators})
        answer = ask(parts.hostname or "", parts.port or 80, text)
        if answer.status == STATUS:
            return text
        names = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        validators = {ours: answer.headers[theirs] for ours, theirs in names if theirs in answer.headers}
    raise SubjectError(f"expected {STATUS} to a poll with nothing new, not {answer.status if answer else 'nothing'}")


def ask(host: str, port: int, text: bytes) -> Response:
    """The answer on a connection of its own."""
    with socket.create_connection((host, port), PATIENCE_S) as link:
        link.sendall(text)
        answer = response(link, time.monotonic() + PATIENCE_S)
    if answer is None:
        raise SubjectError("the server closed the connection without an answer")
    return answer


def measured(
    subject: Subject, settings: Scenario, binary: Path, place: Place, seconds: float, connections: int
) -> Ceiling:
    """One fresh server under the C loop."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publisher = stack.enter_context(
            PublisherProcess(settings.make_workload(), settings, folder, place.publisher, folder / "publisher.log")
        )
        publisher.ready()
        server = server_of(subject, settings, publisher.socket_path, folder, place.server, folder / "server.log")
        stack.callback(server.stop)
        publish_into(publisher, subject, server)
        url = server.ready()
        path = subject.template.format(stream="fanout", channel=0, subscriber=0, query="fanout")
        request = known_request(url, path, dict(subject.headers))
        command = ["taskset", "-c", ",".join(map(str, place.load)), str(binary), str(connections)]
        command += [str(urlsplit(url).port), str(STATUS), str(WARM_S), str(seconds)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            assert client.stdin is not None and client.stdout is not None and client.stderr is not None
            client.stdin.write(request)
            client.stdin.close()
            client.stdout.readline()
            before = server.cpu_ns()
            line = client.stdout.readline()
            used = server.cpu_ns() - before
            if client.wait(PATIENCE_S):
                raise SubjectError(f"{subject.name}: {client.stderr.read().decode(errors='replace').strip()}")
        answered, client_ns, wall_ns = (int(text) for text in line.split())
        return Ceiling(answered / wall_ns * 1e9, used / answered, used / wall_ns, client_ns / wall_ns)


def interval(logs: list[float]) -> str:
    """The mean ratio of log-ratios with its t-interval: `1.32x [1.25, 1.40]`."""
    one = compare.pair("", "", "", np.array(logs), None)
    return f"{one.ratio:.3g}x" + ("" if one.low is None else f" [{one.low:.3g}, {one.high:.3g}]")


def results(found: dict[str, list[Ceiling]]) -> list[str]:
    """The measurements as lines."""
    lines = []
    first = next(iter(found))
    for stack, rows in found.items():
        hz, request_us = (float(np.exp(np.mean(np.log(values)))) for values in _columns(rows))
        busy, client = (float(np.mean([getattr(row, name) for row in rows])) for name in ("server_busy", "client_busy"))
        lines.append(
            f"{stack}: {hz:,.0f} requests/s, {request_us:.2f} us of server CPU each; server {busy:.0%}, client "
            f"{client:.0%} of its core"
        )
        if busy < BUSY:
            lines.append(f"  no ceiling: the server was idle at times; {stack} can do more than its client asked for")
    for stack, rows in found.items():
        if stack == first:
            continue
        pairs = list(zip(rows, found[first], strict=True))
        rate = interval([float(np.log(mine.hz / other.hz)) for mine, other in pairs])
        each = interval([float(np.log(mine.request_ns / other.request_ns)) for mine, other in pairs])
        lines.append(f"{stack} beside {first}: requests/s {rate}, CPU of a request {each}, {len(rows)} blocks")
    return lines


def _columns(rows: list[Ceiling]) -> tuple[list[float], list[float]]:
    return [row.hz for row in rows], [row.request_ns / 1e3 for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stacks", nargs="*", metavar="STACK")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    asked = parser.parse_args()
    chosen = subjects(asked.stacks)
    compiler = shutil.which("cc")
    if compiler is None:
        raise UserError("no C compiler", "apt-get install gcc")
    names = [subject.name for subject in chosen.values()]
    settings = loading.load(
        "ci", (f"subscribers={asked.connections}", "server.requests_hz=10000000"), {"subjects": names}
    )
    prepare(settings)
    place = Place.here()
    stay_on(place)
    seen: dict[str, list[Ceiling]] = {stack: [] for stack in chosen}
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "request_loop"
        subprocess.run([compiler, "-O2", str(HERE / "request_loop.c"), "-o", str(binary)], check=True)
        for block in range(asked.blocks):
            for stack in draw.sample(list(seen), len(seen)):
                row = measured(chosen[stack], settings, binary, place, asked.seconds, asked.connections)
                seen[stack].append(row)
            print(f"block {block + 1}: " + ", ".join(f"{stack} {rows[-1].hz:,.0f}/s" for stack, rows in seen.items()))
    print("\n".join(results(seen)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtbenchError as error:
        sys.stderr.write(f"request_ceiling: {error}\n")
        sys.exit(2)
