"""Claim 7: SSE is the simplest client.

Simple is counted: tokens and lines of the smallest correct client of each transport (examples/clients, each run by
tests/examples against a server that is killed and started again). No campaign is needed, and none changes it.
"""

from __future__ import annotations

from pathlib import Path

import rtbench
from rtbench.analysis.claims._code import Size, size
from rtbench.analysis.claims.claim import Finding, Hypothesis, Outcome, Point
from rtbench.analysis.evidence import Evidence
from rtbench.analysis.evidence.stacks import TRANSPORTS

FOLDERS = (Path(rtbench.__file__).parent.parent / "examples" / "clients", Path(rtbench.__file__).parent / "_clients")
"""In a checkout, and where a wheel has them (pyproject.toml)."""
LANGUAGES = {".py": "Python", ".js": "JavaScript"}
SCENARIO = "pytest tests/examples"


def judge(_: Evidence) -> Finding | None:
    folder = next((f for f in FOLDERS if f.is_dir()), None)
    return None if folder is None else of(folder)


def of(folder: Path) -> Finding | None:
    """What a folder of clients says; None when one is missing."""
    files = {(suffix, name): folder / f"{name}{suffix}" for suffix in LANGUAGES for name in TRANSPORTS}
    if not all(file.is_file() for file in files.values()):
        return None
    sizes = {key: size(file) for key, file in files.items()}
    points = tuple(
        Point("tokens", f"{name}{suffix}", "", one.tokens, None, None, "tokens", "", _said(one))
        for (suffix, name), one in sizes.items()
    )
    parts = [
        f"{language}: " + ", ".join(f"{name} {_said(sizes[suffix, name])}" for name in TRANSPORTS)
        for suffix, language in LANGUAGES.items()
    ]
    each = [_outcome([sizes[suffix, name] for name in TRANSPORTS]) for suffix in LANGUAGES]
    outcome: Outcome = "contradicted" if "contradicted" in each else each[0] if len(set(each)) == 1 else "not resolved"
    fewest = {
        language: min(TRANSPORTS, key=lambda name: sizes[suffix, name].tokens) for suffix, language in LANGUAGES.items()
    }
    flips = (
        f"The fewest tokens: {', '.join(f'{name} in {language}' for language, name in fewest.items())}. An EventSource "
        "reconnects and keeps its cursor by itself, but gives up for good on a proxy's 502 (WHATWG 9.2.2): to survive "
        "that, too, SSE in a browser needs what WebSocket needs."
    )
    text = f"Tokens (and lines) of the smallest correct client. {'; '.join(parts)}."
    return Finding(outcome, text, points, flips, "examples/clients")


def _said(one: Size) -> str:
    return f"{one.tokens} ({one.lines})"


def _outcome(sizes: list[Size]) -> Outcome:
    """SSE's first: supported when it has the fewest tokens, contradicted when another has fewer, else equivalent."""
    mine, least = sizes[0].tokens, min(s.tokens for s in sizes[1:])
    return "supported" if mine < least else "contradicted" if mine > least else "equivalent"


HYPOTHESIS = Hypothesis(
    number=7,
    claim="SSE is the simplest client.",
    hypothesis="The smallest client that reconnects, resumes without loss or duplicates and ends at the end notice has "
    "fewer tokens for SSE than for any other transport, in Python and in a browser.",
    test="Tokens of examples/clients, comments and docstrings not counted; each client is run by the tests against a "
    "server that is killed and started again. Supported when SSE has the fewest in both languages, contradicted when "
    "it has not in one.",
    scenario=SCENARIO,
    metric="tokens",
    judge=judge,
)
