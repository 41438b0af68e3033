"""Every subject passes every case that it claims; one verification a subject, one test a case.

What cannot run here (nginx with Nchan, hyperlane, Node) is skipped with the reason and the command that changes it.
"""

from __future__ import annotations

from functools import cache

import pytest

from rtbench import conformance
from rtbench.conformance.verify import Verification, quick_check, verify
from rtbench.subjects import CAPABILITIES
from rtbench.subjects.registry import catalogue, find

pytestmark = pytest.mark.slow


PATIENCE_S = 12.0
"""For servers that are right, on machines that are busy; what is wrong is found whatever it is."""


def verified(subject: str) -> Verification:
    what, remedy = find(subject).missing()
    if what:
        pytest.skip(f"{subject} needs {what}: {remedy}")
    return _verified(subject)


@cache
def _verified(subject: str) -> Verification:
    return verify(find(subject), patience_s=PATIENCE_S)


PAIRS = [
    (subject.name, case.name)
    for subject in catalogue().values()
    for case in conformance.catalogue().values()
    if subject.transport in case.transports and case.claims <= subject.capabilities
]
"""Who does not claim what a case is of is not asked: see `test_what_is_not_claimed_is_said`."""


@pytest.mark.parametrize(("subject", "case"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_case(subject: str, case: str):
    result = next(result for result in verified(subject).cases if result.name == case)
    if result.status == "skipped":
        pytest.skip(result.problems[0])
    assert result.status == "passed", "\n".join(result.problems)


def test_the_quick_check_names_no_problem():
    assert quick_check(find("sse-aiohttp")) == []


def test_every_stack_is_verified():
    assert {"tcp-floor", "sse-nchan", "websocket-nchan", "long-poll-nchan"} <= {name for name, _ in PAIRS}
    assert {"sse-hyperlane", "websocket-hyperlane"} <= {name for name, _ in PAIRS}
    assert {"sse-node", "websocket-node", "short-poll-node", "long-poll-node"} <= {name for name, _ in PAIRS}
    # Whatever a subject does not claim, it brings the right bytes in order.
    assert {(name, case) for name in catalogue() for case in ("bytes", "order")} <= set(PAIRS)


@pytest.mark.parametrize("subject", sorted(n for n, s in catalogue().items() if s.capabilities < CAPABILITIES))
def test_what_is_not_claimed_is_said(subject: str):
    found = verified(subject)
    assert found.ok
    claims = find(subject).capabilities
    for result in found.cases:
        unclaimed = sorted(conformance.catalogue()[result.name].claims - claims)
        if unclaimed:
            assert result.status == "skipped"
            assert {f"it does not claim {claim!r}" for claim in unclaimed} <= set(result.problems)
