"""Every subject passes every case that it claims; one verification a subject, one test a case.

What cannot run here (nginx with Nchan, hyperlane, Go, Node) is skipped with the reason and the command that changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeGuard

import pytest

from rtbench import conformance
from rtbench.conformance.verify import Verification, quick_check, verify
from rtbench.subjects import CAPABILITIES
from rtbench.subjects.registry import catalogue, find

pytestmark = pytest.mark.slow


PATIENCE_S = 12.0
"""Seconds a step, on a busy machine."""
AT_ONCE = 2


class Verifications:
    """Two at once, since each waits now and then. Only subjects of the chosen tests are verified."""

    def __init__(self, names: Iterable[str], pool: Executor) -> None:
        able = [name for name in names if not find(name).missing()[0]]
        self._running = {name: pool.submit(_verified, name) for name in able}

    def of(self, subject: str) -> Verification:
        """The finished verification; skips the test where the subject cannot run."""
        if subject not in self._running:
            what, remedy = find(subject).missing()
            pytest.skip(f"{subject} needs {what}: {remedy}")
        return self._running[subject].result()


@pytest.fixture(scope="module")
def verifications(request: pytest.FixtureRequest) -> Iterator[Verifications]:
    """One verification a subject, for all tests of this file."""
    chosen = [item.callspec.params["subject"] for item in request.session.items if _of_a_subject(item)]
    with ThreadPoolExecutor(AT_ONCE, "verify") as pool:
        yield Verifications(dict.fromkeys(chosen), pool)
        pool.shutdown(cancel_futures=True)


def _verified(name: str) -> Verification:
    """As a user verifies it; where that has problems, with the patience that a busy machine needs."""
    found = verify(find(name))
    return found if found.ok else verify(find(name), patience_s=PATIENCE_S)


def _of_a_subject(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and "verifications" in item.fixturenames


PAIRS = [
    (subject.name, case.name)
    for subject in catalogue().values()
    for case in conformance.catalogue().values()
    if subject.transport in case.transports and case.claims <= subject.capabilities
]
"""A subject is held to the cases of its claims; the others: `test_unclaimed_capabilities_are_listed`."""


@pytest.mark.parametrize(("subject", "case"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_case(subject: str, case: str, verifications: Verifications):
    result = next(result for result in verifications.of(subject).cases if result.name == case)
    if result.status == "skipped":
        pytest.skip(result.problems[0])
    assert result.status == "passed", "\n".join(result.problems)


def test_the_quick_check_names_no_problem():
    assert quick_check(find("sse-aiohttp")) == []


def test_every_stack_is_verified():
    four = ("sse", "websocket", "short-poll", "long-poll")
    stacks = {f"{transport}-{stack}" for transport in four for stack in ("aiohttp", "hyperlane", "nchan", "go", "node")}
    assert {"tcp-floor", *stacks} <= {name for name, _ in PAIRS}
    # Whatever a subject does not claim, it brings the right bytes in order.
    assert {(name, case) for name in catalogue() for case in ("bytes", "order")} <= set(PAIRS)


@pytest.mark.parametrize("subject", sorted(n for n, s in catalogue().items() if s.capabilities < CAPABILITIES))
def test_unclaimed_capabilities_are_listed(subject: str, verifications: Verifications):
    found = verifications.of(subject)
    assert found.ok
    claims = find(subject).capabilities
    for result in found.cases:
        unclaimed = sorted(conformance.catalogue()[result.name].claims - claims)
        if unclaimed:
            assert result.status == "skipped"
            assert {f"it does not claim {claim!r}" for claim in unclaimed} <= set(result.problems)
