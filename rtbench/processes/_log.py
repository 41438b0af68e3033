"""What a program's log says about why it ended: the lines that matter, of hundreds. Called by `Process`.

Invariant: text of any size and language is read; what looks like an error comes first, whatever stands around it.
"""

from __future__ import annotations

import re

_LOOKS_LIKE_AN_ERROR = (
    # A named error or exception: `Error: listen EADDRINUSE`, `OSError: [Errno 98]`, `fatal: …`, `panic: …`.
    re.compile(r"^[\w.:\s]*(?:Error|Exception)\b[^;]*:|^\W*(?:error|fatal|panic)\b[^;]*:", re.IGNORECASE),
    # What the system reports, however a program wraps it.
    re.compile(
        r"address (?:is )?(?:already )?in use|no such file|not found|cannot find|permission denied", re.IGNORECASE
    ),
    re.compile(r"\b(?:error|fatal|panicked|failed|cannot)\b", re.IGNORECASE),
)
"""From the surest sign to the weakest."""
LAST = 5
"""So many last lines are shown of a log in which nothing looks like an error."""
MOST = 300
"""Characters that are shown of a line."""


def telling(text: str) -> str:
    """The first line that looks like an error and the last line; the last lines where none does; "" of nothing."""
    lines = [line.strip()[:MOST] for line in text.splitlines() if line.strip()]
    for sign in _LOOKS_LIKE_AN_ERROR:
        for number, line in enumerate(lines, start=1):
            if sign.search(line):
                between = [] if number >= len(lines) - 1 else ["…"]
                return " | ".join([line, *between, *lines[number:][-1:]])
    return " | ".join(lines[-LAST:])
