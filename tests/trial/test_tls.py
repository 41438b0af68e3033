"""TLS from end to end: other people's clients read our servers, and a certificate that is wrong is one line."""

from __future__ import annotations

import datetime
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from rtbench import trial
from rtbench.conformance._reach import not_subscribed
from rtbench.conformance._target import Target
from rtbench.loadtests.reactor.tls import Tls, TlsError, TlsSocket
from rtbench.machine.placement import Place
from rtbench.processes import certificates
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import server_of
from rtbench.records.record import plain
from rtbench.records.tables import read_table
from rtbench.scenario.loading import build
from rtbench.subjects import Subject
from rtbench.subjects.bounded import get
from rtbench.subjects.registry import find, secured

PATIENCE_S = 60
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


# Planted faults


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


FAULTS = {
    "another authority": "unable to get local issuer certificate",
    "expired": "certificate has expired",
    "another name": "IP address mismatch, certificate is not valid for '127.0.0.1'",
}


def issue(authority: trustme.CA, fault: str) -> trustme.LeafCert:
    if fault == "another authority":
        return trustme.CA().issue_cert("127.0.0.1")
    if fault == "expired":
        return authority.issue_cert("127.0.0.1", not_after=YESTERDAY)
    return authority.issue_cert("127.0.0.2" if fault else "127.0.0.1")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_certificate_is_one_line_of_verify_and_of_the_load(
    authority: trustme.CA, ca: Path, fault: str, serving: Callable[..., Any]
) -> None:
    with serving(issue(authority, fault)) as port:
        url = f"https://127.0.0.1:{port}"
        subject = Subject("https", "sse", "x", url=f"{url}/sse/fanout", tls_ca=str(ca), publish="nobody")
        found = not_subscribed(Target("127.0.0.1", port, "sse", "fanout", subject=subject))
        assert found.startswith(f"{url}: TLS: the certificate is refused: {FAULTS[fault]}")
        assert found.endswith("is tls_ca the PEM file of its authority?") and "\n" not in found
        with closing(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) as plain:
            client = TlsSocket(plain, Tls.of("127.0.0.1", str(ca)), lambda: None)
            client.begin()
            view = memoryview(bytearray(65536))
            with pytest.raises(TlsError) as refused:
                while True:
                    with suppress(BlockingIOError):
                        client.recvmsg_into([view], 64)
            assert refused.value.why.startswith(f"TLS: the certificate is refused: {FAULTS[fault]}")


def test_a_plan_is_asked_for_with_the_authority_of_the_subject(
    authority: trustme.CA, ca: Path, serving: Callable[..., Any]
) -> None:
    with serving(issue(authority, "")) as port:
        assert get(f"https://127.0.0.1:{port}/plan/fanout", PATIENCE_S, tls_ca=str(ca)).status == 200


# Others read our servers


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of sse-aiohttp with TLS 1.3, and the file of its authority."""
    folder = tmp_path_factory.mktemp("tls")
    scenario = build({"stream": ["fanout"], "server": {"heartbeat_s": 0.2}}, "here")
    subject = certificates.trusting(secured(find("sse-aiohttp"), "1.3"), folder)
    with PublisherProcess(scenario.make_workload(), scenario, folder, (), folder / "publisher.log") as publisher:
        publisher.ready()
        with server_of(subject, scenario, publisher.socket_path, folder, (), folder / "server.log") as server:
            publisher.play(scenario.stream)
            yield server.ready(), subject.tls_ca


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs the program {program}: apt-get install {program}")
    return found


@pytest.mark.slow
def test_curl_reads_a_stream(served: tuple[str, str]) -> None:
    url, ca = served
    assert url.startswith("https://")
    words = [needs("curl"), "--silent", "--show-error", "--no-buffer", "--max-time", str(PATIENCE_S), "--cacert", ca]
    with subprocess.Popen([*words, f"{url}/sse/fanout"], stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        lines = [curl.stdout.readline() for _ in range(40)]
        curl.kill()
    assert any(line.startswith(b"id: ") for line in lines) and any(line.startswith(b"data: {") for line in lines)
    wrong = subprocess.run(
        [*words[:-1], certifi(), f"{url}/plan/fanout"], capture_output=True, check=False, timeout=PATIENCE_S
    )
    assert wrong.returncode == 60 and not wrong.stdout  # CURLE_PEER_FAILED_VERIFICATION


def certifi() -> str:
    """Authorities that are not the trial's."""
    return ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile


@pytest.mark.slow
def test_openssl_verifies_the_chain_and_the_version(served: tuple[str, str]) -> None:
    url, ca = served
    place = urlsplit(url).netloc
    words = [
        needs("openssl"),
        "s_client",
        "-connect",
        place,
        "-CAfile",
        ca,
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
    ]
    done = subprocess.run(words, input="", capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "Verify return code: 0 (ok)" in done.stdout and "TLSv1.3" in done.stdout
    old = subprocess.run([*words, "-tls1_2"], input="", capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert old.returncode != 0


@pytest.mark.slow
def test_a_trial_over_tls(tmp_path: Path, temporary: Path) -> None:
    """Everything arrives over the version that was asked for; no key and no certificate is left anywhere."""
    results = tmp_path / "results"
    settings = {"subscribers": 3, "warmup_s": 0.1, "warmup_messages": 0, "window_s": 0.5, "grace_s": 0.3}
    scenario = build({"tls": "1.2", "workload": {"rate_hz": 20}, **settings}, "here")
    spec = trial.Spec(1, scenario.subject_of("sse-aiohttp"), 1, 1, scenario, {})
    made = plain(trial.run(spec, results, Place.here(), lambda _: None))
    counts, tls = made["counts"], made["tls"]
    assert made["status"] != "failed", made["reasons"]
    assert (counts["expected"], counts["lost"], counts["corrupted"]) == (30, 0, 0)
    assert (tls["version"], sum(tls["negotiated"].values()), tls["resumed"]) == ("1.2", 3, 0)
    assert made["fairness"]["tls"] == "TLSv1.2"
    assert (tls["handshakes"]["full"], tls["handshakes"]["resumed"]) == (50, 50)
    assert tls["handshakes"]["full_cpu_ns"] > 0 and tls["handshakes"]["resumed_cpu_ns"] > 0
    assert tls["plaintext_bytes"] >= 0
    connections = read_table(results / spec.directory / "connections.parquet", "connections")
    assert (connections["connected_ns"] < connections["secured_ns"]).all()
    kept = b"".join(path.read_bytes() for path in results.rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in kept and b"BEGIN CERTIFICATE" not in kept
    assert list(temporary.iterdir()) == []
