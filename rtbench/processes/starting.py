"""The server of a subject, whatever it is: one of ours, a program, or something at a URL that is not ours to start.

Invariant: all of them have one face: `ready` returns the URL once it answers and fills `uses`; `pid`, `cpu_ns`,
`memory_bytes` and the like are of its whole process tree, of its container's cgroup, or -1 where nothing may be looked
at; `stop` ends what was started and nothing else. Called by the trial, `rtbench serve` and `rtbench verify`.
"""

from __future__ import annotations

from pathlib import Path

from rtbench.machine.topology import Cores
from rtbench.processes.program import ProgramServer
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.remote import RemoteServer
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.subjects import Post, Subject

Server = ServerProcess | ProgramServer | RemoteServer


def server_of(
    subject: Subject,
    scenario: Scenario,
    feed: Path,
    folder: Path,
    cores: Cores,
    log: Path,
    *,
    host: str = "",
    port: int = 0,
    network: str = "",
) -> Server:
    """Start the subject's server on `host` ("": the scenario's) and `port` (0: any free one).

    `folder` is for a program's configuration; `network` is the path of a namespace, "" for this one. Raises
    UnavailableError for a subject that cannot run here.
    """
    subject.check()
    if subject.url:
        return RemoteServer(subject.url)
    host = host or scenario.server.host
    if subject.program is not None:
        return ProgramServer(subject, scenario, feed, folder, cores, log, host=host, port=port, network=network)
    return ServerProcess(
        subject.name, scenario, feed, cores, log, host=host, port=port, network=network, module=subject.module
    )


def publish_into(publisher: PublisherProcess, subject: Subject, server: Server) -> None:
    """Have the publisher post to the server, where that is how this subject is published into; else it has our feed."""
    if isinstance(subject.publish, Post):
        publisher.post_to(server.ready(), subject.publish)
