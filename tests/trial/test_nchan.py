"""nginx with Nchan: a configuration of ours alone, which nginx takes; and messages from end to end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rtbench import programs
from rtbench.scenario.tables import ServerTable
from rtbench.servers.stacks import nchan
from rtbench.subjects import Launch, Post
from rtbench.subjects.registry import find
from rtbench.subjects.tls import TlsFiles

NAMES = ["sse-nchan", "websocket-nchan", "short-poll-nchan", "long-poll-nchan"]
LIMITS = {**asdict(ServerTable()), "ring_messages": 5000}


def here(name: str) -> str:
    lacking, remedy = find(name).missing()
    if lacking:
        pytest.skip(f"{name} needs {lacking}: {remedy}")
    return name


def launch(folder: Path, host: str = "127.0.0.1", **limits: Any) -> Launch:
    return Launch(host, 18123, folder, folder / "feed.sock", {**LIMITS, **limits}, 100)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_nchan_subject_is(name: str) -> None:
    subject = find(name)
    assert subject.publish == Post("/publish/{stream}/{channel}", headers={"X-Rtbench-Token": nchan.TOKEN})
    place = "poll" if name == "short-poll-nchan" else "subscribe"
    assert (subject.carries_id, subject.template) == ("payload", f"/{place}/{{stream}}/{{channel}}")
    # Ids are its own, it drops nobody, it knows no end.
    assert subject.capabilities == {"fairness", "origin", "tls", *(["heartbeat"] if "poll" not in name else [])}
    assert [one.remedy for one in subject.requires] == ["apt-get install nginx libnginx-mod-nchan"] * 2


def test_the_configuration_is_of_the_scenarios_limits(tmp_path: Path) -> None:
    text = nchan._configuration(launch(tmp_path, heartbeat_s=0.2))
    assert "listen 127.0.0.1:18123 backlog=4096;" in text
    assert "nchan_message_buffer_length 5000;" in text
    assert "nchan_websocket_ping_interval 1;" in text  # whole seconds, and 0 is never
    assert "worker_processes 1;" in text
    assert "/etc/" not in text
    assert "/var/" not in text
    assert "listen [::1]:18123" in nchan._configuration(launch(tmp_path, "::1"))


def test_with_tls_posts_stay_in_cleartext_on_a_port_of_their_own(tmp_path: Path) -> None:
    tls = TlsFiles("chain.pem", "key.pem", "both.pem", "1.2")
    text = nchan._configuration(replace(launch(tmp_path), tls=tls, posts=18124))
    clear, secure = text.split("  server {")[1:]
    assert "listen 127.0.0.1:18124 backlog" in clear and "/publish/" in clear and "/subscribe/" not in clear
    assert "listen 127.0.0.1:18123 ssl" in secure and "/subscribe/" in secure and "/publish/" not in secure
    assert "ssl_certificate chain.pem;" in secure and "ssl_protocols TLSv1.2;" in secure


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    here("sse-nchan")
    words = nchan._command(launch(tmp_path))
    done = subprocess.run(
        [*words, "-t"], capture_output=True, text=True, timeout=60, check=False, env=programs.environment()
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"nginx.conf"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_message_of_a_trial_comes_once(name: str, measure: Callable[..., Any]) -> None:
    whole = measure(here(name), workload={"rate_hz": 20})
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"], manifest["warnings"]) == ("ok", [], [])
    counts = manifest["counts"]
    assert [counts[what] for what in ("expected", "delivered", "lost", "duplicated", "reordered", "corrupted")] == [
        50, 50, 0, 0, 0, 0,
    ]  # fmt: skip
    assert "nginx" in manifest["fairness"]["stack"]
    assert manifest["processes"]["server"]["cpu_ns_at_end"] > manifest["processes"]["server"]["cpu_ns_at_start"]
    assert whole.alive == []
