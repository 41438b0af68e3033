"""What values of a scenario must be together; each by itself is checked by its rule in `rtbench.scenario.tables`.

Invariant: everything that can be known before the first process starts is refused here, with the key, the file and
what is allowed. Called by `rtbench.scenario.loading`.
"""

from __future__ import annotations

from rtbench.errors import ScenarioError, one_of
from rtbench.scenario.model import Scenario
from rtbench.streams import catalogue
from rtbench.subjects.names import is_faulty
from rtbench.subjects.proxies import catalogue as proxies


def check(scenario: Scenario, source: str) -> None:
    """Raises ScenarioError for values that are each allowed and do not go together."""
    for name in scenario.stream:
        if name not in catalogue():
            raise ScenarioError(f"{source}: stream: there is no {name!r}", one_of(name, catalogue()))
    for name in scenario.stream:
        catalogue()[name].check(scenario.make_workload().pace)
    if len(set(scenario.subjects)) < len(scenario.subjects):
        raise ScenarioError(f"{source}: subjects: one is named twice", "name each once")
    if scenario.workers > scenario.subscribers:
        raise ScenarioError(f"{source}: workers = {scenario.workers}", "there cannot be more than subscribers")
    for name, each in (("place", "placement"), ("equivalence", "margin")):
        if name in (key.partition(".")[0] for key in scenario.sweep):
            raise ScenarioError(f"{source}: {name} is no axis of a sweep", f"run a campaign for each {each}")
    if scenario.memory.ladder and scenario.memory.ladder[-1] != scenario.subscribers:
        raise ScenarioError(
            f"{source}: memory.ladder ends with {scenario.memory.ladder[-1]:,}",
            f"its last rung must be subscribers, {scenario.subscribers:,}",
        )
    _conversation(scenario, source)
    _interruptions(scenario, source)
    if scenario.faults.inject and not all(is_faulty(name) for name in scenario.subjects):
        raise ScenarioError(f"{source}: faults.inject", "only the fault-injecting subjects (`…-faulty`) know it")
    if scenario.proxy and scenario.proxy not in proxies():
        raise ScenarioError(f"{source}: proxy: there is no {scenario.proxy!r}", one_of(scenario.proxy, proxies()))
    polled = any(name.startswith("short-poll") for name in scenario.subjects)
    if polled and scenario.grace_s <= scenario.poll.interval_s:
        raise ScenarioError(
            f"{source}: grace_s = {scenario.grace_s:g} is not longer than poll.interval_s", "the last messages need it"
        )


def _conversation(scenario: Scenario, source: str) -> None:
    """Who is to send can: the stream takes messages, and so does every subject."""
    senders = scenario.chat.senders
    if not senders:
        return
    if not any(catalogue()[name].uplink for name in scenario.stream):
        takes = ", ".join(name for name, stream in catalogue().items() if stream.uplink)
        raise ScenarioError(f"{source}: chat.senders = {senders}: none of its streams takes messages", f"add {takes}")
    if senders > scenario.subscribers:
        raise ScenarioError(f"{source}: chat.senders = {senders}", "there cannot be more than subscribers")
    for name in scenario.subjects:
        if "conversation" not in scenario.subject_of(name).capabilities:
            raise ScenarioError(f"{source}: {name} takes no messages from subscribers", "leave it out, or chat.senders")


def _interruptions(scenario: Scenario, source: str) -> None:
    """Each says truly whom it hits, and is over before the trial is: nobody is there to end it afterwards."""
    faults, end_s = scenario.faults, scenario.window_s + scenario.grace_s
    for do, rows, whom in (
        ("stop", faults.stop, ""),
        ("kill", faults.kill, "server"),
        ("starve", faults.starve, "load"),
    ):
        for place, row in enumerate(rows):
            where = f"{source}: faults.{do}[{place}]"
            if whom and row.what != whom:
                raise ScenarioError(f'{where}.what = "{row.what}" cannot be', f'{do} is of the {whom}: what = "{whom}"')
            if row.at_s + row.for_s > end_s:
                raise ScenarioError(
                    f"{where} ends {row.at_s + row.for_s:g} s after the window's start",
                    f"it must be over within window_s + grace_s, {end_s:g} s",
                )
