"""TLS over raw sockets: all of it is read, with kernel stamps; wrong peers are refused."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import UserError
from rtbench.loadtests.reactor.capture import READ_BYTES
from rtbench.loadtests.reactor.tls import Tls, TlsError, TlsSocket, bulk
from rtbench.loadtests.subscriber import Endpoint
from rtbench.machine import inner_loop
from rtbench.processes.program import free_port
from rtbench.records.tables import read_table

PATIENCE_S = 60


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and 127.0.0.1, its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("a certificate needs the program openssl: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=30)
    path = folder / "both.pem"
    path.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return path


@pytest.fixture
def listener(pem: Path) -> Iterator[ssl.SSLSocket]:
    """A TLS server's socket; every connection is greeted by the test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    plain = socket.create_server(("127.0.0.1", 0))
    with closing(context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)) as secure:
        yield secure


class Client:
    """A TlsSocket on a non-blocking connection, driven as the reactor drives it."""

    def __init__(self, port: int, tls: Tls, session: ssl.SSLSession | None = None) -> None:
        self.raw = socket.create_connection(("127.0.0.1", port))
        self.secured = 0
        self.socket = TlsSocket(self.raw, tls, self.done, session)
        self.raw.settimeout(PATIENCE_S)

    def done(self) -> None:
        self.secured += 1

    def read(self, size: int = 65536) -> bytes:
        """The next plaintext; empty at the end."""
        view = memoryview(bytearray(size))
        while True:
            with suppress(BlockingIOError):
                count, _, _, _ = self.socket.recvmsg_into([view], 64)
                return bytes(view[:count])


def serve(listener: ssl.SSLSocket, talk: Any) -> threading.Thread:
    def run() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with closing(connection):
                connection.settimeout(PATIENCE_S)
                connection.do_handshake()
                talk(connection)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_conversation(listener: ssl.SSLSocket, pem: Path) -> None:
    heard: list[bytes] = []

    def talk(connection: ssl.SSLSocket) -> None:
        heard.append(connection.recv(100))
        connection.sendall(b"hello")
        heard.append(connection.recv(100))
        connection.sendall(b"x" * 100_000)

    thread = serve(listener, talk)
    client = Client(listener.getsockname()[1], Tls.of("localhost", str(pem)))
    with closing(client.socket):
        client.socket.begin()
        assert client.secured == 0
        with suppress(BlockingIOError):
            while not client.secured:
                client.socket.recvmsg_into([memoryview(bytearray(10))], 64)
        assert client.secured == 1
        assert client.socket.send(b"ask") == 3
        assert client.read() == b"hello"
        client.socket.send(b"more")
        whole = b""
        while len(whole) < 100_000:
            whole += client.read()
        assert whole == b"x" * 100_000
        assert client.read() == b""
        assert (client.socket.fileno(), client.socket.getsockname()) == (client.raw.fileno(), client.raw.getsockname())
    thread.join(PATIENCE_S)
    assert heard == [b"ask", b"more"]


def test_nothing_stays_behind_that_no_byte_on_the_wire_would_bring_out(listener: ssl.SSLSocket, pem: Path) -> None:
    """A read takes as much as the buffer holds, a record that came in part included: the reactor asks for no more."""
    held = threading.Event()

    def talk(connection: ssl.SSLSocket) -> None:
        for _ in range(40):
            connection.sendall(b"y" * 16_000)
        held.wait(PATIENCE_S)

    thread = serve(listener, talk)
    client = Client(listener.getsockname()[1], Tls.of("localhost", str(pem)))
    with closing(client.socket):
        client.socket.begin()
        whole = b""
        while len(whole) < 40 * 16_000:
            piece = client.read(READ_BYTES)
            assert piece
            assert client.socket._tls.pending() == 0
            whole += piece
        held.set()
    thread.join(PATIENCE_S)
    assert whole == b"y" * 640_000


def test_a_connection_that_closes_without_a_word(listener: ssl.SSLSocket, pem: Path) -> None:
    thread = serve(listener, lambda connection: connection.shutdown(socket.SHUT_RDWR))
    client = Client(listener.getsockname()[1], Tls.of("localhost", str(pem)))
    with closing(client.socket):
        client.socket.begin()
        assert client.read() == b""
    thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("server", "trusted", "why"),
    [("elsewhere.test", True, "Hostname mismatch"), ("localhost", False, "self-signed certificate")],
)
def test_a_certificate_of_another_server_is_refused(
    listener: ssl.SSLSocket, pem: Path, server: str, trusted: bool, why: str
) -> None:
    thread = serve(listener, lambda connection: None)
    client = Client(listener.getsockname()[1], Tls.of(server, str(pem) if trusted else ""))
    with closing(client.socket):
        client.socket.begin()
        with pytest.raises(ConnectionAbortedError, match=f"TLS: the certificate is refused: {why}"):
            client.read()
        assert client.secured == 0
    thread.join(PATIENCE_S)


def test_bytes_that_are_not_tls_are_refused(pem: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        client = Client(plain.getsockname()[1], Tls.of("localhost", str(pem)))
        connection, _ = plain.accept()
        with closing(client.socket), connection:
            client.socket.begin()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ConnectionAbortedError, match="TLS: WRONG_VERSION_NUMBER"):
                client.read()


def test_what_the_socket_does_not_take_is_kept(pem: Path) -> None:
    class Full:
        room = 0
        sent = b""

        def send(self, data: bytes) -> int:
            if not self.room:
                raise BlockingIOError
            taken, self.room = data[: self.room], 0
            self.sent += taken
            return len(taken)

        fileno = close = getsockopt = getsockname = None

    full = Full()
    sock = TlsSocket(full, Tls.of("localhost", str(pem)), lambda: None)
    sock.begin()
    assert full.sent == b""
    full.room = 10
    sock.begin()
    assert len(full.sent) == 10
    full.room = 10_000
    sock.begin()
    assert full.sent[:3] == b"\x16\x03\x01"  # the whole hello, in order (RFC 8446 §5.1)
    assert len(full.sent) == 5 + int.from_bytes(full.sent[3:5], "big")


def test_a_file_that_is_not_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("what?")
    for path in (tmp_path / "x.pem", tmp_path / "gone.pem"):
        with pytest.raises(UserError, match=rf"tls_ca '{path}' cannot be used .*name a PEM file with certificates"):
            Tls.of("localhost", str(path))


def test_a_target_behind_tls(pem: Path) -> None:
    target = Endpoint.of("https://127.0.0.1:8443", str(pem))
    assert (target.host, target.address) == ("127.0.0.1:8443", ("127.0.0.1", 8443))
    assert target.tls is not None and target.tls.server == "127.0.0.1"
    assert Endpoint.of("wss://127.0.0.1", str(pem)).address == ("127.0.0.1", 443)
    assert Endpoint.of("http://127.0.0.1:1", str(pem)).tls is None


def test_a_session_is_resumed(listener: ssl.SSLSocket, pem: Path) -> None:
    tls = Tls.of("localhost", str(pem))
    session = None
    for resumed in (False, True):
        thread = serve(listener, lambda connection: connection.sendall(b"hello"))
        client = Client(listener.getsockname()[1], tls, session)
        with closing(client.socket):
            client.socket.begin()
            assert client.read() == b"hello"
            assert (client.socket.version, client.socket.resumed) == ("TLSv1.3", resumed)
            assert client.socket.cipher.startswith("TLS_")
            session = client.socket.session
        thread.join(PATIENCE_S)


def test_bytes_that_are_opened_later_give_the_same(listener: ssl.SSLSocket, pem: Path) -> None:
    """Also in pieces that are no records."""
    pieces = [b"%d" % number * 300 for number in range(20)]

    def talk(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"head")
        sealed.wait(PATIENCE_S)
        for piece in pieces:
            connection.sendall(piece)

    sealed = threading.Event()
    thread = serve(listener, talk)
    client = Client(listener.getsockname()[1], Tls.of("localhost", str(pem)))
    with closing(client.socket):
        client.socket.begin()
        assert client.read() == b"head"
        sealed.set()
        captured = b""
        while data := client.raw.recv(65536):
            captured += data
        plain = b"".join(client.socket.opened(captured[at : at + 7]) for at in range(0, len(captured), 7))
    thread.join(PATIENCE_S)
    assert plain == b"".join(pieces)


def test_a_record_that_was_changed_is_an_error(listener: ssl.SSLSocket, pem: Path) -> None:
    thread = serve(listener, lambda connection: connection.sendall(b"head"))
    client = Client(listener.getsockname()[1], Tls.of("localhost", str(pem)))
    with closing(client.socket):
        client.socket.begin()
        assert client.read() == b"head"
        with pytest.raises(TlsError, match="TLS: "):
            client.socket.opened(b"\x17\x03\x03\x00\x20" + bytes(32))
    thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("records", "whole"),
    [
        ([(23, 64), (23, 200)], True),
        ([(23, 63)], False),
        ([(23, 200), (23, 30)], False),
        ([(21, 64)], False),
        ([], True),
    ],
)
def test_reads_that_hold_no_control_frame_alone(records: list[tuple[int, int]], whole: bool) -> None:
    data = b"".join(bytes([kind, 3, 3]) + (size - 5).to_bytes(2, "big") + bytes(size - 5) for kind, size in records)
    assert bulk(b"??" + data, 2, 2 + len(data)) is whole


# The reactor on it

LOAD = """
import json, sys
import gevent
from pathlib import Path
from rtbench.loadtests.load import Load
from rtbench.loadtests.subscriber import Endpoint
from rtbench.messages.load import LoadSettings

url, ca, folder, library, transport = sys.argv[1:]
load = Load(LoadSettings(library=library))
target = Endpoint.of(url, ca)
users = [gevent.spawn(load.subscriber(transport).subscribe, target) for _ in range(3)]

def tell():
    while load.subscribed_count < len(users):
        gevent.sleep(0.01)
    (Path(folder) / "accepted").touch()

gevent.spawn(tell)
gevent.joinall(users, timeout=60, raise_error=True)
load.recorder.decode()
load.recorder.write(Path(folder), "", polling=False)
seen = load.secured()
print(json.dumps([load.failed, load.recorder.faults, sum(seen.negotiated.values()), load.recorder.controls]))
"""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def run_load(url: str, ca: str, folder: Path, compiled: bool = False, transport: str = "sse") -> list[Any]:
    """Three subscribers until their connections end: failures, faults, TLS connections, what else came."""
    library = inner_loop.library() if compiled else ""
    if library is None:
        pytest.skip(f"needs a C compiler: {inner_loop.REMEDY}")
    words = [sys.executable, "-c", LOAD, url, ca, str(folder), str(library), transport]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("trusted", "compiled"), [(True, True), (True, False), (False, True)])
def test_messages_have_stamps_and_bytes_are_the_wires(
    listener: ssl.SSLSocket, pem: Path, tmp_path: Path, trusted: bool, compiled: bool
) -> None:
    def talk(connection: ssl.SSLSocket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        connection.sendall(HEAD)
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "accepted").exists():  # messages that come with the head have no stamp
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for seq in range(1, 21):
            connection.sendall(b"id: %d\ndata: %b\n\n" % (seq, b"x" * 500))

    threads = [serve(listener, talk) for _ in range(3)]
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    failed, faults, secured, _ = run_load(url, str(pem) if trusted else "", tmp_path, compiled)
    for thread in threads:
        thread.join(PATIENCE_S)
    connections = read_table(tmp_path / "connections.parquet", "connections")
    deliveries = read_table(tmp_path / "deliveries.parquet", "deliveries")
    if not trusted:
        assert (sum(failed.values()), len(deliveries["seq"])) == (3, 0)
        assert set(connections["outcome"]) == {"error (TLS: the certificate is refused: self-signed certificate)"}
        assert (connections["secured_ns"] == -1).all()
        return
    assert (failed, faults, secured) == ({}, [], 3)
    assert (connections["connected_ns"] < connections["secured_ns"]).all()
    assert (connections["secured_ns"] < connections["response_ns"]).all()
    for subscriber in range(3):
        assert deliveries["seq"][deliveries["subscriber"] == subscriber].tolist() == list(range(1, 21))
    assert set(deliveries["payload_bytes"].tolist()) == {500}
    stamped = deliveries["kernel_ns"] >= 0
    assert stamped.any()
    assert (deliveries["kernel_ns"][stamped] <= deliveries["app_ns"][stamped]).all()
    assert (connections["tcp_received_bytes"] > 20 * 530).all()  # records and the handshake are in it
    assert set(connections["outcome"]) == {"closed"}


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
def test_pings_in_sealed_records_are_answered(
    listener: ssl.SSLSocket, pem: Path, tmp_path: Path, compiled: bool
) -> None:
    """Alone in a record at once; behind a message in its record as soon as a short record comes."""
    answered: list[bytes] = []

    def pong(connection: ssl.SSLSocket) -> bytes:
        frame = b""
        while len(frame) < 2 or len(frame) < 6 + frame[1] % 128:
            frame += connection.recv(1)
        mask, masked = frame[2:6], frame[6:]
        return bytes([frame[0]]) + bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked))

    def text(seq: int) -> bytes:
        payload = b'{"id":%d,"data":"%b"}' % (seq, b"x" * 100)
        return bytes([0x81, len(payload)]) + payload

    def talk(connection: ssl.SSLSocket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + text(1))
        connection.sendall(text(2))
        connection.sendall(b"\x89\x01a")
        answered.append(pong(connection))
        connection.sendall(text(3) + b"\x89\x01b")
        connection.sendall(text(4))
        connection.sendall(b"\x89\x01c")
        answered.extend((pong(connection), pong(connection)))
        connection.sendall(text(5) + b"\x88\x02\x03\xe8")
        connection.shutdown(socket.SHUT_RDWR)

    threads = [serve(listener, talk) for _ in range(3)]
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    failed, faults, secured, controls = run_load(url, str(pem), tmp_path, compiled, "websocket")
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (failed, faults, secured, controls) == ({}, [], 3, {"heartbeat": 9})
    assert sorted(answered) == [b"\x8aa"] * 3 + [b"\x8ab"] * 3 + [b"\x8ac"] * 3
    deliveries = read_table(tmp_path / "deliveries.parquet", "deliveries")
    for subscriber in range(3):
        assert deliveries["seq"][deliveries["subscriber"] == subscriber].tolist() == [1, 2, 3, 4, 5]
    assert set(read_table(tmp_path / "connections.parquet", "connections")["outcome"]) == {"ended"}


@pytest.mark.slow
def test_new_keys_within_a_sealed_connection(pem: Path, tmp_path: Path) -> None:
    """`openssl s_server` sends events, tickets and KeyUpdates: with and without a request for one back."""
    port = free_port("127.0.0.1")
    pieces = [HEAD.decode().replace("\r", "")]  # -crlf makes it HTTP's again
    for seq in range(1, 13):
        pieces += [f"id: {seq}\ndata: message {seq}\n\n", {3: "k\n", 6: "K\n", 9: "K\n"}.get(seq, "")]
    deadline = time.monotonic() + PATIENCE_S
    words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-tls1_3", "-crlf"]
    library = inner_loop.library()
    load_words = [sys.executable, "-c", LOAD.replace("range(3)", "range(1)"), f"https://127.0.0.1:{port}", str(pem)]
    load_words += [str(tmp_path), str(library or ""), "sse"]
    with contextlib.ExitStack() as stack:
        server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        stack.enter_context(server)
        stack.callback(server.kill)
        assert server.stdin is not None and server.stdout is not None
        while not server.stdout.readline().startswith(b"ACCEPT"):
            assert server.poll() is None
        with subprocess.Popen(load_words, stdout=subprocess.PIPE, text=True) as load:
            stack.callback(load.kill)
            while not (line := server.stdout.readline()).startswith(b"GET /sse/fanout"):
                assert line, "openssl ended"
            for piece in [*filter(None, pieces), "Q\n"]:
                server.stdin.write(piece.encode())
                server.stdin.flush()
                # A command is what stands first in one read.
                while struct.unpack("i", fcntl.ioctl(server.stdin, termios.FIONREAD, bytes(4)))[0]:
                    assert time.monotonic() < deadline and server.poll() is None
                    os.sched_yield()
            output, _ = load.communicate(timeout=PATIENCE_S)
            told = server.stdout.read()
    failed, faults, secured, _ = json.loads(output)
    assert (failed, faults, secured) == ({}, [], 1)
    assert read_table(tmp_path / "deliveries.parquet", "deliveries")["seq"].tolist() == list(range(1, 13))
    assert told.count(b"SSL_do_handshake -> 1") == 3  # the KeyUpdates
