"""The locustfile: the four user classes and rtbench's options. Works with the web UI, --headless, --processes, workers.

locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --headless -u 1000 -r 500 SSEUser
"""

from __future__ import annotations

from typing import Any

from locust import events
from locust.env import Environment

from rtbench.loadtests import users
from rtbench.loadtests.users import LongPollUser, ShortPollUser, SSEUser, WebSocketUser

globals().update(users.OTHERS)
__all__ = ["LongPollUser", "SSEUser", "ShortPollUser", "WebSocketUser"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:
    users.arguments(parser)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _init(environment: Environment, **_: Any) -> None:
    users.prepare(environment)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Environment, **_: Any) -> None:
    users.place_workers(environment)
