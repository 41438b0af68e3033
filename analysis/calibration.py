"""What a calibration's campaigns should show, and what they do show: known truths in, deviations out (R16).

Invariant: judged from the raw files alone; what is expected comes from the scenario and the recorded events, by
arithmetic, never from what was measured. A check is a function of this module under `check`, which names the campaign
that it looks at. Called by `rtbench calibrate` and `rtbench aa`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.evidence import Evidence, gather
from rtbench.analysis.notebook import Campaign, load
from rtbench.analysis.samples.framing import FRAMED
from rtbench.analysis.statistics import noise
from rtbench.analysis.statistics.compare import CONFIDENCE, Comparison, compare
from rtbench.records.audit import audit

DELAY_TOLERANCE_MS = 0.3
AA_METRICS = (
    "latency_kernel_p50_ns", "latency_kernel_within_tick_p99_ns", "server_cpu_ns_per_message",
    "client_cpu_ns_per_message", "tcp_down_bytes_per_message",
)  # fmt: skip
AA_BAND = 0.99
BLOCKS_A_PAIR = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One known truth. `deviation` in the unit of the two others; `allowed` says in words what is met."""

    name: str
    expected: float
    measured: float
    unit: str
    allowed: str
    met: bool

    @property
    def deviation(self) -> float:
        """Measured less expected."""
        return self.measured - self.expected

    def row(self) -> dict[str, Any]:
        """As calibration.json has it."""
        return {**asdict(self), "deviation": self.deviation}


Judge = Callable[[Mapping[str, Campaign]], Iterator[Check]]
_JUDGES: list[tuple[tuple[str, ...], Judge]] = []


def check(*needs: str) -> Callable[[Judge], Judge]:
    """Register a function that judges the campaigns in the folders `needs`."""

    def register(judge: Judge) -> Judge:
        _JUDGES.append((needs, judge))
        return judge

    return register


def judge(folder: Path) -> list[Check]:
    """Every check whose campaigns are in `folder`."""
    found: dict[str, Campaign] = {
        path.parent.name: load(path.parent) for path in sorted(folder.glob("*/campaign.json"))
    }
    checks = [one for name, campaign in found.items() for one in _whole(name, campaign)]
    there = {name for name, campaign in found.items() if any(_measured(campaign))}
    return checks + [one for needs, look in _JUDGES if set(needs) <= there for one in look(found)]


def _whole(name: str, campaign: Campaign) -> Iterator[Check]:
    """A trial that failed shows nothing: that is one truth not met, not one fewer."""
    planned = sum(len(block) for block in campaign.document["order"])
    measured = len({(trial.block, trial.subject) for trial in _measured(campaign)})
    if measured < planned:
        yield Check(f"trials of {name}", planned, measured, "trials", "all measured", False)


def noise_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The noise of every metric, from the A/A campaign in `folder` (its sub-folder, or itself)."""
    place = folder / "aa-short" if (folder / "aa-short").exists() else folder
    evidence = gather(load(place))
    return {metric: one.row() for metric, one in noise.noise(evidence.values, evidence.names).items()}


# Delay


@check("delay")
def _delays(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """The median shift of delayed subscribers against undelayed ones of the same trial."""
    campaign = found["delay"]
    delay_ms: dict[int, float] = {}
    for row in campaign.document["scenario"]["faults"]["inject"]:
        delay_ms |= dict.fromkeys(row["subscribers"], row["delay_s"] * 1000.0)
    for trial in _measured(campaign):
        # A short poll's message has waited for its request: the delay is in the answer.
        samples = _answers(campaign, trial) if trial.transport == "short-poll" else _latencies(campaign, trial)
        medians = samples["ms"].groupby(samples["subscriber"].map(delay_ms).fillna(0.0)).median()
        for delay in sorted(set(delay_ms.values())):
            shift = float(medians[delay] - medians[0.0])
            met = abs(shift - delay) <= DELAY_TOLERANCE_MS
            yield Check(
                f"delay of {delay:g} ms, {trial.transport}", delay, shift, "ms", f"± {DELAY_TOLERANCE_MS:g} ms", met
            )


def _latencies(campaign: Campaign, trial: Trial) -> pd.DataFrame:
    frame = campaign.deliveries(trial.number)
    frame = frame[frame["in_window"] & frame["first"] & frame["latency_kernel_ns"].notna()]
    return frame.assign(ms=frame["latency_kernel_ns"] / 1e6)


def _answers(campaign: Campaign, trial: Trial) -> pd.DataFrame:
    """Of polls: how long the answer with each message took, from the request that fetched it."""
    frame = _latencies(campaign, trial).sort_values("app_ns")
    asked = campaign.requests(trial.number)[["subscriber", "started_ns"]].sort_values("started_ns")
    joined = pd.merge_asof(
        frame, asked, left_on="app_ns", right_on="started_ns", by="subscriber", allow_exact_matches=False
    )
    return joined.assign(ms=(joined["kernel_ns"] - joined["started_ns"]) / 1e6)


@check("server-stop")
def _bytes(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """TCP bytes of the window against what the specifications make of every message (R5)."""
    campaign = found["server-stop"]
    for trial in _measured(campaign):
        if trial.transport not in FRAMED:
            continue
        ticks = campaign.ticks(trial.number)
        ticks = ticks[ticks["in_window"]]
        size = FRAMED[trial.transport]
        expected = trial.subscribers * sum(
            size(seq, payload) for seq, payload in zip(ticks["seq"], ticks["payload_bytes"], strict=True)
        )
        table = trial.read("connections", ["tcp_received_bytes_at_start", "tcp_received_bytes_at_end"])
        measured = int((table["tcp_received_bytes_at_end"] - table["tcp_received_bytes_at_start"]).sum())
        yield Check(
            f"TCP bytes of the window, {trial.transport}", expected, measured, "bytes", "exact", measured == expected
        )


# Losses, duplicates, disorder, damage

_AUDITED = {"drop": "lost", "duplicate": "duplicated", "reorder": "reordered", "corrupt": "corrupted"}


@check("faults")
def _faults(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """Exactly the injected (subscriber, seq), in the files and in the manifest."""
    campaign = found["faults"]
    rows = campaign.document["scenario"]["faults"]["inject"]
    for trial in _measured(campaign):
        ticks = trial.read("ticks")
        window = trial.window or (0, 0)
        seqs = ticks["seq"][(ticks["due_ns"] >= window[0]) & (ticks["due_ns"] < window[1])].tolist()
        seen = audit(trial.read("deliveries"), ticks, window, trial.channel_of(), examples=10**9).examples
        named = trial.manifest["audit"]
        for row in rows:
            kind = _AUDITED[row["do"]]
            truth = {(who, seq) for who in row["subscribers"] for seq in seqs if seq % row["every"] == row["of"]}
            exact = set(seen[kind]) == truth == {(who, seq) for who, seq in named[kind]} and bool(truth)
            yield Check(
                f"{kind}, {trial.transport}", len(truth), len(seen[kind]), "messages", "the same messages, named", exact
            )


# Stops


@check("server-stop")
def _server_stop(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """A server stopped for T: the maximum, and the share of messages later than x, are R1's arithmetic."""
    campaign = found["server-stop"]
    for trial in _measured(campaign):
        frame = campaign.deliveries(trial.number)
        frame = frame[frame["in_window"] & frame["first"]]
        received = np.where(frame["kernel_ns"] >= 0, frame["kernel_ns"], frame["app_ns"])
        late = pd.Series(received - frame["due_ns"].to_numpy(), index=frame.index)
        yield from _stop(campaign, trial, frame["due_ns"], late, f"server stopped, {trial.transport}")


@check("publisher-stop")
def _publisher_stop(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """A publisher stopped for T: the same arithmetic, and all of it in the part due → sent."""
    campaign = found["publisher-stop"]
    for trial in _measured(campaign):
        frame = campaign.deliveries(trial.number)
        frame = frame[frame["in_window"] & frame["first"]]
        late = frame["sent_ns"] - frame["due_ns"]
        yield from _stop(campaign, trial, frame["due_ns"], late, "publisher stopped (due → sent)")


def _stop(campaign: Campaign, trial: Trial, due: pd.Series, late: pd.Series, name: str) -> Iterator[Check]:
    (event,) = trial.manifest["events"]
    began, ended = event["began_ns"], event["ended_ns"]
    length_ms = (ended - began) / 1e6
    period_ms = 1e3 / campaign.document["scenario"]["workload"]["rate_hz"]
    highest = float(late.max()) / 1e6
    yield Check(
        f"{name}: maximum", length_ms, highest, "ms", f"≥ T − one period ({length_ms - period_ms:.0f} ms)",
        highest >= length_ms - period_ms,
    )  # fmt: skip
    concerned = int(((due >= began) & (due < ended)).sum())
    for part in (0.25, 0.5, 0.75):
        x_ns = part * (ended - began)
        expected = int(((due >= began) & (due < ended - x_ns)).sum())
        measured = int((late > x_ns).sum())
        yield Check(
            f"{name}: later than {x_ns / 1e6:.0f} ms", expected, measured, "messages",
            f"± 10 % of the {concerned:,} concerned", abs(measured - expected) <= 0.1 * concerned,
        )  # fmt: skip


# A starved load generator


@check("rested", "starved-short")
def _starved(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """INVALID, and while the stalls are shorter than the gap between messages kernel latency hardly moves."""
    rested, starved = (next(iter(_measured(found[name]))) for name in ("rested", "starved-short"))
    yield _invalid(starved, "load starved, short stalls")
    (kernel, app), (kernel_then, app_then) = (
        _means_ms(found["rested"], rested),
        _means_ms(found["starved-short"], starved),
    )
    moved = app_then - app
    yield Check(
        "load starved, short stalls: kernel latency moves", 0.0, kernel_then - kernel, "ms",
        f"less than a tenth of the {moved:.2f} ms that application latency moves",
        moved > 0 and abs(kernel_then - kernel) < moved / 10,
    )  # fmt: skip


@check("rested", "starved-long")
def _starved_long(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """Stalls longer than the gap: shared stamps are found and left out; what is kept is not off by a stall."""
    campaign = found["starved-long"]
    rested, starved = next(iter(_measured(found["rested"]))), next(iter(_measured(campaign)))
    yield _invalid(starved, "load starved, long stalls")
    frame = campaign.deliveries(starved.number)
    frame = frame[frame["in_window"] & frame["first"]]
    expected = _own_stamps(starved, frame)
    share = float(frame["latency_kernel_ns"].notna().mean())
    yield Check(
        "load starved, long stalls: share with a stamp of their own", expected, share, "share", "± 0.1",
        abs(share - expected) <= 0.1,
    )  # fmt: skip
    kernel, _ = _means_ms(found["rested"], rested)
    kernel_then, app_then = _means_ms(campaign, starved)
    yield Check(
        "load starved, long stalls: kernel latency of these moves", 0.0, kernel_then - kernel, "ms",
        f"less than a tenth of the {app_then:.0f} ms of application latency", abs(kernel_then - kernel) < app_then / 10,
    )  # fmt: skip


def _own_stamps(trial: Trial, frame: pd.DataFrame) -> float:
    """The share that keeps its stamp, by arithmetic: of what is due in one stall only the last one does."""
    (event,) = trial.manifest["events"]
    row = trial.manifest["faults"]["starve"][0]
    burn_ns, every_ns = row["burn_s"] * 1e9, row["every_s"] * 1e9
    due = np.unique(frame["due_ns"].to_numpy())
    turn, into = np.divmod(due - event["began_ns"], every_ns)
    stalled = (into < burn_ns) & (due >= event["began_ns"]) & (due < event["ended_ns"])
    kept = np.count_nonzero(~stalled) + np.unique(turn[stalled]).size
    return float(kept / due.size)


def _invalid(trial: Trial, name: str) -> Check:
    spoiled = trial.status == "invalid" and trial.spoils("latency_app_p50_ns")
    return Check(f"{name}: INVALID", 1.0, float(spoiled), "", "application latency is not believed", spoiled)


def _means_ms(campaign: Campaign, trial: Trial) -> tuple[float, float]:
    """Mean kernel latency of the stamped messages, and mean application latency of all."""
    frame = campaign.deliveries(trial.number)
    frame = frame[frame["in_window"] & frame["first"]]
    return float(frame["latency_kernel_ns"].mean()) / 1e6, float(frame["latency_app_ns"].mean()) / 1e6


# A/A


@check("aa-short")
def _aa_short(found: Mapping[str, Campaign]) -> Iterator[Check]:
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


def aa_intervals(evidence: Evidence, blocks_a_pair: int = BLOCKS_A_PAIR) -> list[Comparison]:
    """One comparison for each pair of labels, metric and group of blocks, made as the report makes them."""
    blocks = sorted({result.trial.block for result in evidence.results})
    groups = [blocks[at : at + blocks_a_pair] for at in range(0, len(blocks), blocks_a_pair)]
    found: list[Comparison] = []
    for metric in AA_METRICS:
        for group in groups:
            values = {
                name: {block: value for block, value in evidence.values[metric][name].items() if block in group}
                for name in evidence.names
            }
            found += compare(metric, values, noise.pairs(evidence.names))
    return found


def _band(name: str, held: Sequence[bool]) -> Check:
    low = int(stats.binom.ppf((1 - AA_BAND) / 2, len(held), CONFIDENCE))
    return Check(
        name, CONFIDENCE * len(held), sum(held), f"of {len(held)}", f"at least {low} ({AA_BAND:.0%} binomial band)",
        sum(held) >= low,
    )  # fmt: skip


def _measured(campaign: Campaign) -> Iterator[Trial]:
    return (trial for trial in campaign if trial.measured)
