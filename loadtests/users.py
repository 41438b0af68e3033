"""The Locust users: SSEUser, WebSocketUser, ShortPollUser, LongPollUser. They work in any locustfile.

    from rtbench.loadtests.users import SSEUser

    class Reader(SSEUser):
        host = "http://127.0.0.1:8000"
        path = "/events"

A user subscribes and waits; its socket belongs to the process's reactor, which reads thousands of them in one greenlet.
When the connection ends, the user waits its `wait_time` and subscribes again with its cursor. Importing this module
adds listeners to Locust's `init` and `test_start`; nothing else has to be called.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import SimpleQueue
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner
from msgspec import structs

from rtbench.errors import UserError
from rtbench.loadtests.load import Load
from rtbench.loadtests.standalone import Standalone
from rtbench.loadtests.subscriber import Endpoint, Subscriber
from rtbench.loadtests.trial import TrialControl
from rtbench.loadtests.user_settings import settings_of
from rtbench.messages.load import START
from rtbench.transports import Message
from rtbench.transports.catalogue import catalogue

_OF_A_USER = ("path", "headers", "subprotocol", "greeting")
"""What a single user may set for itself, as attributes of the object."""


class Subscription(User):
    """A subscriber of one transport; the concrete classes name it.

    `host`: `http://HOST:PORT` or `https://HOST:PORT`. All attributes below may be set by a class.
    """

    abstract = True
    transport = ""
    stream = "fanout"
    """The stream of the contract that it subscribes to; several are separated by commas. See docs/streams.md."""
    channels = ""
    """`broadcast`: users of the class get the same messages under the same numbers. `unicast`: each has its own. Empty:
    `broadcast` for the contract's streams, `unicast` for a path of your own."""
    path = ""
    """The path on a server of your own, such as `/events/{subscriber}` (the user's number). Empty: the contract's."""
    headers: Mapping[str, str] = {}
    """Fields of the request's head."""
    subprotocol = ""
    """The WebSocket subprotocol to ask for."""
    greeting: Sequence[str] = ()
    """Texts to send when a WebSocket opens, such as a subscribe command."""
    codec = ""
    """How messages are read, when not as the transport's own (`rtbench.transports.catalogue.codecs`)."""
    carries_id = ""
    """Where a message has its number: `protocol`, `payload`, `none`, or `json:A.B`, a path in its JSON text. Empty:
    `protocol` for the contract's paths and for SSE, else `none`."""
    payload = ""
    """`json:A.B`, where a message's JSON text has what was published; empty: all of it."""
    due = ""
    """Where a JSON payload has the time at which it was due, in Unix seconds, such as `meta.sent`: latency counts from
    there. Empty: the server's plan, where it has one."""
    poll_interval = 1.0
    """Seconds between short polls."""
    long_timeout = 25.0
    """Seconds that a long poll asks the server to wait."""
    compression = "none"
    """The coding that it offers: none, deflate, gzip or zstd."""
    tls_ca = ""
    """A PEM file with the authorities to trust; empty: the machine's."""
    name = ""
    """Its name in Locust's statistics; empty: its path."""

    def __init_subclass__(cls) -> None:
        """A class with tasks of its own does not also have the default one."""
        super().__init_subclass__()
        cls.tasks = [one for one in cls.tasks if one is not Subscription.stay] or list(cls.tasks)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._subscriber: Subscriber | None = None
        self._hearing: gevent.Greenlet | None = None

    @property
    def subscriber(self) -> Subscriber:
        """Its subscriber, which has a number from the first use on."""
        if self._subscriber is None:
            self._subscriber = _load(type(self), self.environment).subscriber(self.transport)
        return self._subscriber

    def wait_time(self) -> float:
        """Seconds until it subscribes again (`loadtests/reconnect_policy.py`)."""
        return self.subscriber.again_s()

    def on_stop(self) -> None:
        """Close the connection and give the number back. An `on_stop` of your own must call this one."""
        self.close()
        if self._hearing is not None:
            self._hearing.kill()
        if self._subscriber is not None:
            self._subscriber.load.release(self._subscriber)
            self._subscriber = None

    def on_event(self, event: Message) -> None:
        """Called with each message, in order, in a greenlet of this user's; define it in your class to take them.

        `event.payload`: its bytes; `event.id`: its number, -1 without one. It comes up to 20 ms after the message,
        whose latency was taken before. An exception is reported as that of a task is.
        """

    def subscribe(self) -> None:
        """Subscribe; return when the server has accepted. Raises ConnectionError with the outcome if it has not."""
        subscriber = self._prepared()
        subscriber.begin(self._target(subscriber.load))
        link = subscriber.link
        if not subscriber.accepted():
            raise ConnectionError(link.outcome if link is not None else "not connected")

    def until_closed(self, timeout: float | None = None) -> None:
        """Return when the connection that `subscribe` opened is over; after `timeout` seconds, close it."""
        self.subscriber.until_over(timeout)

    @property
    def is_subscribed(self) -> bool:
        """Whether it has a connection whose subscription the server accepted."""
        link = self._subscriber.link if self._subscriber is not None else None
        return link is not None and link.accepted

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._subscriber is not None and self._subscriber.link is not None:
            self._subscriber.link.over("closed by the subscriber")

    @task
    def stay(self) -> None:
        """Subscribe, and wait until the connection ends. The task of classes without one of their own."""
        subscriber = self._prepared()
        load = subscriber.load
        if _trial is not None:
            load.transport = self.transport
            _trial.let_go(load.number(subscriber))
        target = load.target if _trial is not None else self._target(load)
        assert target is not None  # the trial's ramp named it
        subscriber.subscribe(target, load.connect_at(subscriber))
        if subscriber.over_for_good:
            Event().wait()

    def _prepared(self) -> Subscriber:
        """Its subscriber, with what this user has of its own."""
        subscriber = self.subscriber
        own = {name: getattr(self, name) for name in _OF_A_USER if name in vars(self)}
        if own:
            subscriber.settings = structs.replace(subscriber.load.settings, **own)
        if type(self).on_event is not Subscription.on_event and subscriber.on_message is None:
            inbox: SimpleQueue[Message] = SimpleQueue()
            subscriber.on_message = inbox.put
            self._hearing = gevent.spawn(self._hear, inbox)
            _standalone(self.environment).hear()
        return subscriber

    def _hear(self, inbox: SimpleQueue[Message]) -> None:
        while True:
            try:
                self.on_event(inbox.get())
            except Exception as error:
                self.environment.events.user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)
                logging.getLogger(__name__).exception("on_event of %s", type(self).__name__)

    def _target(self, load: Load) -> Endpoint:
        try:
            return _standalone(self.environment).target(load, self.host or "")
        except UserError as error:
            logging.getLogger(__name__).error("rtbench: %s", error)
            raise StopUser from error


class SSEUser(Subscription):
    """Server-Sent Events: one GET, events as they come."""

    transport = "sse"


class WebSocketUser(Subscription):
    """WebSocket: one upgrade, text frames as they come, pings answered."""

    transport = "websocket"


class ShortPollUser(Subscription):
    """Short polling: a GET every `poll_interval` seconds on an absolute, phase-spread plan, with ETag."""

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

# What a process has: in a trial, its control and the one load that the trial asked for; else what its classes share.
_trial: TrialControl | None = None
_trials_load: Load | None = None
_shared: Standalone | None = None


def _standalone(environment: Environment) -> Standalone:
    global _shared
    if _shared is None:
        _shared = Standalone(environment)
    return _shared


def _load(user: type[Subscription], environment: Environment) -> Load:
    if _trials_load is not None:
        return _trials_load
    settings, name = settings_of(user, environment.parsed_options)
    return _standalone(environment).load(user, user.transport, name, settings)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _init(environment: Environment, **_: Any) -> None:
    """In a trial the campaign steers this process; otherwise Locust does."""
    global _trial, _trials_load
    trial = os.environ.get("RTBENCH_TRIAL")
    if trial is None:
        _leave_out_bases(environment)
        _standalone(environment)
        return
    start = START(trial)
    _trials_load = Load(start.settings)
    _trials_load.first = start.first
    _trial = TrialControl(_trials_load, start.control)


def _leave_out_bases(environment: Environment) -> None:
    """Where a locustfile derives classes from ours, ours are not users of the test themselves.

    Locust runs every user class in a locustfile's namespace, imported ones too. One that is named on the command line
    stays.
    """
    users = environment.user_classes
    if not any(issubclass(user, Subscription) and user.__module__ != __name__ for user in users):
        return
    named = getattr(environment.parsed_options, "user_classes", None) or ()
    for user in [user for user in users if user.__module__ == __name__ and user.__name__ not in named]:
        users.remove(user)
        for known in (environment.available_user_classes, environment.available_user_tasks):
            if known:
                known.pop(user.__name__, None)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Environment, **_: Any) -> None:
    """Make the loads of the test's classes before the first user, so that a mistake in one of them is one line."""
    if _trial is not None:
        return
    shared = _standalone(environment)
    try:
        for user in environment.user_classes:
            if issubclass(user, Subscription):
                load = _load(user, environment)
                if not isinstance(environment.runner, MasterRunner):
                    shared.target(load, environment.host or user.host or "")
    except UserError as error:
        if environment.web_ui is not None:
            logging.getLogger(__name__).error("rtbench: %s", error)
            return
        sys.stderr.write(f"rtbench: {error}\n")
        sys.exit(2)
    shared.start(alone=all(_only_listens(user) for user in environment.user_classes))


def _only_listens(user: type[User]) -> bool:
    ours = issubclass(user, Subscription) and user.on_event is Subscription.on_event
    return ours and all(one is Subscription.stay for one in user.tasks)
