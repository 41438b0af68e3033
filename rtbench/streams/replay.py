"""`replay`: an engineer's own traffic: the payloads and offsets of a trace file, then the end.

A line of the file is `{"offset_ns": N, "payload": "TEXT"}`: whole nanoseconds from the start, never falling, and the
exact text that is sent, one line of it. Anything else raises ScenarioError with the file and the line's number. A
payload that is itself a JSON string of plain text (`"abc"`, quotes included) is refused too: its envelope would equal
that of `abc`, and a client could not distinguish them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtbench.errors import ScenarioError
from rtbench.streams import Emission, Pace, Source, Stream
from rtbench.transports.envelope import is_json, original

LONGEST_NS = 2**62
_ALLOWED = '{"offset_ns": whole number from 0, never falling, "payload": text of one line}'


class Replay(Stream):
    """Every channel plays the same trace."""

    name = "replay"
    description = "the messages of a trace file at its own pace (workload.trace)"
    finite = True
    json_payload = None
    needs = "trace"

    def emissions(self, source: Source) -> Iterator[Emission]:
        self.check(source.pace)
        return _read(Path(source.pace.trace))

    def check(self, pace: Pace) -> None:
        super().check(pace)
        if not sum(1 for _ in _read(Path(pace.trace))):
            raise ScenarioError(f"{pace.trace}: is empty", f"a line is {_ALLOWED}")


def _read(path: Path) -> Iterator[Emission]:
    before_ns, number = 0, 1
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                emission = _emission(line, before_ns)
                before_ns = emission.offset_ns
                yield emission
                number += 1
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read ({error.strerror})", "name a trace file") from error
    except UnicodeDecodeError as error:
        # Text is decoded in blocks: the line may be one of the next few.
        raise ScenarioError(f"{path}, line {number} or after: is not UTF-8", "save the file as UTF-8") from error
    except ValueError as error:
        raise ScenarioError(f"{path}, line {number}: {error}", f"a line is {_ALLOWED}") from error


def _emission(line: str, before_ns: int) -> Emission:
    try:
        value: Any = json.loads(line)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict) or value.keys() != {"offset_ns", "payload"}:
        raise ValueError("is not an object of offset_ns and payload")
    offset_ns, payload = value["offset_ns"], value["payload"]
    if type(offset_ns) is not int or not 0 <= offset_ns < LONGEST_NS:
        raise ValueError(f"offset_ns is {json.dumps(offset_ns)[:40]}")
    if offset_ns < before_ns:
        raise ValueError(f"offset_ns falls from {before_ns} to {offset_ns}")
    if not isinstance(payload, str) or not payload or set("\r\n\0") & set(payload):
        raise ValueError(f"payload is {json.dumps(payload)[:40]}")
    if any("\ud800" <= letter <= "\udfff" for letter in payload):
        raise ValueError("payload has half a surrogate pair")
    raw = payload.encode()
    if payload.startswith('"') and is_json(raw) and original(json.loads(payload), raw) != raw:
        raise ValueError("payload is a JSON string, whose envelope would equal that of its text")
    return Emission(offset_ns, payload)
