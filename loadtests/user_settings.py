"""What a user class asks for: the settings of its load, from its attributes and from rtbench's options.

The options are those of the shipped locustfile; a locustfile of one's own has only the attributes, which
`users.Subscription` explains. Invariant: an option that is given wins over the attribute.
"""

from __future__ import annotations

from typing import Any

from rtbench.errors import UserError, one_of
from rtbench.machine import inner_loop
from rtbench.messages.load import LoadSettings
from rtbench.transports.catalogue import find

_CHANNELS = ("broadcast", "unicast")


def settings_of(user: Any, options: Any = None) -> tuple[LoadSettings, str]:
    """The settings of a class's load, and its name in the statistics. `options`: those of `arguments` win.

    Raises UserError for a value that an attribute cannot have.
    """

    def given(name: str) -> Any:
        option = getattr(options, f"rtbench_{name}", None)
        return getattr(user, name) if option in (None, "") else option

    channels = given("channels") or ("unicast" if user.path else "broadcast")
    if channels not in _CHANNELS:
        raise UserError(f"channels of {user.__name__}: {channels!r}", one_of(channels, _CHANNELS))
    settings = LoadSettings(
        streams=tuple(given("stream").split(",")),
        unicast=channels == "unicast",
        poll_interval_s=float(given("poll_interval")),
        long_timeout_s=float(given("long_timeout")),
        path=user.path,
        codec=user.codec,
        carries_id=user.carries_id or ("none" if user.path and user.transport != "sse" else "protocol"),
        payload=user.payload,
        headers=dict(user.headers),
        subprotocol=user.subprotocol,
        greeting=tuple(user.greeting),
        compression=user.compression,
        tls_ca=user.tls_ca,
        due=user.due,
        library=str(inner_loop.library() or ""),
    )
    return settings, user.name or user.path or f"{find(user.transport).prefix}/{','.join(settings.streams)}"


def arguments(parser: Any) -> None:
    """The command-line options of the shipped locustfile. (Locust's --help is printed before it loads any.)"""
    group = parser.add_argument_group("rtbench")
    group.add_argument(
        "--stream", dest="rtbench_stream", help="streams to subscribe to, separated by commas (default fanout)"
    )
    group.add_argument(
        "--channels",
        dest="rtbench_channels",
        choices=_CHANNELS,
        help="one channel for all, or one each (default broadcast)",
    )
    group.add_argument(
        "--poll-interval", dest="rtbench_poll_interval", type=float, help="seconds between short polls (default 1)"
    )
    group.add_argument(
        "--long-timeout", dest="rtbench_long_timeout", type=float, help="seconds a long poll waits (default 25)"
    )
    group.add_argument(
        "--record",
        dest="rtbench_record",
        default="",
        metavar="FOLDER",
        help="write every delivery to Parquet files in FOLDER",
    )
