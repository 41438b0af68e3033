"""One trial of a campaign on disk: its manifest, its tables, and which metrics count.

Invariant: raw files are only read, and a metric that a reason of the trial spoils does not count (R13).
Made by `load`, measured by `evidence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtbench.errors import ResultsError
from rtbench.records.tables import Columns, read_table, sha256

Status = Literal["ok", "invalid", "failed"]
Warning_ = dict[str, Any]

SPOILT_BY_DEFAULT = (
    "latency_*", "due_to_sent_*", "sent_to_*", "request_to_*", "kernel_to_app_*", "poll_round_trip_*", "connect_*",
    "response_*", "first_message_*", "server_cpu_*", "client_cpu_*", "proxy_cpu_*", "machine_busy_*", "arrival_gap_*",
)  # fmt: skip
"""The metrics that an invalid trial's reason spoils when it names none: latency and cost (interface.md, `status`)."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Metrics of a trial that do not count (names; `*` stands for any text), and why."""

    metrics: tuple[str, ...]
    why: str

    def has(self, metric: str) -> bool:
        return any(fnmatchcase(metric, pattern) for pattern in self.metrics)


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: its manifest, and access to its tables. `number` and `block` are unique over all loaded folders."""

    number: int
    subject: str
    transport: str
    stack: str
    arm: str
    technique: str
    block: int
    position: int
    status: Status
    reasons: tuple[Warning_, ...]
    window: tuple[int, int] | None
    """(start_ns, end_ns); None for a trial that failed before it had one."""
    subscribers: int
    streams: int
    unicast: bool
    manifest: Mapping[str, Any]
    directory: Path
    cell: Mapping[str, Any] = field(default_factory=dict)
    """The sweep's settings for this trial, dotted key to value; empty without a sweep."""
    attempt: int = 1
    """1, or more in a block that was run again."""

    @property
    def item(self) -> str:
        """The subject, with its cell in a sweep: the unit of comparison. `subject` alone names trials of every cell."""
        return item_name(self.subject, self.cell)

    @property
    def attempt_key(self) -> int:
        """(block, attempt) in one number, by which subjects are paired (R8).

        A block's first attempt has the block's number, any other attempt a number of its own.
        """
        return self.block + ((self.attempt - 1) << 32)

    @property
    def measured(self) -> bool:
        """Whether metrics can be computed from it."""
        return self.status != "failed" and self.window is not None

    def read(self, kind: str, columns: list[str] | None = None) -> Columns:
        """A table as numpy arrays. Raises ResultsError naming the file."""
        return read_table(self.directory / f"{kind}.parquet", kind, columns)

    @property
    def network(self) -> Mapping[str, Any]:
        """What a router did between server and load, as in the manifest ([network]); empty without one."""
        return self.manifest.get("impairment") or {}

    @property
    def sealed(self) -> bool:
        """Whether checksums were recorded when it was measured, which detect later edits."""
        return bool(self.manifest.get("files"))

    def verify(self) -> list[str]:
        """Compare the files with the checksums that were recorded when they were written. Raises ResultsError that
        names the first table that is not what was measured; returns what else differs, which no number depends on."""
        differs = []
        for name, row in sorted((self.manifest.get("files") or {}).items()):
            path = self.directory / Path(name).name
            try:
                same = sha256(path) == row["sha256"]
                what = f"{path}: was changed after it was measured (SHA-256)"
            except OSError as error:
                same, what = False, f"{path}: cannot be read ({error.strerror})"
            if same:
                continue
            if path.suffix == ".parquet":
                raise ResultsError(what, "restore the file from a copy, or measure again")
            differs.append(what)
        return differs

    def has(self, kind: str) -> bool:
        return (self.directory / f"{kind}.parquet").exists()

    def channel_of(self) -> npt.NDArray[np.int64]:
        """The channel of every subscriber: its own (unicast), or the streams dealt out in turn (broadcast)."""
        subscriber = np.arange(self.subscribers, dtype=np.int64)
        return subscriber if self.unicast else subscriber % self.streams

    def unknown(self, metric: str) -> bool:
        """Whether the manifest lists the metric as unknown, as for a server with a timetable of its own."""
        return any(fnmatchcase(metric, pattern) for pattern in self.manifest.get("unknown") or ())

    def spoils(self, metric: str) -> bool:
        """Whether a reason of this trial spoils `metric`."""
        return self.unknown(metric) or any(row.has(metric) for row in self.left_out)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The metrics of this trial that do not count, one row a reason; empty when all count."""
        # A trial that counts may still have reasons against some of its tails.
        counts, failed = self.status == "ok", self.status == "failed"
        whole: tuple[str, ...] = () if counts else SPOILT_BY_DEFAULT
        unsaid = () if counts else ({"message": "no reason was recorded"},)
        return tuple(
            LeftOut(metrics, str(row.get("message", "")))
            for row in self.reasons or unsaid
            if (metrics := ("*",) if failed else tuple(row.get("metrics") or whole))
        )

    @property
    def counts(self) -> Literal["all", "some", "none"]:
        """How much of this trial counts."""
        patterns = [pattern for row in self.left_out for pattern in row.metrics]
        return "none" if "*" in patterns else "some" if patterns else "all"

    def why_not(self, metric: str) -> str:
        """The reason why this metric does not count; empty when it counts."""
        return "; ".join(row.why for row in self.left_out if row.has(metric))

    def failed(self, kind: str, message: str, remedy: str) -> Trial:
        """The same trial, put aside for a reason."""
        reason = {"kind": kind, "message": message, "remedy": remedy, "metrics": ["*"]}
        return replace(self, status="failed", reasons=(*self.reasons, reason), window=None)


def item_name(subject: str, cell: Mapping[str, Any]) -> str:
    """`sse-aiohttp [subscribers=100]`, as campaign.json writes it; the subject's name without a sweep."""
    return f"{subject} [{' '.join(f'{key}={value}' for key, value in cell.items())}]" if cell else subject
