from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.analysis.statistics.quantiles import eligible, quantiles, rank, sorted_by_group, within_groups


@pytest.mark.parametrize(
    ("count", "level", "place"),
    [
        (1, 0.5, 0),
        (2, 0.5, 0),
        (3, 0.5, 1),
        (100, 0.99, 98),
        (1000, 0.99, 989),
        (1000, 0.999, 998),
        (5, 1.0, 4),
        (5, 0.0, 0),
    ],
)
def test_nearest_rank(count: int, level: float, place: int) -> None:
    assert rank(count, level) == place


def test_lost_messages_push_percentiles_up_and_then_censor_them() -> None:
    values = np.arange(1, 11)
    assert quantiles(values, [0.5, 0.9, 1.0]) == [5, 9, 10]
    assert quantiles(values, [0.5, 0.9, 1.0], lost=1) == [6, 10, None]
    assert quantiles(values, [0.5], lost=11) == [None]
    assert quantiles(np.empty(0), [0.5]) == [None]


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=50), st.integers(0, 20), st.floats(0.01, 1))
def test_agrees_with_numpys_inverted_distribution(values: list[int], lost: int, level: float) -> None:
    whole = np.array([*values, *[np.inf] * lost], dtype=float)
    (mine,) = quantiles(np.sort(np.array(values)), [level], lost)
    # the rounding guard of 1e-9 lets an exact rank stay where arithmetic would say one more
    theirs = {float(np.quantile(whole, max(0.0, min(1.0, level + d)), method="inverted_cdf")) for d in (-1e-9, 0.0)}
    assert (np.inf if mine is None else mine) in theirs


def test_eligibility() -> None:
    assert eligible("p50", 1) and eligible("max", 1)
    assert not eligible("p99", 367) and eligible("p99", 368)
    assert not eligible("p999", 3687) and eligible("p999", 3688)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-(10**9), 10**12)), max_size=40), st.integers(0, 3))
def test_quantiles_within_groups(rows: list[tuple[int, int]], lost: int) -> None:
    group = np.array([g for g, _ in rows], dtype=np.int64)
    values = np.array([v for _, v in rows], dtype=np.int64)
    expected = np.bincount(group, minlength=4) + lost
    ordered = sorted_by_group(values, group)
    for level in (0.5, 0.99, 1.0):
        found = within_groups(*ordered, expected, level)
        slow = [quantiles(np.sort(values[group == g]), [level], lost)[0] for g in range(4) if expected[g]]
        assert found.tolist() == [np.inf if v is None else v for v in slow]
