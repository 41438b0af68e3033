"""The drift test: a line through batches' medians, of which copies and outliers are one each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy

from rtbench.trial.steadiness import BATCHES, LEVEL, Drift, Spent, drift, edges, fit

SECOND = 10**9
WINDOW = (5 * SECOND, 17 * SECOND)
DUE = np.arange(5 * SECOND, 17 * SECOND, SECOND // 5)  # five a second: five in each of the twelve batches


def found(latency_ns: Any, due: Any = DUE) -> Drift:
    result = drift(due, due + np.asarray(latency_ns, dtype=np.int64), WINDOW)
    assert result is not None
    return result


def test_a_latency_that_doubles_has_changed_by_two_thirds_of_its_mean() -> None:
    progress = (DUE - WINDOW[0]) / (WINDOW[1] - WINDOW[0])
    change = found(3_000_000 * (1 + progress))
    assert change.share == pytest.approx(2 / 3, rel=0.02)
    assert (change.significant, change.batches) == (True, BATCHES)
    assert found(3_000_000 * (2 - progress)).share == pytest.approx(-2 / 3, rel=0.02)


def test_a_latency_that_stays_has_no_drift() -> None:
    change = found(np.full(DUE.size, 3_000_000))
    assert (change.share, change.p, change.significant) == (0.0, 1.0, False)


def test_copies_of_a_broadcast_are_one_event() -> None:
    latency = np.random.default_rng(3).gamma(4.0, 500_000, DUE.size).astype(np.int64)
    one = found(latency)
    assert found(np.repeat(latency, 1000), np.repeat(DUE, 1000)) == one


def test_a_batch_is_its_median_whatever_one_message_did() -> None:
    latency = np.full(DUE.size, 3_000_000)
    latency[-1] = 60 * SECOND
    assert found(latency) == found(np.full(DUE.size, 3_000_000))


def test_order_of_the_deliveries_does_not_matter() -> None:
    latency = np.random.default_rng(4).gamma(4.0, 500_000, DUE.size).astype(np.int64)
    other = np.random.default_rng(5).permutation(DUE.size)
    assert found(latency[other], DUE[other]) == found(latency)


def test_fit_is_the_t_test_of_a_slope() -> None:
    at, values = [0.1, 0.3, 0.4, 0.7, 0.8, 0.95], [5.0, 4.0, 6.5, 6.0, 8.0, 7.0]
    change = fit(at, values)
    assert change is not None
    slope = np.polyfit(at, values, 1)[0]
    r = np.corrcoef(at, values)[0, 1]
    t = r * np.sqrt(4 / (1 - r**2))
    assert change.share == pytest.approx(slope / np.mean(values))
    assert change.p == pytest.approx(2 * scipy.stats.t.sf(abs(t), 4))


@pytest.mark.parametrize(("batches", "says"), [(5, False), (6, True)])
def test_too_few_batches_with_something_in_them_say_nothing(batches: int, says: bool) -> None:
    few = DUE[WINDOW[0] + batches * SECOND > DUE]
    assert (drift(few, few + 1000, WINDOW) is not None) is says
    every_second = DUE[(DUE - WINDOW[0]) // SECOND % 2 == 0]  # six batches of twelve, apart from each other
    assert drift(every_second, every_second + 1000, WINDOW) == Drift(0.0, 1.0, 6)


def test_nothing_delivered_says_nothing() -> None:
    none = np.empty(0, dtype=np.int64)
    assert drift(none, none, WINDOW) is None


def test_latency_that_is_none_has_no_relative_change() -> None:
    """Kernel stamps and the timetable are on two clocks: a mean below 0 is theirs, not a latency."""
    assert drift(DUE, DUE - 5, WINDOW) is None
    assert drift(DUE, DUE, WINDOW) is None


def test_steady_noise_is_called_a_drift_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(1)
    at = (np.arange(BATCHES) + 0.5) / BATCHES
    changes = [fit(at, rng.normal(10, 1, BATCHES)) for _ in range(1000)]
    called = sum(change is not None and change.significant for change in changes)
    low, high = scipy.stats.binom.interval(0.999, 1000, LEVEL)
    assert low <= called <= high


# CPU a message


def spent(cost_ns: Any, at: Any = None) -> Spent:
    """Five broadcasts a second to 1,000; a message takes `cost_ns` (one for each batch)."""
    at = np.asarray(edges(WINDOW) if at is None else at)
    arrived = np.repeat(DUE + SECOND // 10, 1000)
    used = np.asarray(cost_ns)[(DUE - WINDOW[0]) // SECOND] * 1000
    cpu = [9 * SECOND + int(used[at_ns > DUE].sum()) for at_ns in at]
    return Spent(at, np.asarray(cpu), arrived)


def test_edges_of_the_batches_have_the_middle_of_the_window_among_them() -> None:
    assert edges(WINDOW) == [number * SECOND for number in range(5, 18)]
    assert edges(WINDOW)[BATCHES // 2] == sum(WINDOW) // 2


def test_cpu_a_message_is_what_was_used_between_two_readings() -> None:
    one = spent([8000] * 6 + [7000] * 6)
    middle = sum(WINDOW) // 2
    assert one.per_message(WINDOW[0], middle) == 8000
    assert one.per_message(middle, WINDOW[1]) == 7000
    assert one.per_message(*WINDOW) == 7500


def test_readings_that_came_late_count_the_messages_between_them() -> None:
    late = spent([7000] * 12, np.asarray(edges(WINDOW)) + SECOND // 3)
    assert late.per_message(*WINDOW) == 7000


def test_cpu_that_is_dearer_at_first_has_drifted() -> None:
    """As pushes did when the window opened with TCP's first segments: a tenth and more in the first two seconds."""
    drifted = spent(np.linspace(8000, 6000, BATCHES)).drift(WINDOW)
    assert drifted is not None
    assert drifted.share == pytest.approx(-2000 / 7000 * BATCHES / (BATCHES - 1))
    assert drifted.significant
    assert spent([7000] * 12).drift(WINDOW) == Drift(0.0, 1.0, BATCHES)


def test_what_could_not_be_read_says_nothing() -> None:
    one = spent([7000] * 12)
    unread = Spent(one.at_ns, np.full(13, -1), one.arrived_ns)
    assert (unread.per_message(*WINDOW), unread.drift(WINDOW)) == (None, None)
    none = np.empty(0, dtype=np.int64)
    assert Spent(none, none, one.arrived_ns).drift(WINDOW) is None
    assert Spent(one.at_ns, one.cpu_ns, none).drift(WINDOW) is None
    assert Spent(one.at_ns[:-1], one.cpu_ns[:-1], one.arrived_ns).per_message(*WINDOW) is None  # not read at the end
    restarted = Spent(one.at_ns, one.cpu_ns[::-1], one.arrived_ns)
    assert restarted.per_message(*WINDOW) is None
