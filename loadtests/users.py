"""The Locust users: SSEUser, WebSocketUser, ShortPollUser, LongPollUser.

    locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 SSEUser

A user subscribes and waits; its socket belongs to the process's reactor. When the connection ends it waits its
`wait_time` and subscribes again with its cursor. Import the classes into a locustfile of your own to mix them with
your users, and call `rtbench.loadtests.users.prepare` on `init` as the shipped locustfile does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from gevent.event import Event
from locust import User, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from rtbench.errors import UserError
from rtbench.loadtests.load import Load
from rtbench.loadtests.locust_stats import Statistics
from rtbench.loadtests.subscriber import Endpoint, Subscriber
from rtbench.loadtests.trial import TrialControl
from rtbench.machine import inner_loop
from rtbench.messages.load import START, LoadSettings
from rtbench.transports.catalogue import catalogue

_state: dict[str, Any] = {}


class Subscription(User):
    """A subscriber of one transport; the concrete classes name it."""

    abstract = True
    transport = ""
    subscriber: Subscriber

    def wait_time(self) -> float:
        """Seconds until it subscribes again (`loadtests/reconnect_policy.py`)."""
        return self.subscriber.again_s()

    def on_start(self) -> None:
        """Take a number."""
        self.subscriber = _load().subscriber(self.transport)

    def on_stop(self) -> None:
        """Give the number back."""
        _load().release(self.subscriber)

    @task
    def subscribe(self) -> None:
        """Subscribe, and wait until the connection ends."""
        load, trial = _load(), _state.get("trial")
        load.transport = self.transport
        if trial is not None:
            trial.let_go(load.number(self.subscriber))
        elif load.target is None:
            load.target = Endpoint.of(self.host or "")
        assert load.target is not None
        self.subscriber.subscribe(load.target, load.connect_at(self.subscriber))
        if self.subscriber.over_for_good:
            Event().wait()


class SSEUser(Subscription):
    """Server-Sent Events: one GET, events as they come."""

    transport = "sse"


class WebSocketUser(Subscription):
    """WebSocket: one upgrade, text frames as they come, pings answered."""

    transport = "websocket"


class ShortPollUser(Subscription):
    """Short polling: a GET every `--poll-interval` seconds on an absolute, phase-spread plan, with ETag."""

    transport = "short-poll"


class LongPollUser(Subscription):
    """Long polling: a GET that waits, repeated at once with its cursor."""

    transport = "long-poll"


def _others() -> dict[str, type[Subscription]]:
    """User classes for the transports without one above."""
    named = {user.transport for user in (SSEUser, WebSocketUser, ShortPollUser, LongPollUser)}
    return {
        one.user: type(
            one.user, (Subscription,), {"transport": one.name, "__doc__": f"{one.title}.", "__module__": __name__}
        )
        for one in catalogue().values()
        if one.name not in named
    }


OTHERS = _others()
"""The shipped locustfile adds these to the four."""


def _load() -> Load:
    load: Load = _state["load"]
    return load


def arguments(parser: Any) -> None:
    """The command-line options of the shipped locustfile. (Locust's --help is printed before it loads any.)"""
    group = parser.add_argument_group("rtbench")
    group.add_argument(
        "--stream", default="fanout", help="streams to subscribe to, separated by commas (default fanout)"
    )
    group.add_argument(
        "--channels", choices=["broadcast", "unicast"], default="broadcast", help="one channel for all, or one each"
    )
    group.add_argument("--poll-interval", type=float, default=1.0, help="seconds between short polls (default 1)")
    group.add_argument("--long-timeout", type=float, default=25.0, help="seconds a long poll waits (default 25)")
    group.add_argument("--record", default="", metavar="FOLDER", help="write every delivery to Parquet files in FOLDER")


def prepare(environment: Environment) -> None:
    """Make this process's load: in a trial the campaign steers it, otherwise Locust's options do."""
    options = environment.parsed_options
    trial = os.environ.get("RTBENCH_TRIAL")
    if trial:
        start = START(trial)
        load = _state["load"] = Load(start.settings)
        load.first = start.first
        _state["trial"] = TrialControl(load, start.control)
        return
    assert options is not None
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        streams = tuple(options.stream.split(","))
        load = _state["load"] = Load(
            LoadSettings(
                streams,
                options.channels == "unicast",
                options.poll_interval,
                options.long_timeout,
                library=str(inner_loop.library() or ""),
            )
        )
    except UserError as error:
        sys.stderr.write(f"rtbench: {error}\n")
        sys.exit(2)
    statistics = Statistics(load, environment, keep=bool(options.record))
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("rtbench-place", _take_place)

    @events.quitting.add_listener  # type: ignore[untyped-decorator]
    def finish(**_: Any) -> None:
        statistics.update()
        if options.record:
            folder = Path(options.record)
            folder.mkdir(parents=True, exist_ok=True)
            load.recorder.write(folder, f"-{os.getpid()}", polling=True)


def place_workers(environment: Environment) -> None:
    """On the master, when a test starts: send every worker the numbers of its subscribers."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        clients = sorted(runner.clients.ready, key=lambda client: client.id)
        for index, client in enumerate(clients):
            runner.send_message("rtbench-place", {"first": index, "step": len(clients)}, client.id)


def _take_place(msg: Any, **_: Any) -> None:
    load = _load()
    load.first, load.step = msg.data["first"], msg.data["step"]
