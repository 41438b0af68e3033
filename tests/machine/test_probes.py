"""The probes against what a child says of itself. Facts, no speed: a reading lies between two that enclose it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rtbench.machine import probes

BURNER = """
import hashlib, json, os, subprocess, sys, threading, time

BURN_S, ALLOCATE, DEPTH = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
kept = b"x" * ALLOCATE
child = None
if DEPTH:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[4], sys.argv[1], sys.argv[2], str(DEPTH - 1), sys.argv[4]],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)

def burn():
    block = b"x" * 65536  # the lock is let go of for blocks as large as this: both threads run
    while time.process_time() < BURN_S:
        hashlib.sha256(block).digest()

threads = [threading.Thread(target=burn) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

def said():
    below = json.loads(child.stdout.readline()) if child else {"pids": [], "cpu_ns": 0}
    return {"pids": [os.getpid(), *below["pids"]], "cpu_ns": time.process_time_ns() + below["cpu_ns"]}

print(json.dumps(said()), flush=True)
for line in sys.stdin:
    if child:
        child.stdin.write(b"\\n")
        child.stdin.flush()
    print(json.dumps(said()), flush=True)
"""


class Child:
    """A child (and its descendants) that has burnt its CPU and now waits."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.pid = child.pid
        self.first = self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        value: dict[str, Any] = json.loads(self._child.stdout.readline())
        return value

    def again(self) -> dict[str, Any]:
        """What it says now."""
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return self._hear()


@contextmanager
def burner(burn_s: float = 0.05, allocate: int = 0, depth: int = 0) -> Iterator[Child]:
    command = [sys.executable, "-c", BURNER, str(burn_s), str(allocate), str(depth), BURNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield Child(child)
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(10)


@pytest.fixture
def gone() -> int:
    """The pid of a process that was."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


@pytest.mark.slow
def test_cpu_is_of_all_threads() -> None:
    with burner(burn_s=0.1) as child:
        assert child.first["cpu_ns"] >= 100_000_000
        read = probes.cpu_ns(child.pid)
        assert child.first["cpu_ns"] <= read <= child.again()["cpu_ns"]


@pytest.mark.slow
def test_cpu_is_of_the_whole_tree() -> None:
    with burner(burn_s=0.05, depth=2) as child:
        assert len(child.first["pids"]) == 3
        assert child.first["cpu_ns"] >= 150_000_000
        assert sorted(probes.tree(child.pid)) == sorted(child.first["pids"])
        read = probes.cpu_ns(child.pid)
        assert child.first["cpu_ns"] <= read <= child.again()["cpu_ns"]
        assert probes.cpu_ns(child.first["pids"][-1]) < read


def test_children_of_every_thread_belong_to_the_tree() -> None:
    script = """
import subprocess, sys, threading
def start():
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    print(child.pid, flush=True)
    sys.stdin.read()
    child.stdin.close()
    child.wait()
threading.Thread(target=start).start()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert probes.tree(child.pid) == [child.pid, grandchild]


@pytest.mark.slow
def test_memory_is_of_the_whole_tree() -> None:
    size = 20_000_000
    with ExitStack() as stack:
        one = stack.enter_context(burner(0, size))
        two = stack.enter_context(burner(0, size, depth=1))
        assert probes.memory_bytes(one.pid) >= size
        assert probes.memory_bytes(two.pid) >= 2 * size


CROWD = """
import hashlib, sys, threading, time
from threading import Barrier, Thread
met, over = Barrier(3), Barrier(3)
def burn():
    block = b"x" * 65536
    while time.thread_time() < 0.05:
        hashlib.sha256(block).digest()
    met.wait()
    over.wait()
for _ in range(2):
    Thread(target=burn).start()
met.wait()
print("burnt", flush=True)
sys.stdin.read()
over.wait()
"""


def test_run_delay_is_what_two_threads_on_one_core_wait() -> None:
    core = min(os.sched_getaffinity(0))
    launcher = [sys.executable, "-m", "rtbench.processes._launch", str(os.getpid()), str(core), "-"]
    command = [*launcher, sys.executable, "-c", CROWD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"burnt\n"
        # Each wanted 50 ms of the one core: whoever came last waited for most of what the other had.
        assert probes.run_delay_ns(child.pid) >= 20_000_000
        assert probes.cores_of(child.pid) == [core]


def test_readings_do_not_fall() -> None:
    """Of a process whose threads stay: what a thread had waited leaves with it."""
    count = "import time; list(map(time.sleep, [0.001] * 60_000))"
    with subprocess.Popen([sys.executable, "-c", count]) as child:
        try:
            for probe in (probes.cpu_ns, probes.run_delay_ns):
                readings = [probe(child.pid) for _ in range(20)]
                assert readings == sorted(readings)
                assert readings[0] >= 0
        finally:
            child.kill()


def test_missing_process_gives_minus_one(gone: int) -> None:
    assert probes.cpu_ns(gone) == -1
    assert probes.memory_bytes(gone) == -1
    assert probes.resident_bytes(gone) == -1
    assert probes.run_delay_ns(gone) == -1
    assert probes.descriptors_share(gone) == -1
    assert probes.descriptors(gone) == -1
    assert probes.ports_share(gone) == -1
    assert probes.wire_bytes(gone, "lo") == -1
    assert probes.namespace(gone) == 0
    assert set(probes.network(gone).values()) == {0}
    assert probes.cores_of(gone) == []
    assert probes.tree(gone) == [gone]


def test_a_descendant_that_leaves_meanwhile_is_left_out(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = os.getpid()
    monkeypatch.setattr(probes, "tree", lambda _: [pid, gone])
    assert probes.cpu_ns(pid) > 0
    assert probes.memory_bytes(pid) > 0
    assert probes.resident_bytes(pid) > 0


FAMILY = """
import hashlib, os, sys, threading, time

def burn(seconds):
    block = b"x" * 65536  # the lock is let go of for blocks as large as this
    while time.thread_time() < seconds:
        hashlib.sha256(block).digest()

if sys.argv[1] == "threads":
    threads = [threading.Thread(target=burn, args=(0.1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = 0
else:
    reading, writing = os.pipe()
    child = os.fork()
    burn(0.1)
    if child == 0:
        os.write(writing, b"x")
        os.read(0, 1)
        os._exit(0)
    os.read(reading, 1)
print(child, time.process_time_ns(), time.thread_time_ns(), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "fork"])
def test_cpu_counts_what_the_first_thread_and_the_first_process_did_not_do(kind: str) -> None:
    """Two threads, or a process and its fork, burn 100 ms each: what one of them did is not the whole."""
    command = [sys.executable, "-c", FAMILY, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        forked, process_ns, thread_ns = map(int, child.stdout.readline().split())
        read = probes.cpu_ns(child.pid)
        assert read >= 200_000_000
        if kind == "threads":
            assert process_ns >= 200_000_000
            assert thread_ns <= process_ns - 200_000_000  # the first thread only waited
            assert read >= process_ns
        else:
            assert sorted(probes.tree(child.pid)) == sorted([child.pid, forked])
            assert 100_000_000 <= process_ns <= read - 100_000_000
            assert probes.cpu_ns(forked) >= 100_000_000
        assert child.stdin is not None
        child.stdin.close()


def test_resident_memory_is_of_the_whole_tree() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    script = (
        "import subprocess, sys; c = subprocess.Popen(['cat'], stdin=sys.stdin); print(c.pid, flush=True); c.wait()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        grandchild = int(child.stdout.readline())
        whole, small = probes.resident_bytes(child.pid), probes.resident_bytes(grandchild)
        child.stdin.close()
    assert whole % page == small % page == 0
    assert whole > small > 0


# The network


def texts(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """These files' texts; every other one is missing."""

    def read_text(path: Path, *_: Any, **__: Any) -> str:
        if str(path) not in files:
            raise FileNotFoundError(str(path))
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)


NETSTAT = """TcpExt: SyncookiesSent PruneCalled RcvPruned ListenOverflows ListenDrops TCPBacklogDrop TCPRcvQDrop
TcpExt: 9 1 20 4 5 300 4000
IpExt: InNoRoutes OutOctets
IpExt: 7 8
MPTcpExt: MPCapableSYNRX RcvPruned
MPTcpExt: 6 77
"""
SNMP = """Ip: Forwarding OutSegs
Ip: 1 99
Tcp: RtoAlgorithm MaxConn OutSegs RetransSegs
Tcp: 1 -1 1234 56
Udp: InDatagrams
Udp: 3
"""


def test_network_counters_are_tcps_under_our_names(monkeypatch: pytest.MonkeyPatch) -> None:
    texts(monkeypatch, {"/proc/7/net/netstat": NETSTAT, "/proc/7/net/snmp": SNMP})
    assert probes.network(7) == {
        "listen_overflows": 4,
        "listen_drops": 5,
        "retransmits": 56,
        "segments": 1234,
        "buffer_overruns": 4321,
    }


def test_a_counter_that_the_kernel_lacks_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts(monkeypatch, {"/proc/7/net/snmp": SNMP})
    assert probes.network(7) == {
        "listen_overflows": 0,
        "listen_drops": 0,
        "retransmits": 56,
        "segments": 1234,
        "buffer_overruns": 0,
    }


def test_own_network_counters_are_there_and_do_not_fall() -> None:
    before = probes.network(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        after = probes.network(os.getpid())
    assert all(after[name] >= before[name] for name in before)
    assert after["segments"] >= before["segments"] + 2


@pytest.mark.parametrize(("interface", "counted"), [("rtb0", 1_002_000), ("lo", 15), ("eth0", -1), ("rtb", -1)])
def test_wire_bytes_are_both_directions_of_one_interface(
    monkeypatch: pytest.MonkeyPatch, interface: str, counted: int
) -> None:
    text = """Inter-|   Receive                                        |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:   10 1 0 0 0 0 0 0  5 1 0 0 0 0 0 0
  rtb0: 1000000 900 0 0 0 0 0 0  2000 10 0 0 0 0 0 0
"""
    texts(monkeypatch, {"/proc/7/net/dev": text})
    assert probes.wire_bytes(7, interface) == counted


def test_processes_of_one_namespace_have_one_number() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert probes.namespace(child.pid) == probes.namespace(os.getpid()) == Path("/proc/self/ns/net").stat().st_ino
        assert child.stdin is not None
        child.stdin.close()


# What is left


def test_descriptors_are_a_share_of_the_soft_limit() -> None:
    script = "import resource, sys; resource.setrlimit(7, (100, resource.getrlimit(7)[1])); print(); " + (
        "kept = [open('/dev/null') for _ in range(47)]; print('up', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        while child.stdout.readline() != "up\n":
            pass
        assert probes.descriptors_share(child.pid) == 0.5  # 47, and its three standard ones
        assert probes.descriptors(child.pid) == 50
        child.stdin.close()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Limit  Soft Limit  Hard Limit  Units\nMax open files  unlimited  unlimited  files\n", 0.0),
        ("Limit  Soft Limit  Hard Limit  Units\nMax open files  0  0  files\n", -1),
        ("Max processes 5 5 processes\n", -1),
    ],
)
def test_limits_that_have_no_share(monkeypatch: pytest.MonkeyPatch, text: str, share: float) -> None:
    texts(monkeypatch, {"/proc/7/limits": text})
    assert probes.descriptors_share(7) == share


def sockets(*rows: tuple[int, int, str]) -> str:
    """/proc/net/tcp with these (local port, remote port, state)."""
    lines = [
        f"{n}: 0100007F:{here:04X} 0100007F:{there:04X} {state} 0:0" for n, (here, there, state) in enumerate(rows)
    ]
    return "\n".join(["sl local_address rem_address st", *lines]) + "\n"


# 300 connections with both of their ends, to a server at port 80, and 200 that wait.
BOTH_ENDS = [pair for n in range(300) for pair in ((32000 + n, 80, "01"), (80, 32000 + n, "01"))]
WAITING = [(32300 + n, 80, "06") for n in range(200)]


@pytest.mark.parametrize(
    ("tcp", "tcp6", "share"),
    [
        (sockets(*BOTH_ENDS, *WAITING), "", 0.5),
        (sockets(*BOTH_ENDS, *WAITING), sockets((32000, 81, "01"), (32999, 81, "01")), 0.501),
        (sockets((31999, 80, "01"), (33000, 80, "01"), (80, 0, "0A")), "", 0.0),
        (sockets(), "", 0.0),
        ("sl\n0:\n", "", -1),
        ("sl\n0: 0100007F:what 0 01\n", "", -1),
    ],
)
def test_ports_in_use_and_in_time_wait_are_a_share_of_the_local_ones(
    monkeypatch: pytest.MonkeyPatch, tcp: str, tcp6: str, share: float
) -> None:
    files = {"/proc/7/net/tcp": tcp, "/proc/sys/net/ipv4/ip_local_port_range": "32000\t32999\n"}
    texts(monkeypatch, files | ({"/proc/7/net/tcp6": tcp6} if tcp6 else {}))
    assert probes.ports_share(7) == share


def test_time_that_any_task_ran_on_some_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedstat, usage = tmp_path / "schedstat", tmp_path / "usage"
    monkeypatch.setattr(probes, "SCHEDSTAT", schedstat)
    monkeypatch.setattr(probes, "USAGE_PERCPU", usage)
    assert probes.running_ns([0]) == -1
    usage.write_text("11 22 33 \n")
    assert [probes.running_ns(cores) for cores in ([0], [1, 2], [3], [])] == [11, 55, -1, 0]
    domain = "domain0 3 1 2 3 4 5 6 7 8"
    schedstat.write_text(f"version 15\ntimestamp 1\ncpu0 0 0 5 6 7 8 900 10 3\n{domain}\ncpu1 0 0 5 6 7 8 800 10 3\n")
    assert [probes.running_ns(cores) for cores in ([0], [0, 1], [2])] == [900, 1700, -1]


def test_throttles_of_all_cores_are_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for core, text in (("cpu0", "3\n"), ("cpu1", "4\n"), ("cpu2", "what?"), ("cpufreq", "100\n")):
        folder = tmp_path / core / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(text)
    (tmp_path / "cpu3").mkdir()
    monkeypatch.setattr(probes, "Path", lambda path: tmp_path if path == "/sys/devices/system/cpu" else Path(path))
    assert probes.throttles() == 7


# The kernel's memory


SLABINFO = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit>
TCP                  10     12   2000   16    8 : tunables 0 0 0 : slabdata 1 1 0
TCPv6                 1     12   3000   16    8 : tunables 0 0 0 : slabdata 1 1 0
dentry             9999   9999    192   21    1 : tunables 0 0 0 : slabdata 1 1 0
filp                 100    200    300   21    1 : tunables 0 0 0 : slabdata 1 1 0
"""


def test_kernel_memory_is_the_sockets_slabs_and_tcps_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    sockstat = "sockets: used 9\nTCP: inuse 3 orphan 0 tw 2 alloc 3 mem 5\nUDP: inuse 1 mem 700\n"
    texts(monkeypatch, {"/proc/slabinfo": SLABINFO, "/proc/net/sockstat": sockstat})
    page = os.sysconf("SC_PAGE_SIZE")
    assert probes.kernel_memory_bytes() == 10 * 2000 + 3000 + 100 * 300 + 5 * page


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/proc/slabinfo": SLABINFO},
        {"/proc/slabinfo": SLABINFO, "/proc/net/sockstat": "sockets: used 9\n"},
        {"/proc/slabinfo": "a\nb\nTCP many\n", "/proc/net/sockstat": "TCP: mem 5\n"},
    ],
    ids=["not root", "no sockstat", "no TCP", "another format"],
)
def test_kernel_memory_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    texts(monkeypatch, files)
    assert probes.kernel_memory_bytes() == -1


@pytest.mark.root
@pytest.mark.skipif(not os.access("/proc/slabinfo", os.R_OK), reason="/proc/slabinfo is root's")
def test_kernel_memory_of_this_machine_holds_its_sockets() -> None:
    assert probes.kernel_memory_bytes() > 2000  # one socket, at least


# The machine


def test_machine_counters_do_not_fall() -> None:
    readings = [probes.machine_ns() for _ in range(5)]
    assert readings == sorted(readings)
    assert readings[0][0] > 0


@pytest.mark.parametrize(
    ("text", "busy_ticks", "steal_ticks"),
    [
        ("cpu  1 20 300 9999 8888 4000 50000 600000 0 0\ncpu0 5 5 5\n", 54_321, 600_000),
        ("cpu  1 20 300 9999\n", 321, 0),  # an old kernel
    ],
)
def test_machine_counters_are_the_first_line_of_proc_stat(
    monkeypatch: pytest.MonkeyPatch, text: str, busy_ticks: int, steal_ticks: int
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    assert probes.machine_ns() == (busy_ticks * tick_ns, steal_ticks * tick_ns)


def test_no_proc_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: "nonsense here")
    assert probes.machine_ns() == (-1, -1)
