"""The locustfile: the user classes and rtbench's options. Works with the web UI, --headless, --processes, workers.

locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --headless -u 1000 -r 500 SSEUser
"""

from __future__ import annotations

from locust import events

from rtbench.loadtests import user_settings, users
from rtbench.loadtests.users import LongPollUser, ShortPollUser, SSEUser, WebSocketUser

globals().update(users.OTHERS)
__all__ = ["LongPollUser", "SSEUser", "ShortPollUser", "WebSocketUser"]

events.init_command_line_parser.add_listener(user_settings.arguments)  # type: ignore[no-untyped-call]
