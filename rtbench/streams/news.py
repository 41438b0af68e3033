"""`news`: the article's headlines: one every five seconds, fifty of them, then the end."""

from __future__ import annotations

from collections.abc import Iterator

from rtbench.streams import Emission, Source, Stream

COUNT = 50
STEP_NS = 5 * 10**9

SUBJECTS = ("City council", "Weather service", "Central bank", "Space agency", "Harbour authority", "Chess federation")
ACTS = ("publishes", "revises", "postpones", "explains", "celebrates")
OBJECTS = ("its yearly report", "the new timetable", "an unusual record", "plans for spring", "a quiet week")


class News(Stream):
    """The seed determines the titles."""

    name = "news"
    description = "a headline every 5 s, fifty of them"
    finite = True

    def emissions(self, source: Source) -> Iterator[Emission]:
        random = source.random().random
        for number in range(1, COUNT + 1):
            offset_ns = (number - 1) * STEP_NS
            words = [part[int(random() * len(part))] for part in (SUBJECTS, ACTS, OBJECTS)]
            head = f'"type":"news","id":{number},"title":"{" ".join(words)}"'
            yield Emission(offset_ns, f'{{{head},"timestamp":{source.timestamp(offset_ns)}}}')
