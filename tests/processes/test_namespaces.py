"""Network namespaces: what is refused, and two real ones with what is in them and what becomes of them."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rtbench import programs
from rtbench.errors import SubjectError, UnavailableError, UserError
from rtbench.machine import probes
from rtbench.processes import _namespace, namespaces
from rtbench.processes.namespaces import INTERFACE, Holder, Network
from rtbench.processes.process import Process

PATIENCE_S = 60


# What is refused


def test_an_ordinary_user_gets_the_remedy_for_missing_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="--netns needs root, for network namespaces: use sudo, or run without"):
        namespaces.check()


def test_without_ip_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "find", lambda _: None)
    with pytest.raises(UnavailableError, match="needs the program ip: apt-get install iproute2"):
        namespaces.check()


def test_with_both_no_warning_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "find", lambda _: "/sbin/ip")
    namespaces.check()


# A holder that only pretends


def holding(script: str, log: Path) -> Holder:
    return Holder([sys.executable, "-c", script], (), log)


def test_a_holder_is_configured_by_one_line(tmp_path: Path) -> None:
    script = (
        "import json, sys\n"
        "told = json.loads(input())\n"
        "sys.stderr.write(json.dumps(told)); sys.stderr.flush()\n"
        "print(json.dumps({'offloads': []}), flush=True)\n"
        "sys.stdin.read()"
    )
    with holding(script, tmp_path / "log") as holder:
        holder.configure(("10.0.0.1", "fd00::1"))
        assert holder.path == f"/proc/{holder.pid}/ns/net"
    assert json.loads((tmp_path / "log").read_text()) == {
        "interface": INTERFACE,
        "addresses": ["10.0.0.1/30", "fd00::1/64"],
    }


def test_offloads_that_stay_on_are_named(tmp_path: Path) -> None:
    script = 'import sys; input(); print(\'{"offloads": ["tso", "gro"]}\', flush=True); sys.stdin.read()'
    with (
        holding(script, tmp_path / "log") as holder,
        pytest.raises(SubjectError, match=f"tso, gro cannot be switched off on {INTERFACE}: run without --netns"),
    ):
        holder.configure(("10.0.0.1", "fd00::1"))


def test_a_kernel_without_namespaces_is_the_trials_failure_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Process] = []
    begin = Holder.__init__

    def refuses(self: Holder, command: Any, cores: Any, log: Path) -> None:
        begin(
            self,
            [
                sys.executable,
                "-c",
                "import sys; sys.exit('cannot create a network namespace: Operation not permitted')",
            ],
            (),
            log,
        )
        started.append(self)

    monkeypatch.setattr(Holder, "__init__", refuses)
    with pytest.raises(SubjectError, match=r"the namespace holder ended early .*Operation not permitted"):
        Network(tmp_path / "log")
    assert [process.exited() for process in started] != []
    assert None not in [process.exited() for process in started]


def test_a_kernel_without_veth_pairs_is_the_trials_failure_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Process] = []
    begin = Holder.__init__

    def pretends(self: Holder, command: Any, cores: Any, log: Path) -> None:
        begin(self, [sys.executable, "-c", "import sys; print('{\"ready\":5}', flush=True); sys.stdin.read()"], (), log)
        started.append(self)

    def ip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        server, load = started
        assert " ".join(command) == (f"ip link add rtb0 netns {server.pid} type veth peer rtb0 netns {load.pid}")
        return subprocess.CompletedProcess(command, 2, "", "Error: Unknown device type.\n")

    monkeypatch.setattr(Holder, "__init__", pretends)
    monkeypatch.setattr(namespaces.subprocess, "run", ip)
    with pytest.raises(
        SubjectError, match=r"cannot create a veth pair \(Error: Unknown device type.\): run without --netns"
    ):
        Network(tmp_path / "log")
    assert None not in [process.exited() for process in started]


# The holder's own code, asked with a kernel that only pretends


def test_the_offloads_that_the_driver_keeps_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int]] = []

    def ethtool(sock: socket.socket, name: str, command: int, value: int) -> int:
        asked.append((name, command, value))
        return int(command == 0x23)  # ETHTOOL_GGSO: still on

    monkeypatch.setattr(_namespace, "_ethtool", ethtool)
    assert _namespace._without_offloads("rtb0") == ("gso",)
    # Each is switched off and then asked for (linux/ethtool.h: STSO 0x1f, GTSO 0x1e, SGSO, GGSO, SGRO, GGRO).
    assert asked == [("rtb0", command, 0) for command in (0x1F, 0x1E, 0x24, 0x23, 0x2C, 0x2B)]


def test_an_offload_is_asked_for_as_the_driver_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """struct ifreq: the name in 16 bytes, then a pointer to struct ethtool_value, in which the driver answers."""
    asked: list[tuple[int, bytes, bytes]] = []

    def ioctl(sock: object, number: int, request: bytes) -> int:
        name, pointer = struct.unpack("16sP", request)
        asked.append((number, name.rstrip(b"\0"), ctypes.string_at(pointer, 8)))
        ctypes.memmove(pointer, struct.pack("II", 0x1E, 1), 8)
        return 0

    monkeypatch.setattr(_namespace.fcntl, "ioctl", ioctl)
    with socket.socket() as sock:
        assert _namespace._ethtool(sock, "rtb0", 0x1E, 0) == 1
    assert asked == [(0x8946, b"rtb0", struct.pack("II", 0x1E, 0))]  # SIOCETHTOOL


def test_without_the_right_it_says_why_and_leaves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Libc:
        def unshare(self, flags: int) -> int:
            assert flags == 0x40000000  # CLONE_NEWNET
            return -1

    monkeypatch.setattr(_namespace.ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(_namespace.ctypes, "get_errno", lambda: 1)
    assert _namespace.main() == 1
    assert capsys.readouterr().err == "cannot create a network namespace: Operation not permitted\n"


def test_it_configures_its_end_and_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Libc:
        def unshare(self, flags: int) -> int:
            return 0

    ran: list[list[str]] = []
    monkeypatch.setattr(_namespace.ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(_namespace.subprocess, "run", lambda command, check: ran.append(command))
    monkeypatch.setattr(_namespace, "_without_offloads", lambda name: (f"tso of {name}",))
    told = json.dumps({"interface": "rtb0", "addresses": ["10.77.0.1/30", "fd77::1/64"]})
    monkeypatch.setattr(sys, "stdin", [told])
    assert _namespace.main() == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said == [{"ready": os.getpid()}, {"offloads": ["tso of rtb0"]}]
    assert [" ".join(command) for command in ran] == [
        "ip link set lo up",
        "ip address add 10.77.0.1/30 dev rtb0",
        "ip address add fd77::1/64 dev rtb0 nodad",
        "ip link set rtb0 up",
    ]


# Two real ones


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with Network(tmp_path / "network.log") as network:
        yield network


def inside(path: str, script: str, *words: str) -> str:
    """What a script says that is run in the namespace at `path`, as the trial's processes are."""
    launch = [
        sys.executable,
        "-m",
        "rtbench.processes._launch",
        str(os.getpid()),
        "-",
        path,
        sys.executable,
        "-c",
        script,
        *words,
    ]
    return subprocess.run(launch, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


LISTEN = """
import socket, sys
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as server:
    print(server.getsockname()[1], flush=True)
    link, (peer, *_) = server.accept()
    with link:
        link.sendall(peer.encode())
sys.stdin.read()
"""
CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as link:
    print(link.makefile().read())
"""


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    ("loopback", "server", "load"), [("127.0.0.1", "10.77.0.1", "10.77.0.2"), ("::1", "fd77::1", "fd77::2")]
)
def test_the_two_ends_reach_each_other_and_nothing_else(
    network: Network, tmp_path: Path, loopback: str, server: str, load: str
) -> None:
    assert network.host(loopback) == server
    command = [sys.executable, "-c", LISTEN, server]
    with Process(command, (), tmp_path / "log", network=network.server) as listener:
        port = listener.line(PATIENCE_S)
        assert inside(network.load, CONNECT, server, port) == f"{load}\n"
        assert probes.wire_bytes(listener.pid, INTERFACE) > 0
    names = "import socket; print(sorted(name for _, name in socket.if_nameindex() if name in ('lo', 'rtb0', 'eth0')))"
    for path in (network.server, network.load):
        assert inside(path, names) == "['lo', 'rtb0']\n"


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.usefixtures("namespaces")
def test_the_offloads_are_off(network: Network) -> None:
    script = """
import socket
from rtbench.processes._namespace import _OFFLOADS, _ethtool
with socket.socket() as sock:
    print([_ethtool(sock, "rtb0", ask, 0) for _, ask in _OFFLOADS.values()])
"""
    for path in (network.server, network.load):
        assert inside(path, script) == "[0, 0, 0]\n"


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.usefixtures("namespaces")
def test_the_namespaces_are_gone_with_their_network(tmp_path: Path) -> None:
    with ExitStack() as stack:
        network = stack.enter_context(Network(tmp_path / "log"))
        paths = [Path(network.server), Path(network.load)]
        inodes = {path.stat().st_ino for path in paths}
        assert len(inodes | {Path("/proc/self/ns/net").stat().st_ino}) == 3
    assert not any(path.exists() for path in paths)
    assert INTERFACE not in {name for _, name in socket.if_nameindex()}


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.usefixtures("namespaces")
def test_a_child_that_cannot_enter_its_namespace_says_so(tmp_path: Path) -> None:
    with (
        Process(["true"], (), tmp_path / "log", network="/proc/self/ns/uts") as process,
        pytest.raises(SubjectError, match="cannot enter /proc/self/ns/uts: Invalid argument"),
    ):
        process.line(PATIENCE_S)
