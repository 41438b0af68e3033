"""The cases of HTTP/2 name what a server gets wrong, and pass one that is right."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
import trustme

from rtbench import conformance
from rtbench.conformance._target import Target
from rtbench.conformance.http2 import ENOUGH
from rtbench.conformance.verify import verify
from rtbench.scenario.loading import build
from rtbench.subjects import Subject

PATIENCE_S = 60.0
HEAD = [(":status", "200"), ("content-type", "text/event-stream")]
EVENT = b"id: %d\ndata: " + b"x" * 1200 + b"\n\n"


class Serving:
    """One connection of a server that is wrong in one way. `beyond`: what a stream beyond `limit` gets; `stalls`: a
    stream whose window is full holds up the others."""

    def __init__(self, connection: ssl.SSLSocket, limit: int, beyond: str, stalls: bool) -> None:
        self.connection, self.limit, self.beyond, self.stalls = connection, limit, beyond, stalls
        self.sent: dict[int, int] = {}
        most = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
        self.h2: Any = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={most: limit})
        self.h2.initiate_connection()
        self.h2.local_settings[most] = 2**31 - 1  # h2 would end the connection by itself
        self.h2.local_settings.acknowledge()

    def run(self) -> None:
        self.flush()
        self.connection.settimeout(0.01)
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            with suppress(TimeoutError):
                data = self.connection.recv(65536)
                if not data:
                    return
                for event in self.h2.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.asked(event.stream_id)
            self.push()
            self.flush()

    def asked(self, stream: int) -> None:
        if len(self.sent) >= self.limit and self.beyond != "served":
            if self.beyond == "refused":
                self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self.h2.send_headers(stream, HEAD)
        self.sent[stream] = 0

    def push(self) -> None:
        for stream, seq in self.sent.items():
            event = EVENT % (seq + 1)
            while self.h2.local_flow_control_window(stream) >= len(event):
                self.h2.send_data(stream, event)
                self.sent[stream] = seq = seq + 1
                event = EVENT % (seq + 1)
                if seq % 20 == 0:
                    break
            else:
                if self.stalls:
                    return

    def flush(self) -> None:
        if owed := self.h2.data_to_send():
            self.connection.settimeout(PATIENCE_S)
            self.connection.sendall(owed)
            self.connection.settimeout(0.01)


@contextmanager
def serving(folder: Path, *, limit: int = 3, beyond: str = "refused", stalls: bool = False) -> Iterator[Target]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def accept() -> None:
        with suppress(OSError):
            plain, _ = listener.accept()
            with closing(context.wrap_socket(plain, server_side=True)) as connection:
                Serving(connection, limit, beyond, stalls).run()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        subject = Subject("mine", "sse", "mine", tls="1.3", tls_ca=str(folder / "ca.pem"), http2=True)
        try:
            yield Target(
                "127.0.0.1", listener.getsockname()[1], "sse", "fanout", patience_s=PATIENCE_S, subject=subject
            )
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("beyond", "problems"),
    [
        ("refused", []),
        ("served", ["it allows 3 streams a connection, and answers one more"]),
        ("ignored", ["it allows 3 streams a connection, and leaves waiting one more"]),
    ],
)
def test_a_stream_beyond_the_limit(tmp_path: Path, beyond: str, problems: list[str]) -> None:
    with serving(tmp_path, beyond=beyond) as target:
        patient = replace(target, patience_s=1.0) if beyond == "ignored" else target
        assert conformance.catalogue()["http2-limit"].run(patient) == problems
        assert not target.lacks("http2")


def test_a_stream_that_is_read_goes_on_beside_one_that_is_not(tmp_path: Path) -> None:
    with serving(tmp_path) as target:
        assert conformance.catalogue()["http2-stopped-reader"].run(target) == []


def test_a_stream_that_holds_up_the_others_is_found(tmp_path: Path) -> None:
    with serving(tmp_path, stalls=True) as target:
        (problem,) = conformance.catalogue()["http2-stopped-reader"].run(replace(target, patience_s=1.0))
    assert f" of {ENOUGH} messages beside one that is not: nothing more came within 1 s" in problem


@pytest.mark.slow
def test_hypercorn_passes_both() -> None:
    scenario = build({"tls": True, "http2": {"streams_per_connection": 2}}, "here")
    subject = scenario.subject_of("sse-hypercorn")
    if subject.missing()[0]:
        pytest.skip("hypercorn is missing: make setup")
    found = {case.name: case for case in verify(subject, scenario, patience_s=12.0).cases}
    assert [found[name].status for name in ("http2-limit", "http2-stopped-reader", "tls")] == ["passed"] * 3, found


def test_without_http2_the_cases_are_not_for_a_server() -> None:
    assert Target("127.0.0.1", 1, "sse", "fanout", subject=Subject("mine", "sse", "mine")).lacks("http2")
