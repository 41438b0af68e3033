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
    """The subject alone."""
    cell: dict[str, Any]
    """What the sweep sets; empty without one."""
    trials: int
    """count: its trials."""
    usable: int
    """count: blocks in which it has a trial of status `ok`."""


class ReportTrial(Record, frozen=True, kw_only=True):
    """One trial's metrics, by name. `counts`: how much of it does; `left_out`: what of `metrics` does not, and why."""

    trial: Place
    """number: unique over all folders of the report."""
    subject: str
    """The item: the subject with its cell."""
    base: str
    """The subject alone."""
    cell: dict[str, Any]
    """What the sweep sets; empty without one."""
    block: Place
    """number: unique over all folders of the report."""
    attempt: Place
    """number: which attempt at the block, from 1."""
    status: Status
    """`ok`, `invalid` or `failed`."""
    reasons: list[Reason]
    """Why it is not `ok`."""
    counts: Literal["all", "some", "none"]
    """How much of it counts."""
    left_out: dict[str, str]
    """A metric's name to why its value does not count."""
    metrics: dict[str, Value]
    """A metric's name to its value, in the unit of its name; null: censored by losses, not eligible, or not there."""


class SummaryRow(Record, frozen=True, kw_only=True):
    """A subject's metric over its trials: the median, and the 95 % interval of their mean."""

    subject: str
    """The item."""
    metric: str
    """The metric's name."""
    unit: str
    """The metric's unit."""
    trials: int
    """count: trials that count."""
    median: Value
    """number: their median; of an even number the mean of the two in the middle. null: none."""
    low: Value
    """number: lower end of the 95 % interval of their mean; null: fewer than two."""
    high: Value
    """number: upper end."""


class Sensitivity(Record, frozen=True, kw_only=True):
    """The range of a ratio of server CPU when each server pays for its own TCP alone (R23)."""

    low: Number
    """number: lower end of the range."""
    high: Number
    """number: upper end."""


class ComparisonRow(Record, frozen=True, kw_only=True):
    """Two subjects, one metric: the ratio a/b, its interval, and its verdict (docs/explanation/statistics.md).

    `margin`, `could_be_up_to`: shares. `within_floor`: a difference is seen, but inside the A/A noise floor.
    `sensitivity`: of server CPU only; null where the share was not calibrated.
    """

    metric: str
    """The metric's name."""
    a: str
    """The item above the line."""
    b: str
    """The item below it."""
    ratio: Number
    """number: a/b, exp of the mean log-ratio over blocks."""
    low: Value
    """number: lower end of its interval; null: one block."""
    high: Value
    """number: upper end."""
    confidence: Number
    """share: of the interval."""
    verdict: Literal["a lower", "a higher", "equivalent", "not resolved", "too few blocks"]
    """Which of the statements the comparison allows."""
    margin: Number
    """share: of equivalence."""
    could_be_up_to: Value
    """share: how far the ratio can be from 1, by the interval; null: settled, or no interval."""
    within_floor: bool
    """Whether a difference is seen that lies inside the noise floor."""
    blocks: Maybe[int] = UNSET
    """count: pairs of (block, attempt) in which both have a value."""
    campaigns: Maybe[int] = UNSET
    """count: campaigns that it is combined of."""
    pooled: Maybe[bool] = UNSET
    """Whether the variance is that of all items of the cell."""
    p: Maybe[Number] = UNSET
    """number: two-sided, of a ratio of 1; null: no interval."""
    q: Maybe[Number] = UNSET
    """number: p adjusted for the comparisons of its family; null: no p."""
    family: Maybe[str] = UNSET
    """The comparisons that were judged together with it."""
    noise_floor: Maybe[Number] = UNSET
    """number: the ratio that one subject under two labels stays within; null: not known."""
    limited_by: Maybe[str] = UNSET
    """Why nothing is settled: `blocks`, `interval`, `multiplicity`, `noise floor`; null: something is."""
    blocks_needed: Maybe[int] = UNSET
    """count: blocks that would settle it; null: settled, or not known."""
    cell: Maybe[dict[str, Any]] = UNSET
    """The cell that both are in; empty without a sweep."""
    sensitivity: Maybe[Sensitivity] = UNSET
    """Of server CPU only: the ratio's range when each server pays for its own TCP; null: not calibrated."""


class ClaimRow(Record, frozen=True, kw_only=True):
    """A sentence and the metric that it is about; the claims of the article have more keys."""

    text: str
    """The sentence."""
    metric: str
    """The metric that it is about."""


class FamilyRow(Record, frozen=True, kw_only=True):
    """Comparisons that are judged together, and how many differ: each alone, and in the end."""

    family: str
    """`headline` or `other`."""
    comparisons: int
    """count: comparisons with a p."""
    metrics: int
    """count: metrics that they are in."""
    alone: int
    """count: with p ≤ 0.05."""
    differences: int
    """count: called a difference in the end."""


class CampaignRatio(Record, frozen=True, kw_only=True):
    """What one of several campaigns says by itself."""

    campaign: str
    """The folder's name."""
    ratio: Number
    """number: a/b in this campaign."""
    low: Value
    """number: lower end of its own interval; null: one block."""
    high: Value
    """number: upper end."""
    blocks: int
    """count: pairs of (block, attempt) in which both have a value."""


class CombinedRow(Record, frozen=True, kw_only=True):
    """A comparison of several campaigns: each, and their random-effects summary. `tau`: of the log-ratio."""

    metric: str
    """The metric's name."""
    a: str
    """The item above the line."""
    b: str
    """The item below it."""
    cell: dict[str, Any]
    """The cell that both are in."""
    ratio: Number
    """number: exp of the mean over campaigns."""
    low: Value
    """number: lower end of the interval over campaigns; null: none."""
    high: Value
    """number: upper end."""
    tau: Value
    """number: standard deviation of the log-ratio between campaigns; null: not known."""
    i2: Value
    """share: of the spread, what is between campaigns; null: not known."""
    predicted_low: Value
    """number: where the next campaign is expected, lower end; null: not known."""
    predicted_high: Value
    """number: upper end."""
    campaigns: list[CampaignRatio]
    """Each campaign by itself."""


class StackRatio(Record, frozen=True, kw_only=True):
    """What one stack says by itself: the comparison of its two subjects."""

    stack: str
    """The stack."""
    ratio: Number
    """number: the transport relative to the other one on this stack."""
    low: Value
    """number: lower end of its interval; null: one block."""
    high: Value
    """number: upper end."""
    verdict: Literal["a lower", "a higher", "equivalent", "not resolved", "too few blocks"]
    """The comparison's own verdict, as in `comparisons`."""
    blocks: int
    """count: pairs of (block, attempt) in which both have a value."""


class StacksSummary(Record, frozen=True, kw_only=True):
    """The random-effects summary over stacks; every key is null for one stack."""

    ratio: Value
    """number: exp of the mean over stacks."""
    low: Value
    """number: lower end of its interval; null: not known."""
    high: Value
    """number: upper end."""
    predicted_low: Value
    """number: where the next stack is expected, lower end of 95 %; null: fewer than three stacks, or one block."""
    predicted_high: Value
    """number: upper end."""
    tau: Value
    """number: standard deviation of the log-ratio between stacks; null: not known."""
    i2: Value
    """share: of the spread, what is between stacks; null: not known."""


class MatrixRow(Record, frozen=True, kw_only=True):
    """A transport relative to SSE in one metric, on each stack that has both, and over the stacks."""

    metric: str
    """The metric's name."""
    transport: str
    """The transport above the line."""
    relative_to: str
    """The transport below it."""
    stacks: list[StackRatio]
    """Each stack by itself."""
    summary: StacksSummary
    """All stacks together."""
    verdict: Literal[
        "on every stack", "depends on the stack", "no difference seen on any", "not resolved", "too few stacks"
    ]
    """What holds of the transport (docs/explanation/statistics.md)."""
    direction: Literal["lower", "higher"] | None
    """Of `on every stack`: which way; null: another verdict."""
    cell: dict[str, Any]
    """The cell that all are in; empty without a sweep."""


class ReportRecord(Record, frozen=True, kw_only=True):
    """report.json."""

    schema: int
    """number: of the folder's format."""
    campaign: str | None
    """The folder's name."""
    scenario: Asked | None
    """As in campaign.json."""
    environment: dict[str, Any] | None
    """As in campaign.json."""
    warnings: list[Reason]
    """The caveats of the first screen."""
    subjects: list[ReportSubject]
    """The items, in the order of the scenario."""
    trials: list[ReportTrial]
    """The trials, each with every metric."""
    summary: list[SummaryRow]
    """A row for each item and metric."""
    comparisons: list[ComparisonRow]
    """A row for each pair of items of one cell and metric that has a direction."""
    combined: list[CombinedRow]
    """Of several campaigns: each one's ratio, and the random-effects summary."""
    matrix: Maybe[list[MatrixRow]] = UNSET
    """Every transport relative to SSE over the stacks; empty where no transport is on two stacks."""
    noise_floor: dict[str, Any] | None
    """`source`, `pairs`, `blocks`, and `metrics`: a metric to a ratio ≥ 1; null: no A/A control."""
    sweep: Maybe[dict[str, Any]] = UNSET
    """Curves, exponents, crossovers; null without a sweep."""
    multiplicity: list[FamilyRow]
    """The families of comparisons."""
    claims: list[ClaimRow]
    """The answer's sentences, then the article's claims."""
    calibration: dict[str, Any] | None
    """As in campaign.json."""
    advice: Maybe[dict[str, Any]] = UNSET
    """The ranking of the transports for the default needs."""
