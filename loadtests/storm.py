"""A storm: connections of many subscribers are reset at one moment of the window (the scenario's [storm]).

Each is reset from its own socket, so that both ends get what they get when something between them dies: the server a
RST, the client ECONNRESET. No process stands in the way, and it works for every transport, for TLS and behind a proxy
(docs/howto/storms-and-churn.md compares the other ways). The subscribers then reconnect by their own policy. Invariant:
which subscribers are cut depends on the share and the number of subscribers alone. Made by the trial's control.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rtbench.loadtests.subscriber import among
from rtbench.messages.load import Cut, StormSettings

if TYPE_CHECKING:
    from rtbench.loadtests.load import Load


class Storm:
    """The storm of one load process."""

    def __init__(self, load: Load, settings: StormSettings) -> None:
        self._load = load
        self._settings = settings
        self.cut: Cut | None = None
        """None before it."""

    def begin(self, start_ns: int) -> None:
        """Plan it for a window that starts at `start_ns`."""
        self._load.reactor.at(start_ns + int(self._settings.at_s * 1e9), self._break)

    def _break(self) -> None:
        settings, count = self._settings, 0
        number = max(1, round(settings.cut * settings.subscribers))
        began_ns = time.monotonic_ns()
        for link in self._load.reactor.links:
            standing = link.connection >= 0 and link.accepted and link.closed_ns < 0
            if standing and among(link.subscriber.index, number, settings.subscribers):
                link.cut()
                count += 1
        self.cut = Cut(began_ns, time.monotonic_ns(), count)
