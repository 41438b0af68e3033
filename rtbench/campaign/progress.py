"""A campaign's progress on the terminal: a live line with the time left, or plain lines without a terminal.

Invariant: everything goes to stderr, one line a finished trial; stdout is for results. Used by the CLI only.
"""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rtbench.errors import printable
from rtbench.records.manifest import Counts, Manifest
from rtbench.trial import Spec


class Display:
    """Shows a campaign's progress. `quiet`: only problems."""

    def __init__(self, seconds_a_trial: float, quiet: bool = False) -> None:
        self._quiet = quiet
        self._each_s = seconds_a_trial
        self._began = 0.0
        self._number, self._total, self._here = 0, 0, 0
        self._console = Console(stderr=True, highlight=False)
        self._live: Progress | None = None
        if self._console.is_terminal and not quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self._live = Progress(*columns, console=self._console, transient=True)
            self._task = self._live.add_task("starting", total=None, left="")

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def trial(self, spec: Spec, number: int, total: int) -> None:
        """A trial begins."""
        self._began = time.monotonic()
        self._number, self._total = number, total
        self._here += 1
        self._name = spec.subject.name
        if self._live is not None:
            left_s = self._each_s * (total - number + 1)
            self._live.update(self._task, total=total, completed=number - 1, left=f"about {_span(left_s)} left")

    def stage(self, text: str) -> None:
        """The current step of the trial."""
        if self._live is not None:
            self._live.update(self._task, description=f"{self._name}: {text}")

    def done(self, spec: Spec, manifest: Manifest) -> None:
        """A trial is over."""
        took_s = time.monotonic() - self._began
        self._each_s += (took_s - self._each_s) / self._here
        counts, status = manifest.counts or Counts(), manifest.status
        if self._quiet and status == "ok":
            return
        place = f"[{self._number:>{len(str(self._total))}}/{self._total}]"
        text = f"{place} {spec.subject.name}, block {spec.block}: {status}"
        if isinstance(counts.delivered, int):
            text += f", {counts.delivered:,} of {counts.expected:,} delivered"
            troubles = {name: getattr(counts, name) for name in ("duplicated", "reordered", "corrupted")}
            text += "".join(f", {count:,} {name}" for name, count in troubles.items() if count)
        text += f" ({took_s:.0f} s; about {_span(self._each_s * (self._total - self._number))} left)"
        self.note(text)
        for found in manifest.reasons or ():
            self.note("      " + "; ".join(text for text in (found.message, found.remedy) if text))

    def note(self, text: str) -> None:
        """Print a permanent line."""
        text = printable(text)
        if self._live is not None:
            self._live.console.print(text, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
