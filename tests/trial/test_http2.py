"""A trial over HTTP/2: subscribers share connections, each is audited, and a server without HTTP/2 is named."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from rtbench import trial
from rtbench.machine.placement import Place
from rtbench.processes import certificates
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.starting import server_of
from rtbench.records.record import plain
from rtbench.records.tables import read_table
from rtbench.scenario.loading import build
from rtbench.subjects import Subject
from rtbench.subjects.registry import find, multiplexed, secured

PATIENCE_S = 60
QUICK = {"subscribers": 7, "warmup_s": 0.1, "warmup_messages": 0, "window_s": 0.5, "grace_s": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize(
    "name", ["sse-hypercorn", "websocket-hypercorn", "short-poll-hypercorn", "long-poll-hypercorn",
             "websocket-aiohttp+haproxy-h2", "long-poll-aiohttp+nginx-h2"],
)  # fmt: skip
def test_everything_arrives_on_shared_connections(tmp_path: Path, name: str, streams: int) -> None:
    table = {"tls": True, "http2": {"streams_per_connection": streams}, "workload": {"rate_hz": 20}, **QUICK}
    scenario = build(table | {"poll": {"interval_s": 0.1}}, "here")
    subject = scenario.subject_of(name)
    if missing := subject.missing()[0]:
        pytest.skip(f"{missing} is missing")
    made = plain(trial.run(trial.Spec(1, subject, 1, 1, scenario, {}), tmp_path, Place.here(), lambda _: None))
    counts = made["counts"]
    assert made["status"] != "failed", made["reasons"]
    assert made["fairness"]["http"] == "2"
    audited = ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted")
    assert [counts[name] for name in audited] == [70, 70, 0, 0, 0, 0]
    connections = read_table(next(tmp_path.rglob("connections.parquet")), "connections")
    assert sorted(connections["subscriber"].tolist()) == list(range(7))
    of_port: dict[int, int] = {}
    for port in connections["local_port"].tolist():
        of_port[port] = of_port.get(port, 0) + 1
    assert sorted(of_port.values()) == ([1] * 7 if streams == 1 else [1, 3, 3])
    # What TCP counted on a connection is divided evenly over its subscribers.
    received = np.asarray(connections["tcp_received_bytes_at_end"]) - np.asarray(
        connections["tcp_received_bytes_at_start"]
    )
    for port in of_port:
        shares = received[np.asarray(connections["local_port"]) == port]
        assert shares.min() > 0 and shares.max() - shares.min() <= 2 * len(shares)


@pytest.mark.slow
def test_curl_reads_it_over_http2(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if (
        curl is None
        or "HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout
    ):
        pytest.skip("needs curl with HTTP/2: apt-get install curl")
    scenario = build({"stream": ["fanout"], "server": {"heartbeat_s": 0.2}}, "here")
    subject = certificates.trusting(multiplexed(secured(find("sse-hypercorn"), "1.3")), tmp_path)
    if subject.missing()[0]:
        pytest.skip("hypercorn is missing: make setup")
    words = [curl, "--http2", "--silent", "--show-error", "--no-buffer", "--max-time", str(PATIENCE_S), "--cacert"]
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher:
        publisher.ready()
        with server_of(subject, scenario, publisher.socket_path, tmp_path, (), tmp_path / "server.log") as server:
            publisher.play(scenario.stream)
            url = server.ready()
            asked = [*words, subject.tls_ca, "--write-out", "%{http_version}", f"{url}/plan/fanout"]
            plan = subprocess.run(asked, capture_output=True, text=True, check=True)
            assert plan.stdout.endswith("}2") and '"ticks"' in plan.stdout
            with subprocess.Popen([*words, subject.tls_ca, f"{url}/sse/fanout"], stdout=subprocess.PIPE) as streaming:
                assert streaming.stdout is not None
                lines = [streaming.stdout.readline() for _ in range(40)]
                streaming.kill()
    assert any(line.startswith(b"id: ") for line in lines) and any(line.startswith(b"data: ") for line in lines)


@pytest.mark.slow
def test_a_server_that_refuses_http2_is_named(tmp_path: Path, serving: Callable[..., Any]) -> None:
    authority, ca = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    with serving(authority.issue_cert("127.0.0.1"), "http/1.1") as port:
        table = {
            "http2": {"streams_per_connection": 2}, **QUICK, "subscribers": 2, "subjects": ["mine"],
            "subject": [
                {"name": "mine", "transport": "sse", "url": f"https://127.0.0.1:{port}/x", "tls_ca": str(ca)}
            ],
        }  # fmt: skip
        scenario = build(table, "here")
        subject: Subject = scenario.subject_of("mine")
        made = plain(trial.run(trial.Spec(1, subject, 1, 1, scenario, {}), tmp_path, Place.here(), lambda _: None))
    assert made["status"] == "failed"
    (reason, *_) = made["reasons"]
    assert "HTTP/2 was asked for" in reason["message"], made["reasons"]
