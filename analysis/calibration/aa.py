"""Two labels of one subject: their intervals hold 1 as often as they should (R9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import scipy

from rtbench.analysis.calibration.check import Check
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.notebook import Campaign, load
from rtbench.analysis.statistics import noise
from rtbench.analysis.statistics.compare import CONFIDENCE, Estimate, compare

AA_METRICS = (
    "latency_kernel_p50_ns", "latency_kernel_within_tick_p99_ns", "server_cpu_ns_per_message",
    "client_cpu_ns_per_message", "tcp_down_bytes_per_message",
)  # fmt: skip
AA_BAND = 0.99
BLOCKS_A_PAIR = 3


def aa_short(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """Two subjects under two labels: their intervals hold 1 as often as they should."""
    held = [one.low <= 1 <= one.high for one in aa_intervals(gather(found["aa-short"])) if one.low and one.high]
    yield _band("A/A intervals that hold 1, all metrics", held)


def judge_aa(folder: Path) -> list[Check]:
    """The A/A campaign of `rtbench aa`: 20 pairs, metric by metric."""
    intervals = aa_intervals(gather(load(folder)))
    result = []
    for metric in AA_METRICS:
        mine = [one for one in intervals if one.metric == metric and one.low is not None and one.high is not None]
        held = [bool(one.low <= 1 <= one.high) for one in mine if one.low is not None and one.high is not None]
        if held:
            result.append(_band(f"A/A intervals that hold 1: {metric}", held))
    return result


def aa_intervals(evidence: Evidence, blocks_a_pair: int = BLOCKS_A_PAIR) -> list[Estimate]:
    """One comparison for each pair of labels, metric and group of blocks, made as the report makes them."""
    blocks = sorted({result.trial.attempt_key for result in evidence.results})
    groups = [blocks[at : at + blocks_a_pair] for at in range(0, len(blocks), blocks_a_pair)]
    found: list[Estimate] = []
    for metric in AA_METRICS:
        for group in groups:
            values = {
                name: {block: value for block, value in evidence.values[metric][name].items() if block in group}
                for name in evidence.names
            }
            found += compare(metric, values, noise.pairs(evidence.names))
    return found


def _band(name: str, held: Sequence[bool]) -> Check:
    low = int(scipy.stats.binom.ppf((1 - AA_BAND) / 2, len(held), CONFIDENCE))
    return Check(
        name, CONFIDENCE * len(held), sum(held), f"of {len(held)}", f"at least {low} ({AA_BAND:.0%} binomial band)",
        sum(held) >= low,
    )  # fmt: skip
