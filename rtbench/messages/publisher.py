"""The messages to and from the publisher process.

It sends Ready when servers can connect. Every command has one answer: Written or Unwritten for Stop, PostCounts for
Count, Started for the others.
"""

from __future__ import annotations

from rtbench.messages.feed import PlayedWorkload
from rtbench.messages.lines import Message, Reader
from rtbench.subjects.model import Post


class PublisherConfig(Message, frozen=True):
    """The workload, the path of the Unix socket that servers connect to, and the size of the ring."""

    workload: PlayedWorkload
    path: str
    ring_messages: int
    ring_bytes: int
    ahead_s: float
    """The publisher makes this many seconds of ticks before it is ready."""


class Ready(Message, frozen=True):
    """Servers can connect. `ready` names this run of the publisher; `scheduling`: how the kernel schedules it (R13)."""

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
    """Continue the timetable; the remaining due times shift by the length of the pause."""


class Count(Message, frozen=True, tag_field="do", tag="count"):
    """Answer with the outcomes of the posts so far."""


class Stop(Message, frozen=True, tag_field="do", tag="stop"):
    """Stop playing, write the record of every tick to the file `ticks`, and exit."""

    ticks: str


class Started(Message, frozen=True):
    """When each stream's timetable began (CLOCK_MONOTONIC)."""

    started: dict[str, int]


class PostCounts(Message, frozen=True):
    """Outcomes of the posts: requests accepted, refused and unanswered; connections made again."""

    posted: int = 0
    refused: int = 0
    reconnected: int = 0
    unanswered: int = 0
    refused_target: str = ""
    """The path of the first refused request; "" if none was refused."""
    refused_status: int = 0
    """The status of its answer; 0: the answer was incomplete."""

    def refusal(self, server: str = "") -> str:
        """The first refusal as text; `server`: the scheme and authority of the URL."""
        if self.refused_status:
            return f"POST {server}{self.refused_target}: status {self.refused_status}"
        return f"POST {server}: the answer is incomplete"


class Written(Message, frozen=True, tag_field="say", tag="written"):
    """The number of ticks in the file, and the outcomes of the posts."""

    ticks: int
    posts: PostCounts


class Unwritten(Message, frozen=True, tag_field="say", tag="unwritten"):
    """The ticks cannot be written: why, and what to do."""

    error: str
    remedy: str


Command = Play | PostTo | Pause | Resume | Count | Stop

CONFIG: Reader[PublisherConfig] = Reader(PublisherConfig)
READY: Reader[Ready] = Reader(Ready)
COMMAND: Reader[Command] = Reader(Command)
STARTED: Reader[Started] = Reader(Started)
POST_COUNTS: Reader[PostCounts] = Reader(PostCounts)
WRITTEN: Reader[Written | Unwritten] = Reader(Written | Unwritten)
