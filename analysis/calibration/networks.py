"""Known networks: delay, jitter, loss and rate of a scenario's [network], on the deliveries that crossed it (R18).

Invariant: a time is compared with that of the same load through the same router without it. Called by the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.analysis.calibration.check import Check, measured_trials
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.notebook import Campaign
from rtbench.analysis.samples.framing import FRAMED

TIME_MS = 0.3
_SIGMAS = 4.0
"""Standard deviations that a share or a quantile may be off by chance: 1 of 16,000."""
_RATE_SHARE = 0.01
_SEGMENT, _HEADS = 1448, 52
"""Bytes of a stream in a packet of 1,500 bytes, and its heads: IPv4 20, TCP 20 with 12 of timestamps (RFC 7323)."""


def delays(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """One way in the latency, both ways in the set-up of a TCP connection."""
    yield from _delays(found["network-delay"], "")


def thousand(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """The same under a load of thousands of packets a second."""
    yield from _delays(found["network-thousand"], ", 1,000 subscribers")


def _delays(campaign: Campaign, which: str) -> Iterator[Check]:
    trials = _by(campaign, "delay_ms")
    if 0.0 not in trials:
        return
    at_once = _latencies_ms(campaign, trials[0.0])
    for delay, trial in trials.items():
        if not delay:
            continue
        moved = float(np.median(_latencies_ms(campaign, trial)) - np.median(at_once))
        yield _time(f"network, delay of {delay:g} ms: latency{which}", delay, moved)
        trip = _connect_ms(trial) - _connect_ms(trials[0.0])
        yield _time(f"network, round trip of {2 * delay:g} ms: TCP connect{which}", 2 * delay, trip)


def jitter(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """The quantiles of an even spread around the latency without jitter."""
    campaign = found["network-jitter"]
    trials = _by(campaign, "jitter_ms")
    if 0.0 not in trials:
        return
    middle = float(np.median(_latencies_ms(campaign, trials[0.0])))
    for spread, trial in trials.items():
        if not spread:
            continue
        values = _latencies_ms(campaign, trial)
        for share in (0.1, 0.5, 0.9):
            expected = spread * (2 * share - 1)
            by_chance = _SIGMAS * 2 * spread * math.sqrt(share * (1 - share) / values.size)
            allowed = TIME_MS + by_chance
            measured = float(np.quantile(values, share)) - middle
            yield Check(
                f"network, jitter of ± {spread:g} ms: quantile {share:g}", expected, measured, "ms",
                f"± {allowed:.2g} ms ({values.size:,} messages)", abs(measured - expected) <= allowed,
            )  # fmt: skip


def loss(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """The share of lost packets, whatever their size."""
    for trial in measured_trials(found["network-loss"]):
        network = trial.network
        asked = float(network["loss"])
        for name, way in (("to clients", network["down"]), ("to the server", network["up"])):
            packets, lost = int(way["packets"]), int(way["lost"])
            if not packets:
                continue
            allowed = _SIGMAS * math.sqrt(asked * (1 - asked) / packets)
            size = way["bytes"] / packets
            yield Check(
                f"network, loss of {asked:.0%}, packets of {size:,.0f} bytes {name}".replace("%", " %"),
                asked, lost / packets, "share", f"± {allowed:.2g} ({packets:,} packets)",
                abs(lost / packets - asked) <= allowed,
            )  # fmt: skip


def rate(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """The bits of a message on the wire by the time that the link takes for them."""
    campaign = found["network-rate"]
    trials = _by(campaign, "rate_mbit")
    if len(trials) < 2:
        return
    fast = max(trials)
    middle_ms = float(np.median(_latencies_ms(campaign, trials[fast])))
    for mbit, trial in trials.items():
        if mbit == fast:
            continue
        taken_ms = float(np.median(_latencies_ms(campaign, trial))) - middle_ms
        bits = 8 * _wire_bytes(campaign, trial)
        measured = bits / (taken_ms + bits / fast / 1e3) / 1e3
        yield Check(
            f"network, rate of {mbit:g} Mbit/s", mbit, measured, "Mbit/s", "± 1 %",
            abs(measured - mbit) <= _RATE_SHARE * mbit,
        )  # fmt: skip


def _wire_bytes(campaign: Campaign, trial: Trial) -> float:
    """The bytes of a message's packets, the median over the window's messages."""
    ticks = campaign.ticks(trial.number)
    ticks = ticks[ticks["in_window"]]
    sizes = []
    for seq, payload in zip(ticks["seq"], ticks["payload_bytes"], strict=True):
        stream = FRAMED[trial.transport](seq, payload)
        sizes.append(stream + _HEADS * math.ceil(stream / _SEGMENT))
    return float(np.median(sizes))


def _time(name: str, expected: float, measured: float) -> Check:
    return Check(name, expected, measured, "ms", f"± {TIME_MS:g} ms", abs(measured - expected) <= TIME_MS)


def _by(campaign: Campaign, key: str) -> dict[float, Trial]:
    """The measured trials by what their network was asked for."""
    return {float(trial.network[key]): trial for trial in measured_trials(campaign) if trial.network}


def _connect_ms(trial: Trial) -> float:
    """The median time of a TCP connect, as the load process notices it."""
    table = trial.read("connections", ["started_ns", "connected_ns"])
    there = table["connected_ns"] >= 0
    return float(np.median((table["connected_ns"] - table["started_ns"])[there])) / 1e6


def _latencies_ms(campaign: Campaign, trial: Trial) -> npt.NDArray[np.float64]:
    """From due to the kernel's stamp, of the window's messages."""
    frame = campaign.deliveries(trial.number)
    frame = frame[frame["in_window"] & frame["first"] & frame["latency_kernel_ns"].notna()]
    values: Any = frame["latency_kernel_ns"].to_numpy(dtype=np.float64)
    return np.asarray(values / 1e6)
