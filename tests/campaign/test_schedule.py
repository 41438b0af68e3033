"""Which trial is next: a pure function of the order, what is recorded, and the time that was spent. No process runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.campaign.schedule import Turn, next_turn
from rtbench.records.campaign import TrialRow, numbered
from rtbench.records.record import Status, plain, read
from rtbench.scenario.tables import ValidityTable

ORDER = [["a", "b"], ["b", "a"]]
NO_RERUNS = ValidityTable()


def row(number: int, item: str, block: int, attempt: int | None = 1, status: Status = "ok") -> TrialRow:
    return TrialRow(trial=number, subject=item, block=block, attempt=attempt, status=status, directory=str(number))


def played(
    order: list[list[str]],
    statuses: Mapping[int, Status],
    limits: ValidityTable,
    took_s: float = 10,
    rows: tuple[TrialRow, ...] = (),
    spent_s: dict[tuple[int, int], float] | None = None,
) -> list[Turn]:
    """A whole campaign in which every trial takes `took_s`; `statuses`: number to what it comes to, else "ok"."""
    recorded, spent, turns = list(rows), dict(spent_s or {}), []
    while turn := next_turn(order, recorded, limits, spent):
        turns.append(turn)
        status = statuses.get(turn.number, "ok")
        recorded.append(row(turn.number, turn.item, turn.block, turn.attempt, status))
        place = turn.block, turn.attempt
        spent[place] = spent.get(place, 0.0) + took_s
        assert len(turns) < 1000
    return turns


def test_block_after_block_in_its_order() -> None:
    assert played(ORDER, {}, NO_RERUNS) == [
        Turn("a", block=1, position=1, attempt=1, number=1, total=4),
        Turn("b", block=1, position=2, attempt=1, number=2, total=4),
        Turn("b", block=2, position=1, attempt=1, number=3, total=4),
        Turn("a", block=2, position=2, attempt=1, number=4, total=4),
    ]
    assert next_turn([], [], NO_RERUNS, {}) is None


def test_what_is_recorded_is_not_run_again() -> None:
    rows = (row(1, "a", 1), row(2, "b", 1, status="failed"), row(3, "b", 2))
    assert played(ORDER, {}, NO_RERUNS, rows=rows) == [Turn("a", 2, 2, 1, 4, 4)]


def test_a_row_in_the_middle_that_is_missing_is_filled_in() -> None:
    assert [turn.item for turn in played(ORDER, {}, NO_RERUNS, rows=(row(1, "b", 1), row(2, "a", 2)))] == ["a", "b"]


def test_an_invalid_trial_has_its_block_run_again_whole_before_the_next() -> None:
    turns = played(ORDER, {2: "invalid"}, ValidityTable(reruns=2))
    assert [(turn.item, turn.block, turn.attempt) for turn in turns] == [
        ("a", 1, 1), ("b", 1, 1), ("a", 1, 2), ("b", 1, 2), ("b", 2, 1), ("a", 2, 1),
    ]  # fmt: skip
    assert [turn.total for turn in turns] == [4, 4, 6, 6, 6, 6]
    assert [turn.number for turn in turns] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("status", "again"), [("ok", 0), ("failed", 0), ("invalid", 1)])
def test_a_failed_trial_is_the_subjects_and_not_run_again(status: Status, again: int) -> None:
    turns = played(ORDER[:1], {1: status}, ValidityTable(reruns=5))
    assert max(turn.attempt for turn in turns) == 1 + again


def test_the_attempt_before_decides_and_not_an_earlier_one() -> None:
    turns = played(ORDER[:1], {1: "invalid", 4: "invalid"}, ValidityTable(reruns=5))
    assert [turn.attempt for turn in turns] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("rerun_s", "attempts"),
    [(0, 1), (19.9, 1), (20, 2), (39.9, 2), (40, 3), (1000, 4)],
)
def test_attempts_fit_into_their_time(rerun_s: float, attempts: int) -> None:
    """A block takes 20 s here, every time, and always has an invalid trial."""
    statuses: dict[int, Status] = dict.fromkeys(range(1, 100), "invalid")
    turns = played(ORDER[:1], statuses, ValidityTable(reruns=3, rerun_s=rerun_s))
    assert max(turn.attempt for turn in turns) == attempts


def test_blocks_share_the_time() -> None:
    statuses: dict[int, Status] = dict.fromkeys(range(1, 100), "invalid")
    turns = played(ORDER, statuses, ValidityTable(reruns=1, rerun_s=39))
    assert [(turn.block, turn.attempt) for turn in turns] == [(1, 1)] * 2 + [(1, 2)] * 2 + [(2, 1)] * 2


def test_an_attempt_that_was_begun_is_finished_whatever_the_time() -> None:
    rows = (row(1, "a", 1, status="invalid"), row(2, "b", 1), row(3, "a", 1, attempt=2))
    limits = ValidityTable(reruns=1, rerun_s=0)
    assert played(ORDER[:1], {}, limits, rows=rows, spent_s={(1, 1): 20, (1, 2): 9}) == [Turn("b", 1, 2, 2, 4, 4)]


def test_blocks_that_are_not_asked_for_any_more_do_not_count() -> None:
    rows = (*(row(n, item, 1) for n, item in enumerate("ab", 1)), row(3, "b", 2), row(4, "b", 2, attempt=2))
    assert next_turn(ORDER[:1], rows, ValidityTable(reruns=1), {}) is None
    assert next_turn([["a", "b", "c"]], rows, NO_RERUNS, {}) == Turn("c", 1, 3, 1, 5, 3)


@given(
    blocks=st.integers(1, 3),
    items=st.integers(1, 3),
    reruns=st.integers(0, 2),
    invalid=st.sets(st.integers(1, 30)),
    cut=st.integers(0, 30),
)
def test_a_campaign_that_is_taken_up_again_runs_the_same_trials(
    blocks: int, items: int, reruns: int, invalid: set[int], cut: int
) -> None:
    order = [[f"s{i}" for i in range(items)]] * blocks
    statuses: dict[int, Status] = dict.fromkeys(invalid, "invalid")
    limits = ValidityTable(reruns=reruns, rerun_s=86_400)
    whole = played(order, statuses, limits)
    rows = tuple(row(t.number, t.item, t.block, t.attempt, statuses.get(t.number, "ok")) for t in whole[:cut])
    assert played(order, statuses, limits, rows=rows) == whole[cut:]
    # The same from a folder whose rows have no attempts.
    old = numbered(row(t.number, t.item, t.block, None, statuses.get(t.number, "ok")) for t in whole[:cut])
    assert tuple(old) == rows


def test_rows_of_before_are_numbered_in_their_order_and_stay_as_they_are() -> None:
    value: dict[str, Any] = {"trial": 1, "subject": "a", "block": 1, "mine": 5, "directory": "d"}
    rows = [read(TrialRow, value | {"trial": number}, "") for number in (1, 2)]
    assert [plain(one) for one in numbered(rows)] == [
        value | {"attempt": 1},
        value | {"trial": 2, "attempt": 2},
    ]
    cells = [row(1, "a", 1, None), row(2, "a", 2, None)]
    assert [one.attempt for one in numbered(cells)] == [1, 1]
