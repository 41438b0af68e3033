"""report.json: what a report says, for machines.

Invariant: every number is finite; what is not known is null. Written by `rtbench.analysis.report`, read by CI and
notebooks. Its keys and their order are the contract (interface.md, "report.json").
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET

from rtbench.records.campaign import Asked, SubjectRow
from rtbench.records.reason import Reason
from rtbench.records.record import Maybe, Number, Place, Record, Status

Value = int | float | None
"""A metric of a trial, in the unit of its name; null: not known."""


class ReportSubject(SubjectRow, frozen=True, kw_only=True):
    """A subject in a cell (`base`: the subject alone) and how many of its trials are used."""

    base: str
    cell: dict[str, Any]
    trials: int
    usable: int


class ReportTrial(Record, frozen=True, kw_only=True):
    """One trial's metrics, by name. `counts`: how much of it does; `left_out`: what of `metrics` does not, and why."""

    trial: Place
    subject: str
    base: str
    cell: dict[str, Any]
    block: Place
    attempt: Place
    status: Status
    reasons: list[Reason]
    counts: Literal["all", "some", "none"]
    left_out: dict[str, str]
    metrics: dict[str, Value]


class SummaryRow(Record, frozen=True, kw_only=True):
    """A subject's metric over its trials: the median trial, and the 95 % interval."""

    subject: str
    metric: str
    unit: str
    trials: int
    median: Value
    low: Value
    high: Value


class Sensitivity(Record, frozen=True, kw_only=True):
    """The range of a ratio of server CPU when each server pays for its own TCP alone (R23)."""

    low: Number
    high: Number


class ComparisonRow(Record, frozen=True, kw_only=True):
    """Two subjects, one metric: the ratio a/b, its interval, and what that allows to say (METHODOLOGY.md).

    `margin`, `could_be_up_to`: shares. `within_floor`: a difference is seen, but inside the A/A noise floor.
    `sensitivity`: of server CPU only; null where the share was not calibrated.
    """

    metric: str
    a: str
    b: str
    ratio: Number
    low: Value
    high: Value
    confidence: Number
    verdict: Literal["a lower", "a higher", "equivalent", "not resolved", "too few blocks"]
    margin: Number
    could_be_up_to: Value
    within_floor: bool
    sensitivity: Maybe[Sensitivity] = UNSET


class ClaimRow(Record, frozen=True, kw_only=True):
    """A sentence and the metric that it is about; the claims of the article have more keys."""

    text: str
    metric: str


class FamilyRow(Record, frozen=True, kw_only=True):
    """Comparisons that are judged together, and how many differ: each alone, and in the end."""

    family: str
    comparisons: int
    metrics: int
    alone: int
    differences: int


class CampaignRatio(Record, frozen=True, kw_only=True):
    """What one of several campaigns says by itself."""

    campaign: str
    ratio: Number
    low: Value
    high: Value
    blocks: int


class CombinedRow(Record, frozen=True, kw_only=True):
    """A comparison of several campaigns: each, and their random-effects summary. `tau`: of the log-ratio."""

    metric: str
    a: str
    b: str
    cell: dict[str, Any]
    ratio: Number
    low: Value
    high: Value
    tau: Value
    i2: Value
    predicted_low: Value
    predicted_high: Value
    campaigns: list[CampaignRatio]


class ReportRecord(Record, frozen=True, kw_only=True):
    """report.json."""

    schema: int
    campaign: str | None
    scenario: Asked | None
    environment: dict[str, Any] | None
    warnings: list[Reason]
    subjects: list[ReportSubject]
    trials: list[ReportTrial]
    summary: list[SummaryRow]
    comparisons: list[ComparisonRow]
    combined: list[CombinedRow]
    noise_floor: dict[str, Any] | None
    sweep: Maybe[dict[str, Any]] = UNSET
    multiplicity: list[FamilyRow]
    claims: list[ClaimRow]
    calibration: dict[str, Any] | None
    advice: Maybe[dict[str, Any]] = UNSET
