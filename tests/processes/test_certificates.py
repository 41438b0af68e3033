"""The certificates of a trial: private files, a chain that clients verify, and subjects that cannot have TLS."""

from __future__ import annotations

import ssl
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from rtbench.errors import ScenarioError, UnavailableError
from rtbench.processes import certificates
from rtbench.scenario.loading import build
from rtbench.subjects.registry import find, secured


def test_every_file_is_private_and_the_key_of_the_authority_is_nowhere(tmp_path: Path) -> None:
    trusting = certificates.trusting(secured(find("sse-aiohttp"), "1.3"), tmp_path, "10.77.0.1")
    made = certificates.files(trusting, tmp_path)
    assert made is not None and made.version == "1.3"
    files = sorted((tmp_path / "tls").iterdir())
    assert [path.name for path in files] == ["both.pem", "ca.pem", "chain.pem", "key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert trusting.tls_ca == str(tmp_path / "tls" / "ca.pem")
    keys = [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == ["both.pem", "key.pem"]
    ssl.create_default_context(cafile=trusting.tls_ca)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.both)


def test_without_tls_nothing_is_made(tmp_path: Path) -> None:
    subject = find("sse-aiohttp")
    assert certificates.trusting(subject, tmp_path) is subject
    assert certificates.files(subject, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("value", "version"), [("true", "1.3"), ('"1.2"', "1.2"), ("1.2", None), ("yes", None)])
def test_the_key_takes_a_version(value: str, version: str | None) -> None:
    settings = [f"tls={value}"]
    if version is None:
        with pytest.raises(ScenarioError, match=r'tls = .*expected true \(TLS 1\.3\), "1\.2" or false'):
            build({}, "here", settings)
        return
    scenario = build({}, "here", settings)
    assert scenario.subject_of("sse-aiohttp").tls == version


def test_a_sweep_over_it_has_both_sides() -> None:
    cells = build({"sweep": {"tls": [False, True, "1.2"]}}, "here").cells()
    assert [cell.scenario.subject_of("sse-aiohttp").tls for cell in cells] == ["", "1.3", "1.2"]
    assert build({"tls": False}, "here").hash == build({}, "here").hash != build({"tls": True}, "here").hash


@pytest.mark.parametrize("name", ["sse-hyperlane", "tcp-floor"])
def test_a_subject_that_cannot_have_it_is_one_line(name: str) -> None:
    subject = build({"subjects": [name], "tls": True}, "here").subject_of(name)
    able = replace(subject, requires=subject.requires[-1:])
    with pytest.raises(UnavailableError, match=f"^{name} needs a server that speaks TLS, and it has none: .*remove it"):
        able.check()


def test_a_proxy_has_it_for_a_server_that_cannot() -> None:
    subject = build({"subjects": ["sse-hyperlane+haproxy"], "tls": True}, "here").subject_of("sse-hyperlane+haproxy")
    assert subject.tls == "1.3"
    assert "TLS" not in "".join(one.what for one in subject.requires)
