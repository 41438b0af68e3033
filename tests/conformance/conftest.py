"""A subject on a thread, its hub fed by hand, so that it can be broken on purpose."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from rtbench.messages.feed import Hello, PlayedWorkload
from rtbench.messages.server import Limits, ServerOptions
from rtbench.scenario.model import Scenario
from rtbench.servers.kit import feed
from rtbench.servers.kit.app import Server
from rtbench.servers.kit.channel import Encoder
from rtbench.servers.kit.hub import Hub
from rtbench.subjects import Subject
from rtbench.subjects.registry import find
from rtbench.workload import Workload

LIMITS = Limits(ring_messages=200, ring_bytes=2**26, buffer_bytes=32 * 1024, heartbeat_s=0.2)
ALMOST_NS = 800_000_000
"""A stream that fails for good was played up to here after its last advice: the failure follows by 1.5 s."""
PATIENCE_S = 60
Sabotage = Callable[[Hub], None]


class _Local(Server):
    """A server without signals; its hub is broken before it hears of anything, then filled and fed by timetable."""

    def __init__(self, subject: Subject, options: ServerOptions, workload: Workload, sabotage: Sabotage) -> None:
        super().__init__(subject, options)
        self.workload = workload
        self.sabotage = sabotage
        self.listening = threading.Event()

    def hub(self, encoder: Encoder) -> Hub:
        hub = self._hub = Hub(encoder, self.options.limits)
        self.sabotage(hub)
        hub.hello(Hello("e", "b", PlayedWorkload.of(self.workload)))
        self._tasks.append(asyncio.create_task(hub.beat()))
        now = time.monotonic_ns()
        for channel in self.workload.channels():
            script = self.workload.script_of(channel)
            stream = self.workload.stream_of(channel.number)
            if stream.finite:
                script = iter(whole := list(script))
                # What fails for good does so while somebody looks.
                past = list(islice(script, len(whole) - (0 if stream.from_start else 1)))
            else:
                past = list(islice(script, 1000 if channel.stream == "fanout" else 30))
            start_ns = now - past[-1].due_ns - (0 if stream.from_start else ALMOST_NS)
            for tick in past:
                hub.publish(feed.pack(channel.number, tick.seq, start_ns + tick.due_ns, tick.payload))
            self._tasks.append(asyncio.create_task(_play(hub, script, start_ns)))
        return hub

    async def filled(self) -> None:
        """It is filled by `hub`."""

    async def ready(self) -> None:
        self.listening.set()

    def leave(self) -> None:
        """What `_stop` does, without ending the process."""
        for task in self._tasks:
            task.cancel()
        assert self._hub is not None
        self._hub.stop()
        self.stopped.set()


async def _play(hub: Hub, ticks: Any, start_ns: int) -> None:
    for tick in ticks:
        await asyncio.sleep(max(0.0, (start_ns + tick.due_ns - time.monotonic_ns()) / 1e9))
        hub.publish(feed.pack(tick.channel, tick.seq, start_ns + tick.due_ns, tick.payload))


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(subject, scenario, sabotage)`: the URL of that subject with its hub broken by `sabotage`."""
    running: list[tuple[_Local, asyncio.AbstractEventLoop, threading.Thread]] = []

    def start(subject: str, scenario: Scenario, sabotage: Sabotage = lambda _: None) -> str:
        loop = asyncio.new_event_loop()
        made: list[_Local] = []
        created = threading.Event()

        async def main() -> None:
            options = ServerOptions("127.0.0.1", 0, "", LIMITS, "asyncio", 1.0)
            server = _Local(find(subject), options, scenario.make_workload(), sabotage)
            made.append(server)
            created.set()
            await server.subject.serve(server)

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(main())

        thread = threading.Thread(target=run)
        thread.start()
        assert created.wait(PATIENCE_S)
        server = made[0]
        assert server.listening.wait(PATIENCE_S)
        running.append((server, loop, thread))
        host, port = server.socket.getsockname()
        return f"http://{host}:{port}"

    yield start
    for server, loop, thread in running:
        loop.call_soon_threadsafe(server.leave)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
