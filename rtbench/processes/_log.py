"""The lines of a program's log that explain why it ended. Called by `Process`.

Invariant: it accepts text of any size and language; a line that looks like an error comes first.
"""

from __future__ import annotations

import re

_LOOKS_LIKE_AN_ERROR = (
    # A named error or exception: `Error: listen EADDRINUSE`, `OSError: [Errno 98]`, `fatal: …`, `panic: …`.
    re.compile(r"^[\w.:\s]*(?:Error|Exception)\b[^;]*:|^\W*(?:error|fatal|panic)\b[^;]*:", re.IGNORECASE),
    # The system's own messages, in any wrapping.
    re.compile(
        r"address (?:is )?(?:already )?in use|no such file|not found|cannot find|permission denied", re.IGNORECASE
    ),
    re.compile(r"\b(?:error|fatal|panicked|failed|cannot)\b", re.IGNORECASE),
)
"""From the most to the least reliable pattern."""
LAST = 5
"""Number of last lines shown when no line looks like an error."""
MOST = 300
"""Maximum characters shown of a line."""


def telling(text: str) -> str:
    """The first line that looks like an error, and the last line; without such a line the last LAST; "" of no text."""
    lines = [line.strip()[:MOST] for line in text.splitlines() if line.strip()]
    for sign in _LOOKS_LIKE_AN_ERROR:
        for number, line in enumerate(lines, start=1):
            if sign.search(line):
                between = [] if number >= len(lines) - 1 else ["…"]
                return " | ".join([line, *between, *lines[number:][-1:]])
    return " | ".join(lines[-LAST:])
