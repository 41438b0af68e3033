"""A load generator that was kept from its core: its trial is INVALID, but a push's kernel stamps stay right (R2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from rtbench.analysis.calibration.check import Check, measured_trials
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.metrics import POLLING
from rtbench.analysis.notebook import Campaign


def starved_short(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """INVALID, and while the stalls are shorter than the gap between messages a push's kernel latency hardly moves."""
    for rested, starved in _pairs(found, "starved-short"):
        name = f"load starved, short stalls, {starved.transport}"
        yield _invalid(starved, name)
        if starved.transport in POLLING:
            continue
        (kernel, app), (kernel_then, app_then) = (
            _means_ms(found["rested"], rested),
            _means_ms(found["starved-short"], starved),
        )
        moved = app_then - app
        yield Check(
            f"{name}: kernel latency moves", 0.0, kernel_then - kernel, "ms",
            f"less than a tenth of the {moved:.2f} ms that application latency moves",
            moved > 0 and abs(kernel_then - kernel) < moved / 10,
        )  # fmt: skip


def starved_long(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """Stalls longer than the gap: shared stamps are left out, and the others are not off by a stall."""
    campaign = found["starved-long"]
    for rested, starved in _pairs(found, "starved-long"):
        name = f"load starved, long stalls, {starved.transport}"
        yield _invalid(starved, name)
        if starved.transport in POLLING:  # the messages of one answer share their stamp rightly
            continue
        frame = campaign.deliveries(starved.number)
        frame = frame[frame["in_window"] & frame["first"]]
        expected = _own_stamps(starved, frame)
        share = float(frame["latency_kernel_ns"].notna().mean())
        yield Check(
            f"{name}: share with a stamp of their own", expected, share, "share", "± 0.1", abs(share - expected) <= 0.1
        )
        kernel, _ = _means_ms(found["rested"], rested)
        kernel_then, app_then = _means_ms(campaign, starved)
        yield Check(
            f"{name}: kernel latency of these moves", 0.0, kernel_then - kernel, "ms",
            f"less than a tenth of the {app_then:.0f} ms of application latency",
            abs(kernel_then - kernel) < app_then / 10,
        )  # fmt: skip


def _pairs(found: Mapping[str, Campaign], name: str) -> Iterator[tuple[Trial, Trial]]:
    """Each subject's undisturbed trial and its starved one."""
    rested = {trial.subject: trial for trial in measured_trials(found["rested"])}
    return ((rested[one.subject], one) for one in measured_trials(found[name]) if one.subject in rested)


def _own_stamps(trial: Trial, frame: pd.DataFrame) -> float:
    """The share with a stamp of its own, by arithmetic: of the messages due in one stall only the last one has it."""
    (event,) = trial.manifest["events"]
    row = trial.manifest["faults"]["starve"][0]
    burn_ns, every_ns = row["burn_s"] * 1e9, row["every_s"] * 1e9
    due = np.unique(frame["due_ns"].to_numpy())
    turn, into = np.divmod(due - event["began_ns"], every_ns)
    stalled = (into < burn_ns) & (due >= event["began_ns"]) & (due < event["ended_ns"])
    kept = np.count_nonzero(~stalled) + np.unique(turn[stalled]).size
    return float(kept / due.size)


def _invalid(trial: Trial, name: str) -> Check:
    """A push waits in the kernel with its stamp; a poll is sent late, so its kernel latency is wrong, too."""
    sides = ("app", "kernel") if trial.transport in POLLING else ("app",)
    spoiled = trial.status == "invalid" and all(trial.spoils(f"latency_{side}_p50_ns") for side in sides)
    words = "application and kernel latency are" if len(sides) > 1 else "application latency is"
    return Check(f"{name}: INVALID", 1.0, float(spoiled), "", f"{words} not believed", spoiled)


def _means_ms(campaign: Campaign, trial: Trial) -> tuple[float, float]:
    """Mean kernel latency of the stamped messages, and mean application latency of all."""
    frame = campaign.deliveries(trial.number)
    frame = frame[frame["in_window"] & frame["first"]]
    return float(frame["latency_kernel_ns"].mean()) / 1e6, float(frame["latency_app_ns"].mean()) / 1e6
