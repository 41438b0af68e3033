"""Each planted fault is found by its kind, a clean server is clean, and nothing hangs, whatever the server sends."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rtbench.diagnosis import catalogue
from rtbench.diagnosis._evidence import Limits
from rtbench.diagnosis.diagnose import Diagnosis, diagnose
from rtbench.errors import UserError
from rtbench.subjects import NOBODY, Subject

from . import planted as servers
from .planted import Planted, planted

pytestmark = pytest.mark.slow

LIMITS = Limits(seconds=3.5, least_s=2.5, silence_s=1.0, patience_s=1.0, cut_s=0.5, bytes=2**20)
CALM = replace(LIMITS, silence_s=30.0, patience_s=10.0)
"""For servers that are clean: a busy machine must not look like a fault of theirs."""

FAULTS: dict[str, tuple[Planted, str, str]] = {
    "buffered": (servers.buffered, "buffered", "error"),
    "clumps": (servers.in_clumps, "buffered", "error"),
    "stall": (servers.zipped(zlib.Z_NO_FLUSH), "compression-stall", "error"),
    "zipped": (servers.zipped(zlib.Z_SYNC_FLUSH), "compression-stall", "info"),
    "silent": (servers.silent, "no-heartbeat", "warning"),
    "cut": (servers.cut, "idle-cut", "error"),
    "nagle": (servers.small_writes, "nagle", "warning"),
    "cacheable": (servers.bare, "headers", "warning"),
    "nameless": (servers.bare, "no-resume", "warning"),
    "length": (servers.with_a_length, "headers", "error"),
    "charset": (servers.with_a_length, "wrong-content-type", "warning"),
    "forgets": (servers.forgets, "no-resume", "warning"),
    "repeats": (servers.repeats, "no-resume", "warning"),
    "loses": (servers.loses, "gap-in-ids", "warning"),
    "plain-text": (servers.plain_text, "wrong-content-type", "error"),
    "unterminated": (servers.unterminated, "unterminated", "error"),
    "strange-lines": (servers.strange_lines, "unterminated", "warning"),
    "storms": (servers.storms, "retry", "warning"),
    "late-head": (servers.late_head, "late-head", "warning"),
    "again": (servers.ends_and_begins_again, "ends-early", "warning"),
    "cached": (servers.cached, "cached", "error"),
    "mute": (servers.mute, "no-answer", "error"),
    "missing": (servers.missing, "no-answer", "error"),
    "endless": (servers.endless, "endless-answer", "error"),
    "no-304": (servers.whole, "no-304", "warning"),
    "ws-mute": (servers.mute, "no-answer", "error"),
    "ws-no-pong": (servers.deaf, "no-pong", "warning"),
    "ws-no-close": (servers.deaf, "close-handshake", "warning"),
    "ws-any-origin": (servers.deaf, "other-origins", "info"),
    "ws-deflate": (servers.deaf, "compression-stall", "info"),
    "ws-fails": (servers.fails, "ends-early", "warning"),
    "ws-no-upgrade": (servers.no_upgrade, "no-answer", "error"),
}
HARMLESS: dict[str, Planted] = {"clean": servers.clean, "ends-for-good": servers.ends_for_good}
BOUNDED: dict[str, Planted] = {"fire-hose": servers.fire_hose, "one-event": servers.one_event_for_ever}


def _one(name: str, handler: Planted) -> Diagnosis:
    with planted(handler) as url:
        limits = CALM if name in HARMLESS else LIMITS
        return diagnose(url.replace("http:", "ws:") if name.startswith("ws-") else url, limits)


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Diagnosis]]:
    """Every planted server checked once, some at the same time: they mostly wait."""
    chosen = {**{name: handler for name, (handler, _, _) in FAULTS.items()}, **HARMLESS, **BOUNDED}
    with ThreadPoolExecutor(8) as pool:
        running = {name: pool.submit(_one, name, handler) for name, handler in chosen.items()}
        yield {name: one.result() for name, one in running.items()}


def _patient(check: Callable[[], Diagnosis], holds: Callable[[Diagnosis], bool]) -> Diagnosis:
    """Check again, once, where a busy machine held back what the server did not."""
    found = check()
    return found if holds(found) else check()


def _alone(found: dict[str, Diagnosis], name: str, handler: Planted, holds: Callable[[Diagnosis], bool]) -> None:
    """Check a server again, alone, where not all of them at once gave what holds."""
    if not holds(found[name]):
        found[name] = _patient(lambda: _one(name, handler), holds)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(found: dict[str, Diagnosis], name: str) -> None:
    handler, kind, severity = FAULTS[name]
    _alone(found, name, handler, lambda one: (kind, severity) in {(f.kind, f.severity) for f in one.findings})
    matching = [finding for finding in found[name].findings if finding.kind == kind]
    assert severity in {finding.severity for finding in matching}, found[name]
    assert all(finding.evidence and finding.remedy for finding in matching)
    assert found[name].sound == all(finding.severity == "info" for finding in found[name].findings)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_clean_is_clean(found: dict[str, Diagnosis], name: str) -> None:
    _alone(found, name, HARMLESS[name], lambda one: one.sound)
    assert found[name].sound, found[name].findings


@pytest.mark.parametrize("name", BOUNDED)
def test_what_never_ends_ends_here(found: dict[str, Diagnosis], name: str) -> None:
    """The result is there at all: the limit of bytes ended it."""
    assert found[name].transport == "sse"


def test_a_subject_of_the_user_has_its_greeting_and_its_path() -> None:
    with planted(servers.greeted) as url:
        mine = Subject("mine", "websocket", "mine", url=url, publish=NOBODY, path="/ws/{stream}", greeting=("hello",))
        found = diagnose(mine, CALM)
    assert (found.target, found.transport) == ("mine", "websocket")
    assert {"buffered", "gap-in-ids"} <= set(found.fine)


def test_https_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("a certificate needs the program openssl: apt-get install openssl")
    pem = str(tmp_path / "both.pem")
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", pem + ".crt"]
    subprocess.run([*words, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem + ".crt", pem)
    with planted(servers.clean, context) as url:
        found = _patient(lambda: diagnose(url, CALM, tls_ca=pem + ".crt"), lambda one: one.sound)
        with pytest.raises(UserError, match="certificate"):
            diagnose(url, LIMITS)
    assert (found.transport, found.sound) == ("sse", True), found.findings


def test_every_kind_is_planted_or_needs_another_machine() -> None:
    assert set(catalogue()) - {kind for _, kind, _ in FAULTS.values()} == {"never-waits"}
