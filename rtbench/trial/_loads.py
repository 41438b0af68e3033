"""The load processes of a trial: their subscribers, and the size of their capture buffers.

Invariant: subscribers are numbered 0… over all processes without a gap. Called by the process group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from rtbench.machine import inner_loop
from rtbench.messages.load import ChatSettings, ChurnSettings, LoadSettings, ReconnectPolicy, StormSettings
from rtbench.processes.load import LoadProcess
from rtbench.scenario.model import Scenario
from rtbench.scenario.warm_up import warm_up_s
from rtbench.transports.catalogue import find
from rtbench.trial._run import Run

_MESSAGE_BYTES, _ANSWER_BYTES = 60, 250
"""About what a message has around it (fields, a frame, JSON), and a poll's answer (its head)."""
CAPTURE_LIMIT = 192 * 2**20


def length_s(scenario: Scenario) -> float:
    """The planned length of a trial's timetable, with a reserve."""
    climb_s = len(scenario.memory.ladder) * scenario.memory.stream_s
    ramp_s = scenario.subscribers / scenario.ramp_hz
    return ramp_s + climb_s + warm_up_s(scenario) + scenario.window_s + scenario.grace_s + 5


def loads_of(run: Run, sockets: Path, network: str) -> Iterator[LoadProcess]:
    """The load processes of `run`; each listens for the trial's commands on its own socket in `sockets`.

    `network`: the namespace that they are in ("": this one).
    """
    scenario, subject = run.spec.scenario, run.spec.subject
    workers = scenario.workers or 1
    table = scenario.workload
    # What a worker reads from start to end, by the plan; a stream that paces itself gets the default.
    # Nchan answers a short poll for each message, then with none. (A buffer that fills is decoded in the window.)
    polled_hz = table.rate_hz + 1 / scenario.poll.interval_s
    answers_hz = {"short-poll": polled_hz, "long-poll": table.rate_hz}.get(subject.transport, 0.0)
    per_second = table.rate_hz * (table.payload_bytes + _MESSAGE_BYTES) + answers_hz * _ANSWER_BYTES
    listening = scenario.subscribers + scenario.churn.rate_hz * scenario.churn.stay_s
    expected = int(1.3 * per_second * length_s(scenario) * listening / workers)
    beats = "heartbeat" in subject.capabilities and not subject.proxy
    reconnect, chat = scenario.reconnect, scenario.chat
    settings = LoadSettings(
        streams=scenario.stream,
        unicast=table.channels == "unicast",
        poll_interval_s=scenario.poll.interval_s,
        long_timeout_s=scenario.poll.long_timeout_s,
        capture_bytes=min(max(expected, 8 * 2**20), CAPTURE_LIMIT // workers),
        long=expected > CAPTURE_LIMIT // workers,
        path=subject.template,
        codec=subject.codec,
        carries_id=subject.carries_id,
        payload=subject.payload,
        headers=dict(subject.headers),
        subprotocol=subject.subprotocol,
        greeting=tuple(subject.greeting),
        compression=scenario.compression,
        tls_ca=subject.tls_ca,
        due=subject.due,
        reconnect_policy=ReconnectPolicy(
            reconnect.eventsource_s,
            reconnect.backoff_s,
            reconnect.backoff_most_s,
            scenario.seed,
            reconnect.policy,
        ),
        chat=ChatSettings(chat.senders, chat.rate_hz, scenario.subscribers, scenario.seed, scenario.epoch_s),
        churn=_churn(scenario, workers),
        storm=StormSettings(scenario.storm.at_s, scenario.storm.cut, scenario.subscribers),
        library=str(inner_loop.library() or ""),
        deaf=scenario.faults.deaf,
        spill=str(run.folder),
        streams_per_connection=scenario.http2.streams_per_connection,
        heartbeat_s=max(scenario.server.heartbeat_s, subject.least_heartbeat_s) if beats else 0.0,
    )
    first = 0
    for worker in range(workers):
        share = scenario.subscribers // workers + (worker < scenario.subscribers % workers)
        cores = run.place.load if workers == 1 else run.place.load[worker % len(run.place.load) :][:1]
        log = run.folder / ("load.log" if workers == 1 else f"load-{worker}.log")
        mine = structs.replace(settings, churn=structs.replace(settings.churn, worker=worker))
        yield LoadProcess(find(subject.transport).user, mine, share, first, sockets, cores, log, network)
        first += share


def _churn(scenario: Scenario, workers: int) -> ChurnSettings:
    """The visits of all load processes; those of the window's start arrive in the warm-up's second half."""
    churn = scenario.churn
    return ChurnSettings(
        rate_hz=churn.rate_hz,
        stay_s=churn.stay_s,
        window_s=scenario.window_s,
        lead_s=scenario.warmup_s / 2,
        patience_s=scenario.grace_s,
        seed=scenario.seed,
        first=scenario.subscribers,
        workers=workers,
    )
