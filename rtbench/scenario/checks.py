"""Checks across a scenario's keys; `rtbench.scenario.tables` has the rule of each single key.

Invariant: every conflict that is detectable before the first process starts is refused here, with the key, the file
and the allowed values. Called by `rtbench.scenario.loading`.
"""

from __future__ import annotations

from rtbench.errors import ScenarioError, one_of
from rtbench.scenario.model import Scenario
from rtbench.scenario.networks import impossible
from rtbench.scenario.visits import most_at_once
from rtbench.streams import catalogue
from rtbench.subjects import Post
from rtbench.subjects.names import is_faulty
from rtbench.subjects.proxies import catalogue as proxies
from rtbench.transports.coding import NONE


def check(scenario: Scenario, source: str) -> None:
    """Raises ScenarioError for values that conflict with each other."""
    for name in scenario.stream:
        if name not in catalogue():
            raise ScenarioError(f"{source}: stream: unknown stream {name!r}", one_of(name, catalogue()))
    for name in scenario.stream:
        catalogue()[name].check(scenario.make_workload().pace)
    if len(set(scenario.subjects)) < len(scenario.subjects):
        raise ScenarioError(f"{source}: subjects: duplicate name", "name each subject once")
    if scenario.workers > scenario.subscribers:
        most = f"expected at most subscribers ({scenario.subscribers:,})"
        raise ScenarioError(f"{source}: workers = {scenario.workers}", most)
    for name, each in (("place", "placement"), ("equivalence", "margin")):
        if name in (key.partition(".")[0] for key in scenario.sweep):
            raise ScenarioError(f"{source}: {name} cannot be swept", f"run one campaign for each {each}")
    if scenario.memory.ladder and scenario.memory.ladder[-1] != scenario.subscribers:
        raise ScenarioError(
            f"{source}: memory.ladder ends with {scenario.memory.ladder[-1]:,}",
            f"expected subscribers ({scenario.subscribers:,}) as the last rung",
        )
    _silence(scenario, source)
    _conversation(scenario, source)
    _interruptions(scenario, source)
    _compression(scenario, source)
    _storm(scenario, source)
    _churn(scenario, source)
    _network(scenario, source)
    _http2(scenario, source)
    if scenario.faults.inject and not all(is_faulty(name) for name in scenario.subjects):
        raise ScenarioError(f"{source}: faults.inject", "use it with the fault-injecting subjects (`…-faulty`) only")
    if scenario.proxy and scenario.proxy not in proxies():
        raise ScenarioError(f"{source}: proxy: unknown proxy {scenario.proxy!r}", one_of(scenario.proxy, proxies()))
    _bounds(scenario, source)
    polled = any(name.startswith("short-poll") for name in scenario.subjects)
    if polled and scenario.grace_s <= scenario.poll.interval_s:
        raise ScenarioError(
            f"{source}: grace_s = {scenario.grace_s:g}",
            f"expected more than poll.interval_s ({scenario.poll.interval_s:g})",
        )


def _silence(scenario: Scenario, source: str) -> None:
    """`[idle]`: the window is the silence, and nothing is due in it."""
    length_s = 60 * scenario.idle.minutes
    if not length_s:
        return
    if scenario.window_s != length_s:
        text = f"{source}: window_s = {scenario.window_s:g}: idle.minutes = {scenario.idle.minutes:g} sets it"
        raise ScenarioError(text, f"leave window_s out, or set it to {length_s:g}")
    if scenario.stream != ("fanout",) or scenario.workload.rate_hz * (length_s + 60) >= 1:
        text = f"{source}: idle.minutes = {scenario.idle.minutes:g}: messages are due in the silence"
        raise ScenarioError(text, 'set stream = "fanout", and leave workload.rate_hz out')
    if scenario.memory.ladder or scenario.chat.senders or scenario.faults.kill:
        text = f"{source}: idle.minutes goes with neither memory.ladder nor [chat] nor faults.kill"
        raise ScenarioError(text, "remove one of them")


def _bounds(scenario: Scenario, source: str) -> None:
    """A server must not refuse what the scenario itself asks for."""
    visitors = most_at_once(scenario.churn.rate_hz, scenario.churn.stay_s)
    needed, table = scenario.subscribers + scenario.chat.senders + visitors, scenario.server
    for key in ("connections", "connections_by_peer"):
        if (most := getattr(table, key)) < needed:
            asked = "subscribers, chat.senders, churn.rate_hz and churn.stay_s"
            text = f"{source}: server.{key} = {most:,}: {asked} need {needed:,} connections"
            raise ScenarioError(text, f"--set server.{key}={2 * needed}")
    hz = scenario.chat.senders * scenario.chat.rate_hz
    if hz > table.publishes_hz:
        text = f"{source}: server.publishes_hz = {table.publishes_hz:g}: [chat] sends {hz:g} messages a second"
        raise ScenarioError(text, f"--set server.publishes_hz={2 * hz:g}")
    hz = max((requests_hz(scenario, name) for name in scenario.subjects), default=0.0)
    if hz > table.requests_hz:
        text = f"{source}: server.requests_hz = {table.requests_hz:g}: the polls are {hz:g} requests a second"
        raise ScenarioError(text, f"--set server.requests_hz={2 * hz:g}")


def requests_hz(scenario: Scenario, name: str) -> float:
    """The polls a second that all subscribers of this subject send."""
    if name.startswith("short-poll"):
        return scenario.subscribers / scenario.poll.interval_s
    return scenario.subscribers * scenario.workload.rate_hz if name.startswith("long-poll") else 0.0


def _conversation(scenario: Scenario, source: str) -> None:
    """`[chat] senders` needs a stream and subjects that take messages."""
    senders = scenario.chat.senders
    if not senders:
        return
    if not any(catalogue()[name].uplink for name in scenario.stream):
        takes = ", ".join(name for name, stream in catalogue().items() if stream.uplink)
        raise ScenarioError(f"{source}: chat.senders = {senders}: no stream here takes messages", f"add {takes}")
    if senders > scenario.subscribers:
        most = f"expected at most subscribers ({scenario.subscribers:,})"
        raise ScenarioError(f"{source}: chat.senders = {senders}", most)
    for name in scenario.subjects:
        if "conversation" not in scenario.subject_of(name).capabilities:
            raise ScenarioError(f"{source}: {name} takes no messages from subscribers", "remove it, or chat.senders")


def _compression(scenario: Scenario, source: str) -> None:
    """Each subject must have the coding."""
    if scenario.compression == NONE:
        return
    for name in scenario.subjects:
        codings = scenario.subject_of(name).codings
        if scenario.compression not in codings:
            text = f'{source}: compression = "{scenario.compression}": {name} does not compress with it'
            raise ScenarioError(text, f"remove it, or choose {', '.join([NONE, *sorted(codings)])}")


def _interruptions(scenario: Scenario, source: str) -> None:
    """Each interruption needs a target that its kind supports, and must end before the trial does."""
    faults, end_s = scenario.faults, scenario.window_s + scenario.grace_s
    for do, rows, whom in (
        ("stop", faults.stop, ""),
        ("kill", faults.kill, "server"),
        ("starve", faults.starve, "load"),
    ):
        for place, row in enumerate(rows):
            where = f"{source}: faults.{do}[{place}]"
            if whom and row.what != whom:
                raise ScenarioError(f'{where}.what = "{row.what}"', f'expected "{whom}"')
            if row.at_s + row.for_s > end_s:
                raise ScenarioError(
                    f"{where} ends {row.at_s + row.for_s:g} s after the window's start",
                    f"expected an end within window_s + grace_s, {end_s:g} s",
                )


def _storm(scenario: Scenario, source: str) -> None:
    """A storm happens in the window: what was before it is what it is compared with."""
    storm = scenario.storm
    if storm.at_s >= scenario.window_s:
        text = f"{source}: storm.at_s = {storm.at_s:g}"
        raise ScenarioError(text, f"expected less than window_s ({scenario.window_s:g})")
    if storm.at_s and scenario.churn.rate_hz:
        raise ScenarioError(f"{source}: storm and churn together", "run one campaign for each")


def _churn(scenario: Scenario, source: str) -> None:
    """Visitors listen to a channel that is there without them."""
    if scenario.churn.rate_hz and scenario.workload.channels == "unicast":
        text = f'{source}: churn.rate_hz = {scenario.churn.rate_hz:g} with workload.channels = "unicast"'
        raise ScenarioError(text, "visitors share a channel: --set workload.channels=broadcast")


def _network(scenario: Scenario, source: str) -> None:
    """What a network can do, and which subjects can be behind it: this process does not reach into its namespaces."""
    if scenario.conditions is not None and (found := impossible(scenario.conditions, scenario.network)):
        raise ScenarioError(f"{source}: {found[0]}", found[1])
    for name in scenario.subjects if scenario.conditions is not None else ():
        if "://" in name or (subject := scenario.subject_of(name)).url:
            why = "runs elsewhere"
        elif isinstance(subject.publish, Post):
            why = "gets its messages by HTTP, which does not reach into a namespace"
        else:
            continue
        raise ScenarioError(f"{source}: [network]: {name} {why}", "remove it from subjects, or remove [network]")


def _http2(scenario: Scenario, source: str) -> None:
    """HTTP/2 is agreed on in the TLS handshake; what acts on one connection cannot act on one of its streams."""
    streams = scenario.http2.streams_per_connection
    if not streams:
        return
    asked = f"{source}: http2.streams_per_connection = {streams}"
    if not scenario.tls and not all(scenario.registry.find(name).url for name in scenario.subjects):
        raise ScenarioError(f"{asked} without TLS, in whose handshake HTTP/2 is agreed on", "--set tls=true")
    if scenario.chat.senders:
        raise ScenarioError(f"{asked} with [chat]: senders speak HTTP/1.1", "remove one of them")
    if streams > 1 and (scenario.faults.deaf or (scenario.storm.at_s and scenario.storm.cut < 1)):
        key = "faults.deaf" if scenario.faults.deaf else "storm.cut"
        raise ScenarioError(f"{asked}: {key} acts on a connection, and others share it", "remove one of them")
