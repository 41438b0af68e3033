"""What a comparison of our parser with another one found. Called by `frames`, `events` and `__main__`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """`explained`: a reason and how often it held. `unexplained`: number and account of each stream."""

    streams: int = 0
    events: int = 0
    explained: dict[str, int] = field(default_factory=dict)
    unexplained: list[tuple[int, str]] = field(default_factory=list)

    def explain(self, reason: str) -> None:
        """Count a difference that is meant."""
        self.explained[reason] = self.explained.get(reason, 0) + 1
