"""A load generator that was kept from its core: its trial is INVALID, and kernel stamps hold out longer (R2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from rtbench.analysis.calibration.check import Check, measured_trials
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.notebook import Campaign


def starved_short(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """INVALID, and while the stalls are shorter than the gap between messages kernel latency hardly moves."""
    rested, starved = (next(iter(measured_trials(found[name]))) for name in ("rested", "starved-short"))
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


def starved_long(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """Stalls longer than the gap: shared stamps are found and left out; what is kept is not off by a stall."""
    campaign = found["starved-long"]
    rested, starved = next(iter(measured_trials(found["rested"]))), next(iter(measured_trials(campaign)))
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
