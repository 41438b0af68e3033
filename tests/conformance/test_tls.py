"""The case `tls` names what a server gets wrong: its version, HTTP/2, cleartext on its port."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from rtbench import conformance
from rtbench.conformance._target import Target
from rtbench.subjects import Subject

PATIENCE_S = 60.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ONLY = ssl.TLSVersion.TLSv1_3


@contextmanager
def serving(folder: Path, change: Callable[[ssl.SSLContext], None], cleartext: bool) -> Iterator[Target]:
    """A server of TLS 1.3 with one change; `cleartext`: it answers a request without TLS, too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ONLY
    authority.issue_cert("127.0.0.1").configure_cert(context)
    change(context)

    def answer(plain: socket.socket) -> None:
        plain.settimeout(PATIENCE_S)
        if plain.recv(1, socket.MSG_PEEK) == b"\x16":
            with closing(context.wrap_socket(plain, server_side=True)) as connection:
                connection.recv(1)
        elif cleartext:
            plain.sendall(ANSWER)
        plain.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError):
                    answer(plain)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        subject = Subject("mine", "sse", "mine", tls="1.3", tls_ca=str(folder / "ca.pem"))
        try:
            port = listener.getsockname()[1]
            yield Target("127.0.0.1", port, "sse", "fanout", patience_s=PATIENCE_S, subject=subject)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


def also_older(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2


def only_older(context: ssl.SSLContext) -> None:
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("change", "cleartext", "problems"),
    [
        (lambda context: None, False, []),
        (also_older, False, ["it also speaks TLSv1.2"]),
        (only_older, False, ["wanted TLSv1.3, got TLSv1.2", "it also speaks TLSv1.2"]),
        (
            lambda context: context.set_alpn_protocols(["h2"]),
            False,
            ["it chose h2 of h2 and http/1.1, and HTTP/1.1 is measured"],
        ),
        (lambda context: None, True, ["a cleartext request gets status 200"]),
    ],
    ids=["good", "also-older", "only-older", "http2", "cleartext"],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, change: Callable[[ssl.SSLContext], None], cleartext: bool, problems: list[str]
) -> None:
    with serving(tmp_path, change, cleartext) as target:
        assert conformance.catalogue()["tls"].run(target) == problems
        assert not target.lacks("tls") and target.url("/x").startswith("https://")


def test_without_tls_the_case_is_not_for_a_server() -> None:
    subject = Subject("mine", "sse", "mine")
    assert Target("127.0.0.1", 1, "sse", "fanout", subject=subject).lacks("tls")
