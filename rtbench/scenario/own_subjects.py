"""A scenario's own subjects: its `[[subject]]` rows, checked. Called by `rtbench.scenario.loading`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtbench.errors import ScenarioError, UserError, one_of
from rtbench.scenario.tables import SubjectTable
from rtbench.subjects import CLAIMS, NOBODY, Post, Program, Subject
from rtbench.subjects.registry import Registry
from rtbench.subjects.url import check
from rtbench.transports.catalogue import maker


def known_with(registry: Registry, rows: Sequence[SubjectTable], source: str) -> Registry:
    """The registry with the subjects of [[subject]] added. Raises ScenarioError that names the wrong row."""
    for place, row in enumerate(rows):
        where = f"{source}: subject[{place}]"
        if not row.name or not row.transport or bool(row.command) == bool(row.url):
            raise ScenarioError(f"{where}: expected a name, a transport, and a command or a url", "see README")
        unknown = set(row.capabilities) - CLAIMS.keys()
        if unknown:
            first = sorted(unknown)[0]
            raise ScenarioError(f"{where}: unknown capability {first!r}", one_of(first, sorted(CLAIMS)))
        if any(row.name == other.name for other in rows[:place]):
            raise ScenarioError(f"{where}: the name {row.name!r} is in use", "choose another name")
        try:
            if row.url:
                check(row.url)
            maker(row.transport, row.codec)
            registry = registry.adding(replace(of_table(row), module=source))
        except UserError as error:
            raise ScenarioError(f"{where}: {error.message}", error.remedy) from error
    return registry


def of_table(row: SubjectTable) -> Subject:
    """The subject of a scenario's [[subject]]."""
    post = Post(
        row.post_path,
        row.post_wrap,
        row.post_connections,
        row.post_batch,
        row.post_headers,
        body=row.post_body,
        content_type=row.post_type,
        port=row.post_port,
    )
    program = None
    if row.command:
        program = Program(row.command, row.ready, row.version, row.environment, row.cgroup, row.cwd, row.tidy)
    return Subject(
        name=row.name,
        transport=row.transport,
        stack=row.stack or row.name,
        arm=row.arm,
        technique=row.technique,
        program=program,
        url=row.url,
        publish=NOBODY if row.url and row.publish == "feed" else post if row.publish == "post" else row.publish,
        description=row.description,
        carries_id=row.carries_id,
        payload=row.payload,
        path=row.path,
        codec=row.codec,
        headers=row.headers,
        subprotocol=row.subprotocol,
        greeting=row.greeting,
        tls_ca=row.tls_ca,
        due=row.due,
        capabilities=frozenset(row.capabilities),
    )
