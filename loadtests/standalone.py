"""rtbench's part of a Locust test of one's own: a load for each user class, their statistics, and the users' numbers.

Invariant: nothing is made before a test starts, so importing the users costs a locustfile nothing. All user classes of
a process share one reactor. Workers get interleaved numbers from the master: worker 0 of 3 has subscribers 0, 3, 6, ….
Made by `users.py` on `init`, outside of trials.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from rtbench.loadtests import web_tab
from rtbench.loadtests.load import Load
from rtbench.loadtests.locust_stats import Statistics
from rtbench.loadtests.subscriber import Endpoint
from rtbench.messages.load import LoadSettings
from rtbench.transports.catalogue import maker

HEAR_NS = 10_000_000
"""How often what was read is decoded where a user wants each event."""
_PLACE, _SUBSCRIBED = "rtbench-place", "rtbench_subscribed"
"""Of Locust's messages: the master's to a worker, and the key in a worker's report."""


class Standalone:
    """What the user classes of one Locust process share outside of trials."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._loads: list[Load] = []
        self._of: dict[type, Load] = {}
        self._hosts: dict[int, str] = {}
        self._first, self._step = 0, 1
        self._statistics: Statistics | None = None
        self._heard = self._watched = False
        self._workers: dict[str, dict[str, int]] = {}
        events, runner = environment.events, environment.runner
        events.quitting.add_listener(self._finish)  # type: ignore[no-untyped-call]
        if isinstance(runner, WorkerRunner):
            runner.register_message(_PLACE, self._take_place)
            events.report_to_master.add_listener(self._report)  # type: ignore[no-untyped-call]
        if isinstance(runner, MasterRunner):
            events.worker_report.add_listener(self._reported)  # type: ignore[no-untyped-call]
        if environment.web_ui is not None:
            web_tab.add(environment, self.subscribed)

    # The loads

    def load(self, user: type, transport: str, name: str, settings: LoadSettings) -> Load:
        """The load of a user class; a new one when its settings changed between two tests. Raises UserError."""
        load = self._of.get(user)
        if load is None or load.settings != settings:
            maker(transport, settings.codec)
            load = self._of[user] = Load(settings, self._loads[-1] if self._loads else None)
            load.transport, load.name = transport, name
            load.first, load.step = self._first, self._step
            self._loads.append(load)
        return load

    def target(self, load: Load, host: str) -> Endpoint:
        """The address that a load's subscribers connect to. Raises UserError."""
        if load.target is None or self._hosts.get(load.origin) != host:
            load.target, self._hosts[load.origin] = Endpoint.of(host, load.settings.tls_ca), host
            if load.target.tls is not None and not self._watched:
                self._watched = True  # each turn looks at the connections of all loads
                load.watch()
        return load.target

    def start(self, alone: bool) -> None:
        """A test starts: on a master, send every worker its place; elsewhere, begin to feed Locust's statistics.

        `alone`: no user of this test does anything but listen, so the reactor need not make way for others.
        """
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            clients = sorted(runner.clients.ready, key=lambda client: client.id)
            for index, client in enumerate(clients):
                runner.send_message(_PLACE, {"first": index, "step": len(clients)}, client.id)
        elif self._loads:
            self._loads[0].reactor.shares = not alone
            if self._statistics is None:
                self._statistics = Statistics(self._loads, self._environment, keep=bool(self._record))

    def hear(self) -> None:
        """From now on decode what is read every `HEAR_NS`: some user takes each event."""
        if not self._heard:
            self._heard = True
            self._decode()

    def _decode(self) -> None:
        first = self._loads[0]
        first.recorder.decode()
        first.reactor.at(time.monotonic_ns() + HEAR_NS, self._decode)

    # What Locust tells

    @property
    def _record(self) -> str:
        return getattr(self._environment.parsed_options, "rtbench_record", None) or ""

    def _finish(self, **_: Any) -> None:
        if self._statistics is None:
            return
        self._statistics.update()
        if self._record:
            folder = Path(self._record)
            folder.mkdir(parents=True, exist_ok=True)
            self._loads[0].recorder.write(folder, f"-{os.getpid()}", polling=True)

    def _take_place(self, msg: Any, **_: Any) -> None:
        self._first, self._step = msg.data["first"], msg.data["step"]
        for load in self._loads:
            load.first, load.step = self._first, self._step

    # How many are subscribed

    def subscribed(self) -> Mapping[str, int]:
        """The number of subscribed subscribers by the name of their load, of this process and its workers."""
        found: dict[str, int] = {}
        runner = self._environment.runner
        there = runner.clients if isinstance(runner, MasterRunner) else {}
        for counts in (self._here(), *(counts for worker, counts in self._workers.items() if worker in there)):
            for name, count in counts.items():
                found[name] = found.get(name, 0) + count
        return found

    def _here(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for load in self._loads:
            found[load.name] = found.get(load.name, 0) + load.subscribed_count
        return found

    def _report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        data[_SUBSCRIBED] = self._here()

    def _reported(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        self._workers[client_id] = data.get(_SUBSCRIBED, {})
