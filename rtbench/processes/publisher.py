"""The publisher's process, controlled by a trial, `rtbench serve` and `rtbench verify`.

Invariant: each command has one answer, and the method returns after the answer. The program is
`rtbench.servers.publisher`; this module knows it by name only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import asdict

from rtbench.errors import UserError
from rtbench.machine.topology import Cores
from rtbench.messages import publisher as messages
from rtbench.messages.feed import PlayedWorkload
from rtbench.messages.lines import text
from rtbench.processes.process import STARTS_S, Process
from rtbench.scenario.model import Scenario
from rtbench.subjects import Post
from rtbench.workload import Workload

_ANSWER_S = 10
_WRITE_S = 60
"""Time limits for an answer and for writing the ticks, seconds."""


class PublisherProcess(Process):
    """The publisher; servers connect to `socket_path`. It makes `ahead_s` seconds of ticks before it is ready."""

    name = "publisher"

    def __init__(
        self, workload: Workload, scenario: Scenario, folder: Path, cores: Cores, log: Path, ahead_s: float = 0.0
    ) -> None:
        self.socket_path = folder / "publisher.sock"
        config = messages.PublisherConfig(
            workload=PlayedWorkload.of(workload),
            path=str(self.socket_path),
            ring_messages=scenario.server.ring_messages,
            ring_bytes=scenario.server.ring_bytes,
            ahead_s=ahead_s,
        )
        super().__init__([sys.executable, "-m", "rtbench.servers.publisher", text(config)], cores, log)
        self.greeting: dict[str, str] = {}
        """`ready` and `scheduling` (`rtbench.messages.publisher.Ready`), for the manifest."""
        self.started: dict[str, int] = {}
        self.posts = messages.PostCounts()
        """Outcomes of its HTTP posts, set by `finish` (`servers/publisher/post.py`)."""

    def ready(self, timeout_s: float = STARTS_S) -> None:
        """Wait until servers can connect."""
        self.greeting = asdict(messages.READY(self.line(timeout_s)))

    def play(self, streams: Sequence[str], start_ns: int | None = None) -> None:
        """Start the timetable of these streams."""
        if streams:
            self._do(messages.Play(tuple(streams), start_ns))

    def post_to(self, url: str, post: Post) -> None:
        """From now on publish by HTTP to the server at `url`."""
        parts = urlsplit(url)
        self._do(messages.PostTo(parts.hostname or "", parts.port or 80, post))

    def pause(self) -> None:
        """Stop the clock of its timetable."""
        self._do(messages.Pause())

    def resume(self) -> None:
        """Continue the timetable; the remaining due times shift by the length of the pause."""
        self._do(messages.Resume())

    def posted(self) -> messages.PostCounts:
        """Outcomes of the HTTP posts so far."""
        self.send(messages.Count())
        return messages.POST_COUNTS(self.line(_ANSWER_S))

    def _do(self, command: messages.Play | messages.PostTo | messages.Pause | messages.Resume) -> None:
        self.send(command)
        self.started = messages.STARTED(self.line(_ANSWER_S)).started

    def finish(self, ticks: Path) -> int:
        """Stop playing and write the record of every tick to `ticks`. Returns their number.

        Raises UserError when it cannot write it.
        """
        self.send(messages.Stop(str(ticks)))
        written = messages.WRITTEN(self.line(_WRITE_S))
        if isinstance(written, messages.Unwritten):
            raise UserError(written.error, written.remedy)
        self.posts = written.posts
        return written.ticks
