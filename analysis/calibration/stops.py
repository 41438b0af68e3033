"""A server or a publisher that was stopped for a known time: R1's arithmetic predicts the lateness of its messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from rtbench.analysis.calibration.check import Check, measured_trials
from rtbench.analysis.campaigns.trials import Trial
from rtbench.analysis.notebook import Campaign


def server_stop(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """A server stopped for T: the maximum, and the share of messages later than x, are R1's arithmetic."""
    campaign = found["server-stop"]
    for trial in measured_trials(campaign):
        frame = campaign.deliveries(trial.number)
        frame = frame[frame["in_window"] & frame["first"]]
        received = np.where(frame["kernel_ns"] >= 0, frame["kernel_ns"], frame["app_ns"])
        late = pd.Series(received - frame["due_ns"].to_numpy(), index=frame.index)
        yield from _stop(campaign, trial, frame["due_ns"], late, f"server stopped, {trial.transport}")


def publisher_stop(found: Mapping[str, Campaign]) -> Iterator[Check]:
    """A publisher stopped for T: the same arithmetic, and all of it in the part due → sent."""
    campaign = found["publisher-stop"]
    for trial in measured_trials(campaign):
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
