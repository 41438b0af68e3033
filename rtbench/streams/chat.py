"""`chat`: the article's conversation: five messages of three users, one every three seconds, then the end.

With senders (the scenario's [chat]) subscribers send the messages instead, and the stream has no end. `utterance` makes
the messages of a load generator's senders: the seed determines them, and no two are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Source, Stream

STEP_NS = 3 * 10**9
USERS = 3

TEXTS = (
    "Hello, is anybody here?",
    "Yes, I see you. That was quick.",
    "Is this polling, or does it come by itself?",
    "It comes by itself, on one connection.",
    "Then I close the other tab. See you.",
)


class Chat(Stream):
    """The seed determines the user of each text."""

    name = "chat"
    description = "a chat message of one of three users every 3 s, five of them"
    finite = True
    uplink = True

    def emissions(self, source: Source) -> Iterator[Emission]:
        if self.takes(source.pace):
            return
        random = source.random().random
        for index, text in enumerate(TEXTS):
            offset_ns = index * STEP_NS
            head = f'"type":"chat","user":"User{1 + int(random() * USERS)}","message":"{text}"'
            yield Emission(offset_ns, f'{{{head},"timestamp":{source.timestamp(offset_ns)}}}')


def utterance(source: Source, sender: int, number: int, offset_ns: int) -> bytes:
    """Message `number` of `sender`, `offset_ns` after (or before) the timetable's start: one line of JSON."""
    text = TEXTS[(source.seed + sender + number) % len(TEXTS)]
    head = f'"type":"chat","user":"User{1 + sender % USERS}","message":"{text} ({sender}/{number})"'
    return f'{{{head},"timestamp":{source.timestamp(offset_ns)}}}'.encode()
