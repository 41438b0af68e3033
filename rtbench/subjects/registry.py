"""The registry of subjects.

Invariant: every file in `servers/` that defines `SUBJECT`, and every entry point `rtbench.subjects` of an installed
package, adds a subject. A user's own subjects (a Python file, a scenario's `[[subject]]`) are only in the `Registry`
that is passed as a value. Called by the CLI and by `rtbench.scenario.loading`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from rtbench.errors import UserError, one_of
from rtbench.subjects import proxies
from rtbench.subjects.model import Subject
from rtbench.subjects.names import BEHIND, FAULTY, LABEL, PACKAGE, is_faulty, module_at
from rtbench.subjects.requirements import Requirement
from rtbench.subjects.url import subject_at
from rtbench.transports.catalogue import find as transport

ENTRY_POINTS = "rtbench.subjects"


@cache
def catalogue() -> dict[str, Subject]:
    """Every shipped subject and every subject of an installed package, by name."""
    found = dict(_in(PACKAGE))
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            subject = entry.load()
        except Exception as error:
            raise UserError(
                f"the entry point {entry.name} ({entry.value}) cannot be loaded ({type(error).__name__}: {error})",
                "correct or uninstall that package",
            ) from error
        if not isinstance(subject, Subject):
            text = f"the entry point {entry.name} ({entry.value}) is not a Subject"
            raise UserError(text, "see README, Your own server")
        found[subject.name] = replace(subject, module=entry.module)
    return found


@cache
def _in(package: str) -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.name.startswith("_"):
            name = f"{package}.{module.name}"
            subject = getattr(importlib.import_module(name), "SUBJECT", None)
            if subject is not None:
                found[subject.name] = replace(subject, module=name)
    return found


@dataclass(frozen=True, slots=True)
class Registry:
    """Every known subject: the catalogue's and the user's own."""

    own: Mapping[str, Subject] = field(default_factory=dict)

    def adding(self, subject: Subject) -> Registry:
        """This registry with one more subject. Raises UserError for a name in use or an unknown transport."""
        known = catalogue().get(subject.name)
        if known is not None:
            text = f"the subject name {subject.name!r} is in use ({known.description})"
            raise UserError(text, "choose another name")
        transport(subject.transport)
        return Registry({**self.own, subject.name: subject})

    def reading(self, word: str) -> tuple[Registry, str]:
        """This registry with the subject of `word` (a name, a URL, a Python file with `SUBJECT`), and its name.

        Raises UserError that names the file.
        """
        if not word.endswith(".py") or "://" in word:
            return self, word
        subject = replace(module_at(word), module=str(Path(word).resolve()))
        return self.adding(subject), subject.name

    def find(self, name: str) -> Subject:
        """The subject called `name`; also `NAME@LABEL`, `NAME+PROXY`, a URL. Raises UserError that lists the known."""
        if "://" in name:
            return subject_at(name)
        base, at, label = name.partition(LABEL)
        base, plus, proxy = base.partition(BEHIND)
        there = {**catalogue(), **self.own}
        subjects = _in(FAULTY) if is_faulty(name) else there
        if base not in subjects or (at and not label.isalnum()):
            raise UserError(f"unknown subject {name!r}", one_of(name, sorted(there)))
        subject = replace(subjects[base], name=name)
        return behind(subject, proxy) if plus else subject


def find(name: str) -> Subject:
    """The catalogue's subject called `name`. Raises UserError that lists the known ones."""
    return Registry().find(name)


def secured(subject: Subject, version: str) -> Subject:
    """The subject with TLS to its clients; one that cannot have it lacks a requirement (`Subject.missing`)."""
    if subject.url:
        able, remedy = subject.url.startswith(("https:", "wss:")), "write https:// or wss://"
    elif subject.proxy:
        able, remedy = subject.transport != "tcp", ""
    else:
        able = "tls" in subject.capabilities or bool(subject.tls_ca)
        remedy = "put a proxy that speaks it before it (--set proxy=haproxy-tuned), or remove it from subjects"
    cannot = Requirement("a server that speaks TLS, and it has none", lambda: False, remedy)
    return replace(subject, tls=version, requires=subject.requires if able else (*subject.requires, cannot))


def multiplexed(subject: Subject) -> Subject:
    """The subject with HTTP/2 to its clients; one that cannot have it lacks a requirement (`Subject.missing`)."""
    spoken = subject.transport
    if subject.proxy:
        able = spoken in proxies.find(subject.proxy).http2
    else:
        able = "http2" in subject.capabilities or subject.url.startswith(("https:", "wss:"))
    speaking = [one.name for one in proxies.catalogue().values() if spoken in one.http2]
    remedy = "remove it from subjects"
    if speaking:
        remedy = f"put a proxy that speaks it before it (--set proxy={speaking[0]}), or {remedy}"
    cannot = Requirement("HTTP/2 to its clients, and it has none", lambda: False, remedy)
    return replace(subject, http2=True, requires=subject.requires if able else (*subject.requires, cannot))


def behind(subject: Subject, proxy: str) -> Subject:
    """The subject behind a proxy, with the proxy's requirements added. Raises UserError that lists the proxies."""
    found = proxies.find(proxy)
    return replace(subject, proxy=found.name, requires=(*subject.requires, *found.requires))
