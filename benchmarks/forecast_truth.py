"""How far a forecast is off: predicted from campaigns of at most 2,000 subscribers, measured at 5,000, 10,000, 19,000.

    python benchmarks/forecast_truth.py DIR [SUBJECT…]

Two campaigns go into DIR: `small` sweeps 500, 1,000 and 2,000 subscribers, `large` the three sizes, both at a message a
second, three blocks each. `rtbench forecast` of the small one stands beside what the large one measured, at a busy
share of 1. It needs 45,000 file descriptors, and takes about half an hour for one subject.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.forecast.amounts import Amount, Wanted
from rtbench.analysis.forecast.forecast import forecast

SMALL, LARGE = (500, 1_000, 2_000), (5_000, 10_000, 19_000)
RATE_HZ = 1.0
CPU = "server_cpu_ns_per_message"


def measure(folder: Path, subjects: Sequence[str], sizes: Sequence[int]) -> Evidence:
    """A campaign over these sizes; one that is there already is read."""
    if not (folder / "campaign.json").exists():
        settings = {
            "sweep.subscribers": str(list(sizes)), "workload.rate_hz": str(RATE_HZ), "blocks": "3", "window_s": "10",
            "ramp_hz": "500", "warmup_messages": "3",
        }  # fmt: skip
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        command = ["rtbench", "run", "ci", "--subjects", ",".join(subjects), "--out", str(folder), *words]
        done = subprocess.run([sys.executable, "-m", "rtbench.cli", *command[1:]], check=False)
        if done.returncode not in (0, 3):
            sys.exit(done.returncode)
    return gather(load(folder))


def main(words: Sequence[str]) -> int:
    """Print a row a subject and size."""
    if not words:
        print(__doc__)
        return 2
    folder, subjects = Path(words[0]), list(words[1:]) or ["sse-aiohttp", "websocket-aiohttp"]
    small = measure(folder / "small", subjects, SMALL)
    large = measure(folder / "large", subjects, LARGE)
    print("| subject | subscribers | amount | forecast | measured | off by |")
    print("|---|---|---|---|---|---|")
    for size in LARGE:
        found = forecast(small, Wanted(size, RATE_HZ, busy=1.0), folder / "small")
        for one in found.servers:
            name = f"{one.option.subject.base} [subscribers={size}]"
            for words_, amount, metrics, per in (
                ("cores", one.cores, (CPU,), 1e-9),
                ("bandwidth, Mbit/s", one.bandwidth.times(1e-6), _traffic(large, name), 8e-6),
            ):
                rows = [large.summary(name, metric) for metric in metrics]
                medians = [row.median for row in rows if row is not None and row.median is not None]
                if len(medians) == len(metrics):
                    _print(one.option.subject.base, size, words_, amount, sum(medians) * size * RATE_HZ * per)
    return 0


def _traffic(evidence: Evidence, name: str) -> tuple[str, ...]:
    wire = evidence.summary(name, "wire_bytes_per_message")
    known = wire is not None and wire.median is not None
    return ("wire_bytes_per_message",) if known else ("tcp_down_bytes_per_message", "tcp_up_bytes_per_message")


def _print(subject: str, size: int, words: str, amount: Amount, measured: float) -> None:
    assert amount.value is not None
    ends = "" if amount.low is None or amount.high is None else f" [{amount.low:.3g}, {amount.high:.3g}]"
    off = amount.value / measured - 1
    print(f"| {subject} | {size:,} | {words} | {amount.value:.3g}{ends} | {measured:.3g} | {off:+.1%} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
