"""What the publisher process is given, told, and answers.

It says Ready when servers can connect. Every command has one answer: Written for Stop, PostCounts for Count, Started
for the others.
"""

from __future__ import annotations

from rtbench.messages.feed import PlayedWorkload
from rtbench.messages.lines import Message, Reader
from rtbench.subjects.model import Post


class PublisherConfig(Message, frozen=True):
    """What it plays, where servers connect (the path of a Unix socket), and what its ring holds."""

    workload: PlayedWorkload
    path: str
    ring_messages: int
    ring_bytes: int
    ahead_s: float
    """So many seconds of ticks are made before it is ready."""


class Ready(Message, frozen=True):
    """Servers can connect. `ready` names this run of the publisher; `scheduling` is how it runs (R13)."""

    ready: str
    scheduling: str


class Play(Message, frozen=True, tag_field="do", tag="play"):
    """Start the timetable of these streams at `start_ns` (CLOCK_MONOTONIC; None: at once)."""

    streams: tuple[str, ...]
    start_ns: int | None


class PostTo(Message, frozen=True, tag_field="do", tag="post"):
    """From now on publish by HTTP to the server at this address."""

    host: str
    port: int
    post: Post


class Pause(Message, frozen=True, tag_field="do", tag="pause"):
    """Stop the clock of the timetable."""


class Resume(Message, frozen=True, tag_field="do", tag="resume"):
    """Go on; what was not due before is due as much later as the pause was long."""


class Count(Message, frozen=True, tag_field="do", tag="count"):
    """Answer with what became of the posts so far."""


class Stop(Message, frozen=True, tag_field="do", tag="stop"):
    """Stop playing, write the record of every tick to the file `ticks`, and leave."""

    ticks: str


class Started(Message, frozen=True):
    """When each stream's timetable began (CLOCK_MONOTONIC)."""

    started: dict[str, int]


class PostCounts(Message, frozen=True):
    """What became of what was posted: requests taken, refused and not answered; connections made again."""

    posted: int = 0
    refused: int = 0
    reconnected: int = 0
    unanswered: int = 0
    refused_target: str = ""
    """The path of the first refused request; "" where none was."""
    refused_status: int = 0
    """What it was answered with; 0: no answer had an end."""

    def refusal(self, server: str = "") -> str:
        """The first refusal in words; `server`: the scheme and authority of the URL."""
        if self.refused_status:
            return f"POST {server}{self.refused_target}: status {self.refused_status}"
        return f"POST {server}: no answer has an end"


class Written(Message, frozen=True):
    """So many ticks are in the file."""

    ticks: int
    posts: PostCounts


Command = Play | PostTo | Pause | Resume | Count | Stop

CONFIG: Reader[PublisherConfig] = Reader(PublisherConfig)
READY: Reader[Ready] = Reader(Ready)
COMMAND: Reader[Command] = Reader(Command)
STARTED: Reader[Started] = Reader(Started)
POST_COUNTS: Reader[PostCounts] = Reader(PostCounts)
WRITTEN: Reader[Written] = Reader(Written)
