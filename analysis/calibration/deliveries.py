"""Known delays, known sizes and known faults, against the deliveries of every subscriber."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from rtbench.analysis.calibration.check import Check, measured_trials
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.notebook import Campaign
from rtbench.analysis.samples.framing import FRAMED
from rtbench.records.audit import audit

DELAY_TOLERANCE_MS = 0.3


def delays(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """The median shift of delayed subscribers against undelayed ones of the same trial."""
    campaign = found["delay"]
    delay_ms: dict[int, float] = {}
    for row in campaign.document["scenario"]["faults"]["inject"]:
        delay_ms |= dict.fromkeys(row["subscribers"], row["delay_s"] * 1000.0)
    for trial in measured_trials(campaign):
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
    """Of polls: the time from the request that fetched a message to its answer."""
    frame = _latencies(campaign, trial).sort_values("app_ns")
    asked = campaign.requests(trial.number)[["subscriber", "started_ns"]].sort_values("started_ns")
    joined = pd.merge_asof(
        frame, asked, left_on="app_ns", right_on="started_ns", by="subscriber", allow_exact_matches=False
    )
    return joined.assign(ms=(joined["kernel_ns"] - joined["started_ns"]) / 1e6)


def sizes(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """TCP bytes of the window against each message's size by the specifications (R5)."""
    campaign = found["server-stop"]
    for trial in measured_trials(campaign):
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


_AUDITED = {"drop": "lost", "duplicate": "duplicated", "reorder": "reordered", "corrupt": "corrupted"}


def faults(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """Exactly the injected (subscriber, seq), in the files and in the manifest."""
    campaign = found["faults"]
    rows = campaign.document["scenario"]["faults"]["inject"]
    for trial in measured_trials(campaign):
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
