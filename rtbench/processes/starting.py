"""The server of any subject: one of ours, a program, or a foreign server at a URL.

Invariant: all have the same methods. `ready` returns the URL once the server answers, and fills `uses`. `cpu_ns`,
`memory_bytes` and similar cover the whole process tree or the container's cgroup; -1: cannot be read. `stop` ends only
the started process. Called by the trial, `rtbench serve` and `rtbench verify`.
"""

from __future__ import annotations

from pathlib import Path

from rtbench.machine.topology import Cores
from rtbench.processes import certificates
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

    `folder` is for a program's configuration, and has the certificates of a subject with TLS; `network` is the path of
    a namespace, "" for this one. Raises UnavailableError for a subject that cannot run here.
    """
    subject.check()
    if subject.url:
        return RemoteServer(subject.url)
    host = host or scenario.server.host
    tls = None if subject.proxy else certificates.files(subject, folder)
    if subject.program is not None:
        return ProgramServer(
            subject, scenario, feed, folder, cores, log, host=host, port=port, network=network, tls=tls
        )
    return ServerProcess(
        subject.name, scenario, feed, cores, log, host=host, port=port, network=network, module=subject.module, tls=tls
    )


def publish_into(publisher: PublisherProcess, subject: Subject, server: Server) -> None:
    """Have the publisher post to the server, if the subject takes messages by HTTP; other servers read the feed."""
    if isinstance(subject.publish, Post):
        url = server.ready()
        publisher.post_to((isinstance(server, ProgramServer) and server.post_url) or url, subject.publish)
