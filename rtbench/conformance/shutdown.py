"""SIGTERM: every subscriber gets the transport's farewell, and the process exits within two seconds."""

from __future__ import annotations

import os
import select
import signal
import time

from rtbench.conformance import EVERY, case
from rtbench.conformance._client import Subscriber
from rtbench.conformance._target import Target
from rtbench.processes.process import STOP_S
from rtbench.processes.remote import RemoteServer

COUNT = 3
SPOILED = ("Traceback (most recent call last)", "never retrieved", "never awaited", "was destroyed but it is pending")


@case("shutdown", transports=EVERY, claims={"shutdown"}, needs={"server"}, quick=True, last=2)
def shutdown(target: Target) -> list[str]:
    """On SIGTERM streams end as their protocol requires, waiting polls are answered, and the process exits in time."""
    assert target.owned is not None
    server = target.owned.server
    problems: list[str] = []
    waiting = target.transport == "long-poll"
    stream = target.quiet if waiting else ""
    crowd = [Subscriber(target, stream=stream, timeout_s=60) for _ in range(COUNT)]
    try:
        for subscriber in crowd:
            if not subscriber.open():
                problems.append(f"a subscriber did not open: {subscriber.why()}")
            if waiting:
                subscriber.ask()
            subscriber.resting = True
        server.kill(signal.SIGTERM)
        began = time.monotonic()
        for number, subscriber in enumerate(crowd, start=1):
            problems += [
                f"subscriber {number} of {COUNT}: {problem}"
                for problem in _farewell(target, subscriber, began + STOP_S)
            ]
        if not _gone(server.pid, began + STOP_S):
            problems.append(f"the process was still running {STOP_S:g} s after SIGTERM")
        elif server.exited() != 0:
            problems.append(f"the process exited with code {server.exited()}")
    finally:
        for subscriber in crowd:
            subscriber.close()
    return problems


def _gone(pid: int, deadline: float) -> bool:
    """Whether a child exits before the deadline, without a second signal."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0])
    finally:
        os.close(descriptor)


def _farewell(target: Target, subscriber: Subscriber, deadline: float) -> list[str]:
    while subscriber.event(deadline - time.monotonic()) is not None:
        pass
    closed = subscriber.closed
    if closed is None:
        return ["its connection was still open when the process should have exited"]
    if target.transport == "websocket" and closed.code not in (1000, 1001):
        return [f"wanted close code 1001 or 1000, {subscriber.why()}"]
    if not closed.clean or (target.transport == "long-poll" and subscriber.answers < 2):
        farewell = {"sse": "a last chunk", "long-poll": "an answer"}.get(target.transport, "an orderly end")
        return [f"wanted {farewell}, {subscriber.why()}"]
    if not subscriber.hang_up(deadline):
        return ["the server sent its farewell but did not close its end of the connection"]
    return []


@case("quiet-log", transports=EVERY, claims={"quiet-log"}, needs={"server"}, quick=True, last=3)
def quiet_log(target: Target) -> list[str]:
    """The server logged no exception during the other cases."""
    assert target.owned is not None
    server = target.owned.server
    assert not isinstance(server, RemoteServer)
    lines = server.log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [number for number, line in enumerate(lines) if any(words in line for words in SPOILED)]
    if not found:
        return []
    # The last line of a traceback, which is not indented, names the exception.
    after = lines[found[0] + 1 :]
    what = next((line for line in after if line and not line.startswith((" ", "\t"))), lines[found[0]])
    return [f"its log has {len(found)} exceptions, the first: {what[:200]}"]
