"""The router by itself, between two namespaces: counts, order, drops by seed, bytes, ends.

No time is asserted here: what it does to times is a known truth of `rtbench calibrate`.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from rtbench.errors import SubjectError, UnavailableError
from rtbench.machine import inner_loop
from rtbench.messages.router import Counted, Link
from rtbench.processes import _router, router
from rtbench.processes.namespaces import INTERFACE, Network, Routing
from rtbench.processes.process import Process

PATIENCE_S = 60
MS = 1_000_000
IP_AND_UDP = 28

RECEIVE = """
import json, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, 33, 2**24)  # SO_RCVBUFFORCE
sock.bind(("10.77.0.1", 5000))
print("bound", flush=True)
sys.stdin.readline()
sock.setblocking(False)
seen = []
try:
    while True:
        data = sock.recv(2000)
        seen.append((int(data[:6]), len(data)))
except BlockingIOError:
    print(json.dumps(seen), flush=True)
"""
SEND = """
import json, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("10.77.0.2", 6000))
for index, size in enumerate(json.loads(sys.argv[1])):
    sock.sendto(b"%06d" % index + b"x" * (size - 6), ("10.77.0.1", 5000))
print("sent", flush=True)
"""

Play = Callable[..., tuple[list[tuple[int, int]], Counted]]


class Enough(Process):
    """A process that goes on at a command."""

    def go_on(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()


@pytest.fixture(scope="session")
def tun() -> None:
    """Skips where a router cannot run."""
    try:
        router.check()
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def play(tmp_path: Path, namespaces: None, tun: None) -> Play:
    """`play(up, sizes, seed)`: what the server's end got of datagrams of these sizes, and the counters then.

    It looks when the router holds no packet, or `held` of them, any more.
    """

    def run(up: Link, sizes: list[int], seed: int = 1, held: int = 0) -> tuple[list[tuple[int, int]], Counted]:
        log = tmp_path / "log"
        with (
            Network(log, Routing(Link(), up, seed, ())) as network,
            Enough([sys.executable, "-c", RECEIVE], (), log, network=network.server) as receiver,
        ):
            assert receiver.line(PATIENCE_S) == "bound"
            assert network.router is not None
            with Process([sys.executable, "-c", SEND, json.dumps(sizes)], (), log, network=network.load) as sender:
                assert sender.line(PATIENCE_S) == "sent"
            while True:  # every packet is somewhere: forwarded, dropped, or held a while
                counted = network.router.count()
                if counted.up.packets == len(sizes) and counted.held == held:
                    break
            receiver.go_on()
            return [tuple(pair) for pair in json.loads(receiver.line(PATIENCE_S))], counted

    return run


@pytest.mark.root
@pytest.mark.slow
def test_every_packet_is_forwarded_counted_and_in_order(play: Play) -> None:
    sizes = [60, 1400] * 100
    seen, counted = play(Link(delay_ns=2 * MS, jitter_ns=2 * MS), sizes)
    assert seen == list(enumerate(sizes))  # one connection keeps its order, whatever the jitter
    up = counted.up
    assert (up.packets, up.forwarded) == (200, 200)
    assert up.bytes == up.forwarded_bytes == sum(sizes) + 200 * IP_AND_UDP
    assert (up.lost, up.queue_full, up.own_drops) == (0, 0, 0)
    assert (counted.down.packets, counted.down.bytes) == (0, 0)


@pytest.mark.root
@pytest.mark.slow
def test_the_seed_and_the_order_decide_which_packets_are_lost_and_not_their_size(play: Play) -> None:
    count = 400
    small, counted = play(Link(loss=0.25), [60] * count, seed=7)
    large, _ = play(Link(loss=0.25), [1400] * count, seed=7)
    other, _ = play(Link(loss=0.25), [60] * count, seed=8)
    kept = [index for index, _ in small]
    assert kept == [index for index, _ in large]
    assert kept != [index for index, _ in other]
    assert counted.up.lost == count - len(kept)
    assert 0 < counted.up.lost < count


@pytest.mark.root
@pytest.mark.slow
def test_a_loss_of_all_lets_nothing_through(play: Play) -> None:
    seen, counted = play(Link(loss=1.0, delay_ns=MS), [100] * 20)
    assert (seen, counted.up.lost, counted.up.forwarded) == ([], 20, 0)


@pytest.mark.root
@pytest.mark.slow
def test_a_queue_that_is_full_drops_what_comes_last(play: Play) -> None:
    """Ten bits a second: the first datagram has the link for minutes, and no other may wait for it."""
    seen, counted = play(Link(rate_bps=10, queue_ns=0), [1000] * 30, held=1)
    assert seen == []
    assert (counted.up.forwarded, counted.up.queue_full, counted.up.lost) == (0, 29, 0)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.usefixtures("namespaces", "tun")
def test_a_router_that_is_killed_takes_its_devices_with_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        network = stack.enter_context(Network(tmp_path / "log", Routing(Link(), Link(), 1, ())))
        assert network.router is not None
        names = "import socket; print([name for _, name in socket.if_nameindex()])"
        pid = network.router.pid
        network.router.kill()
        while network.router.exited() is None:
            """The kernel ends it."""
        assert network.router.exited() == -signal.SIGKILL
        with Process([sys.executable, "-c", names], (), tmp_path / "log", network=network.server) as process:
            assert INTERFACE not in process.line(PATIENCE_S)
        with pytest.raises(SubjectError, match="the router ended early"):
            network.router.count()
    assert not Path(f"/proc/{pid}").exists()
    assert INTERFACE not in {name for _, name in socket.if_nameindex()}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.usefixtures("namespaces", "tun")
def test_a_namespace_that_is_not_there_is_said(tmp_path: Path) -> None:
    with (
        router.RouterProcess(INTERFACE, "/proc/self/ns/uts", "/", Link(), Link(), 1, (), tmp_path / "log") as process,
        pytest.raises(SubjectError, match="cannot make a TUN device"),
    ):
        process.opened()


# Without root


def test_without_a_tun_device_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(router, "TUN", tmp_path / "tun")
    with pytest.raises(UnavailableError, match=r"\[network\] needs .*/tun: modprobe tun"):
        router.check()


def test_without_a_compiler_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Path) -> Path:
        raise FileNotFoundError("cc")

    monkeypatch.setattr(inner_loop, "built", missing)
    with pytest.raises(UnavailableError, match=r"\[network\] needs a C compiler, for its router: apt-get install gcc"):
        router.library()


@pytest.mark.parametrize(
    ("steps", "share", "expected"),
    [([0, 0, 0], 0.99, 0), ([10, 0, 0], 0.5, 5_000), ([98, 1, 1], 0.99, 10_000), ([1, 0, 99], 0.5, 15_000)],
)
def test_a_quantile_is_the_end_of_its_step(steps: list[int], share: float, expected: int) -> None:
    assert _router._quantile(steps, share) == expected


def test_a_link_without_a_rate_has_no_time_for_a_byte() -> None:
    direction = _router._Direction()
    _router._ask(direction, Link(delay_ns=5, loss=0.5))
    assert (direction.delay_ns, direction.loss, direction.ns_per_byte) == (5, 0.5, 0.0)
    _router._ask(direction, Link(rate_bps=8e6, queue_ns=7))
    assert (direction.ns_per_byte, direction.queue_ns) == (1000.0, 7)
