"""The publisher's process, as a trial, `rtbench serve` and `rtbench verify` steer it.

Invariant: each command has one answer, and the command returns once the answer is there. The program itself is
`rtbench.servers.publisher`; this side knows it by its name only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rtbench.processes.process import Cores, Process
from rtbench.scenario.model import Scenario
from rtbench.subjects import Post
from rtbench.workload import Workload


class PublisherProcess(Process):
    """The publisher; `socket_path` is where servers connect. It makes `ahead_s` seconds of ticks before it is ready."""

    name = "publisher"

    def __init__(
        self, workload: Workload, scenario: Scenario, folder: Path, cores: Cores, log: Path, ahead_s: float = 0.0
    ) -> None:
        self.socket_path = folder / "publisher.sock"
        self._streams = workload.streams
        table = {
            "streams": list(workload.streams),
            "seed": workload.seed,
            "epoch_s": workload.epoch_s,
            "subscribers": workload.subscribers,
            "pace": list(astuple(workload.pace)),
        }
        config = {
            "workload": table,
            "path": str(self.socket_path),
            "ring_messages": scenario.server.ring_messages,
            "ring_bytes": scenario.server.ring_bytes,
            "ahead_s": ahead_s,
        }
        super().__init__([sys.executable, "-m", "rtbench.servers.publisher", json.dumps(config)], cores, log)
        self.greeting: dict[str, Any] = {}
        self.started: dict[str, int] = {}
        self.posts: dict[str, int] = {}
        """What became of what was posted, once it has finished (`servers/publisher/post.py`)."""

    def ready(self, timeout_s: float = 20) -> None:
        """Wait until servers can connect."""
        self.greeting = json.loads(self.line(timeout_s))

    def play(self, streams: Sequence[str], start_ns: int | None = None) -> None:
        """Start the timetable of these streams."""
        if streams:
            self.send({"do": "play", "streams": list(streams), "start_ns": start_ns})
            self.started = json.loads(self.line(10))["started"]

    def post_to(self, url: str, post: Post) -> None:
        """From now on publish by HTTP to the server at `url`."""
        parts = urlsplit(url)
        table = {name: getattr(post, name) for name in ("path", "wrap", "connections", "batch")}
        table |= {"headers": dict(post.headers), "host": parts.hostname, "port": parts.port}
        self.send({"do": "post", "post": table})
        self.line(10)

    def pause(self) -> None:
        """Stop the clock of its timetable."""
        self.send({"do": "pause"})
        self.line(10)

    def resume(self) -> None:
        """Go on with the timetable; what was not due before is due as much later as the pause was long."""
        self.send({"do": "resume"})
        self.started = json.loads(self.line(10))["started"]

    def finish(self, ticks: Path) -> int:
        """Stop playing and write the record of every tick to `ticks`; returns how many."""
        self.send({"do": "stop", "ticks": str(ticks)})
        said = json.loads(self.line(60))
        self.posts = said["posts"]
        return int(said["ticks"])
