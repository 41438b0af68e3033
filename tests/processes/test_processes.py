"""Processes of a trial: started pinned, awaited with a limit, and gone afterwards whatever happened."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import RtbenchError, SubjectError, UserError
from rtbench.processes.process import LoadProcess, Process, PublisherProcess, ServerProcess, StarverProcess
from rtbench.scenario.loading import build
from rtbench.scenario.model import Scenario

PATIENCE_S = 60
CORE = min(os.sched_getaffinity(0))


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


WAIT = "import sys; print('up', flush=True); sys.stdin.read()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT

Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a Python script as a Process; whatever the test left is killed."""
    started: list[Process] = []

    def begin(script: str) -> Process:
        process = Process(python(script), (), tmp_path / f"{len(started)}.log")
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.stop()


def ended(descriptor: int) -> bool:
    """Whether the process behind a pidfd ended within PATIENCE_S."""
    return bool(select.select([descriptor], [], [], PATIENCE_S)[0])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Saying and hearing


def test_lines_come_one_by_one(start: Start) -> None:
    process = start("import sys; print('a\\nb'); print('c', flush=True); sys.stdin.read()")
    assert [process.line(PATIENCE_S) for _ in range(3)] == ["a", "b", "c"]
    assert process.exited() is None


def test_json_lines_go_in(start: Start) -> None:
    process = start("import sys, json; print(json.loads(input())['do'], flush=True); sys.stdin.read()")
    process.send({"do": "play"})
    assert process.line(PATIENCE_S) == "play"


def test_silence_has_a_limit(start: Start) -> None:
    process = start("import sys; print('hm', file=sys.stderr); " + WAIT)
    assert process.line(PATIENCE_S) == "up"
    with pytest.raises(SubjectError, match=r"the process said nothing for 0\.05 s: hm"):
        process.line(0.05)


def test_death_is_the_subjects_error_with_the_end_of_its_log(start: Start) -> None:
    script = "import sys; [print('line', n, file=sys.stderr) for n in range(9)]; sys.exit(3)"
    with pytest.raises(SubjectError) as caught:
        start(script).line(PATIENCE_S)
    assert str(caught.value) == (
        "the process ended early (exit code 3): it said: line 4 | line 5 | line 6 | line 7 | line 8"
    )


def test_death_by_a_signal_is_named(start: Start) -> None:
    process = start(WAIT)
    process.line(PATIENCE_S)
    process.kill()
    with pytest.raises(SubjectError, match=r"^the process ended early \(SIGKILL\)$"):
        process.line(PATIENCE_S)
    assert process.exited() == -signal.SIGKILL


def test_saying_something_to_the_dead(start: Start) -> None:
    process = start("import sys; print('no more', file=sys.stderr)")
    with pytest.raises(SubjectError, match="exit code 0"):
        process.line(PATIENCE_S)
    with pytest.raises(SubjectError, match="no more"):
        process.send({"do": "anything"})


@pytest.mark.slow
def test_a_child_that_shuts_its_mouth_but_lives_is_not_waited_for(start: Start) -> None:
    process = start("import os, sys; os.close(1); sys.stdin.read()")
    with pytest.raises(SubjectError, match="closed its output and went on"):
        process.line(PATIENCE_S)
    assert process.exited() is not None


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with (
        Process(["/no/such/program"], (), tmp_path / "log") as process,
        pytest.raises(SubjectError, match="FileNotFoundError"),
    ):
        process.line(PATIENCE_S)


# Where it runs, and its end


def test_pinned_with_all_its_threads(tmp_path: Path) -> None:
    script = (
        "import os, threading, sys; out = []\n"
        "def look(): out.append(os.sched_getaffinity(0))\n"
        "thread = threading.Thread(target=look); thread.start(); thread.join(); look()\n"
        "print([sorted(cores) for cores in out], flush=True); sys.stdin.read()"
    )
    with Process(python(script), (CORE,), tmp_path / "log") as process:
        assert json.loads(process.line(PATIENCE_S)) == [[CORE], [CORE]]
        assert os.sched_getaffinity(process.pid) == {CORE}


def test_runs_anywhere_without_cores_and_with_all_descriptors(tmp_path: Path) -> None:
    script = "import os, resource; print([sorted(os.sched_getaffinity(0)), list(resource.getrlimit(7))], flush=True)"
    with Process(python(script), (), tmp_path / "log") as process:
        cores, (soft, hard) = json.loads(process.line(PATIENCE_S))
    assert set(cores) == os.sched_getaffinity(0)
    assert soft == hard


def test_environment_is_added_to(tmp_path: Path) -> None:
    script = "import os; print(os.environ['ADDED'], 'PATH' in os.environ, flush=True)"
    with Process(python(script), (), tmp_path / "log", {"ADDED": "yes"}) as process:
        assert process.line(PATIENCE_S) == "yes True"


def test_stop_is_sigterm(start: Start) -> None:
    process = start(WAIT)
    process.line(PATIENCE_S)
    process.stop(PATIENCE_S)
    assert process.exited() == -signal.SIGTERM
    assert process.stopped_in_s is not None
    process.stop()  # twice does no harm


def test_stop_escalates_and_takes_the_whole_group(start: Start) -> None:
    process = start(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n{STUBBORN}")
    assert [process.line(PATIENCE_S) for _ in range(2)] == ["up", "up"]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    grandchild = os.pidfd_open(int(children[0]))
    process.stop(0.05)
    assert process.exited() == -signal.SIGKILL
    assert process.stopped_in_s is None
    assert ended(grandchild)
    os.close(grandchild)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_gone_however_the_block_ends(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), Process(python(WAIT), (), tmp_path / "log") as process:
        process.line(PATIENCE_S)
        raise error
    assert not is_running(process.pid)


@pytest.mark.slow
def test_never_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from rtbench.processes.process import Process
process = Process([sys.executable, "-c", {STUBBORN!r}], (), Path({str(tmp_path / "log")!r}))
process.line(20)
print(process.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(python(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        descriptor = os.pidfd_open(child)
        assert is_running(child)
        parent.kill()
    assert ended(descriptor)
    os.close(descriptor)
    assert not is_running(child)


def test_does_not_begin_when_its_parent_was_killed_before_it_could_ask() -> None:
    command = [
        sys.executable,
        "-m",
        "rtbench.processes._launch",
        "1",
        "-",
        "-",
        "echo",
        "begun",
    ]  # 1 is not what started it
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (1, "")


# Publisher, server, load


@pytest.mark.slow
def test_publisher_plays_and_keeps_what_it_played(tmp_path: Path) -> None:
    scenario = build({"workload": {"rate_hz": 200}}, "here")
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "log") as publisher:
        publisher.ready(PATIENCE_S)
        assert publisher.socket_path.is_socket()
        publisher.play([])
        assert publisher.started == {}
        publisher.play(["fanout"])
        assert set(publisher.started) == {"fanout"}
        played = publisher.finish(tmp_path / "ticks.parquet")
        assert played >= 0
        assert (tmp_path / "ticks.parquet").exists()


@pytest.mark.slow
def test_server_says_where_it_is_and_leaves_on_sigterm(tmp_path: Path) -> None:
    scenario = Scenario()
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "publisher.log") as publisher:
        publisher.ready(PATIENCE_S)
        feed, log = publisher.socket_path, tmp_path / "server.log"
        with ServerProcess("sse-aiohttp", scenario, feed, (), log) as server:
            url = server.ready(PATIENCE_S)
            assert url.startswith("http://127.0.0.1:")
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)):
                pass
            second = ServerProcess("sse-aiohttp", scenario, feed, (), tmp_path / "second.log", port=port)
            with second, pytest.raises(UserError, match=str(port)) as caught:
                second.ready(PATIENCE_S)
            assert not str(caught.value).startswith("rtbench")
            server.stop(PATIENCE_S)
            assert server.exited() == 0


def test_a_server_that_breaks_is_the_subjects_fault(tmp_path: Path) -> None:
    with (
        ServerProcess("sse-abacus", Scenario(), tmp_path / "nobody.sock", (), tmp_path / "log") as server,
        pytest.raises(SubjectError, match=r"the server ended early \(exit code 1\).*sse_abacus"),
    ):
        server.ready(PATIENCE_S)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], LoadProcess]]:
    """A LoadProcess that runs a script of ours, which finds `connection` open."""
    started: list[LoadProcess] = []
    begin = Process.__init__

    def make(script: str) -> LoadProcess:
        head = (
            "import json, os, socket, sys\n"
            "connection = socket.socket(socket.AF_UNIX)\n"
            "trial = json.loads(os.environ['RTBENCH_TRIAL'])\n"
        )

        def with_script(
            self: Process,
            command: Any,
            cores: Any,
            log: Path,
            environment: Any = {},  # noqa: B006
            network: str = "",
        ) -> None:
            begin(self, python(head + script), cores, log, environment, network)

        with monkeypatch.context() as patch:
            patch.setattr(Process, "__init__", with_script)
            process = LoadProcess("SSEUser", {"streams": ["fanout"]}, 1, 7, tmp_path, (), tmp_path / "load.log")
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.stop()


CONNECT = (
    "connection.connect(trial['control'])\nsay = lambda **v: connection.sendall(json.dumps(v).encode() + b'\\n')\n"
)


def test_load_process_is_heard(load: Callable[[str], LoadProcess]) -> None:
    process = load(
        CONNECT + "say(hello=os.getpid()); say(subscribed=5, failed={'refused': 1})\n"
        "command = json.loads(connection.makefile().readline())\n"
        "say(window='closed'); say(finished={**command, 'first': trial['first']}); connection.recv(1)"
    )
    process.connect(PATIENCE_S)
    while process.subscribed != 5:
        process.receive()
    assert process.failed == {"refused": 1}
    assert not process.closed_window
    process.command(do="window", start_ns=3)
    while process.finished is None:
        process.receive()
    assert process.closed_window
    assert process.finished == {"do": "window", "start_ns": 3, "first": 7}
    process.stop(PATIENCE_S)
    assert not is_running(process.pid)


def test_load_process_in_trouble_says_why(load: Callable[[str], LoadProcess]) -> None:
    process = load(CONNECT + "say(error='cannot write /results (No space left on device)'); connection.recv(1)")
    process.connect(PATIENCE_S)
    with pytest.raises(RtbenchError, match="No space left"):
        process.receive()


def test_load_process_that_dies_before_its_hello(load: Callable[[str], LoadProcess]) -> None:
    process = load("sys.exit('no locust here')")
    with pytest.raises(SubjectError, match=r"the load process ended early \(exit code 1\): it said: no locust here"):
        process.connect(PATIENCE_S)


def test_load_process_that_never_says_hello(load: Callable[[str], LoadProcess]) -> None:
    process = load(WAIT)
    with pytest.raises(SubjectError, match="did not start within 0"):
        process.connect(0.0)


def test_load_process_that_dies_later(load: Callable[[str], LoadProcess]) -> None:
    process = load(CONNECT + "sys.stderr.write('tired'); sys.stderr.flush(); connection.close()")
    process.connect(PATIENCE_S)
    with pytest.raises(SubjectError, match=r"exit code 0.*tired"):
        process.receive()
    with pytest.raises(SubjectError, match="tired"):
        for _ in range(3):  # the first may still fit into a buffer
            process.command(do="anything")


def test_load_process_that_dies_without_having_listened(load: Callable[[str], LoadProcess]) -> None:
    """What it was sent and did not read makes a reset of its end, where an end of file would do."""
    process = load(CONNECT + "import select; select.select([connection], [], []); connection.close(); sys.exit('deaf')")
    process.connect(PATIENCE_S)
    process.command(do="ramp")
    with pytest.raises(SubjectError, match=r"exit code 1.*deaf"):
        process.receive()


def test_a_load_process_waits_in_its_control_socket(load: Callable[[str], LoadProcess]) -> None:
    process = load(CONNECT + "say(subscribed=1, failed={}); connection.recv(1)")
    process.connect(PATIENCE_S)
    assert select.select([process], [], [], PATIENCE_S)[0] == [process]


# What else a trial asks of its processes


TIDIES = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("up", flush=True)
signal.sigwait([signal.SIGUSR1])
print("tidied", flush=True)
"""


def test_tidying_up_is_a_signal_and_is_put_into_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Process.__init__

    def with_script(self: Process, command: Any, *arguments: Any, **named: Any) -> None:
        begin(self, python(TIDIES), *arguments, **named)

    monkeypatch.setattr(Process, "__init__", with_script)
    with ServerProcess("sse-aiohttp", Scenario(), tmp_path / "feed", (), tmp_path / "log") as server:
        assert server.line(PATIENCE_S) == "up"
        assert server.tidy() == "gc.collect() and malloc_trim(0) before each reading"
        assert server.line(PATIENCE_S) == "tidied"


def test_counters_of_a_process_are_of_its_tree(start: Start) -> None:
    process = start("import os, sys; print(os.getpid(), flush=True); sys.stdin.read()")
    assert int(process.line(PATIENCE_S)) == process.pid
    assert process.cpu_ns() > 0
    assert process.resident_bytes() > 10**6
    assert process.memory_bytes() > 10**6
    assert process.run_delay_ns() >= 0


def test_stop_wakes_up_what_was_stopped_on_purpose(start: Start) -> None:
    process = start(WAIT)
    process.line(PATIENCE_S)
    process.kill(signal.SIGSTOP)
    process.stop(PATIENCE_S)
    assert process.exited() == -signal.SIGTERM
    assert process.stopped_in_s is not None


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Any]]:
    """The commands of processes that are not started, and their networks."""
    found: list[tuple[list[str], Any]] = []

    def begin(self: Process, command: list[str], *_: Any, **named: Any) -> None:
        found.append((command, named.get("network", "")))

    monkeypatch.setattr(Process, "__init__", begin)
    return found


def options(command: list[str]) -> dict[str, Any]:
    value = json.loads(command[-1])
    assert isinstance(value, dict)
    return value


def test_a_server_is_told_its_share_of_the_scenario(commands: list[tuple[list[str], Any]]) -> None:
    scenario = build({"server": {"host": "::1", "loop": "asyncio", "ring_messages": 7}}, "here")
    feed, log = Path("feed"), Path("log")
    ServerProcess("sse-aiohttp", scenario, feed, (), log)
    ServerProcess("sse-aiohttp", scenario, feed, (), log, host="10.77.0.1", port=80, network="/proc/5/ns/net")
    (here, _), (there, network) = commands
    assert here[:4] == [sys.executable, "-m", "rtbench.servers", "sse-aiohttp"]
    limits = {"heartbeat_s": 15.0, "ring_messages": 7, "ring_bytes": 2**26, "buffer_bytes": 2**20}
    table = {"ingest": "feed", "loop": "asyncio", "poll_timeout_s": 25.0, "limits": limits}
    assert options(here) == {**table, "host": "::1", "port": 0}
    assert options(there) == {**table, "host": "10.77.0.1", "port": 80}
    assert network == "/proc/5/ns/net"


def test_only_a_faulty_server_is_told_what_to_inject(commands: list[tuple[list[str], Any]]) -> None:
    inject = [{"do": "drop", "subscribers": [3], "every": 10, "of": 1}]
    scenario = build({"subjects": ["sse-faulty"], "faults": {"inject": inject}}, "here")
    for name in ("sse-aiohttp", "sse-faulty@2"):
        ServerProcess(name, scenario, Path("feed"), (), Path("log"))
    (plain, _), (faulty, _) = commands
    assert "inject" not in options(plain)
    assert options(faulty)["inject"] == [{"delay_s": 0.0, **inject[0]}]


def test_a_starver_is_told_by_one_line(tmp_path: Path) -> None:
    """It burns until an instant that has passed: not at all. Then its input closes, and it is gone."""
    with StarverProcess((CORE,), tmp_path / "log") as starver:
        starver.burn(5, 6, 0.2, 0.5)
        assert starver.exited() is None
    assert starver.exited() is not None
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.slow
def test_a_publisher_pauses_and_goes_on(tmp_path: Path) -> None:
    scenario = build({"workload": {"rate_hz": 200}}, "here")
    with PublisherProcess(scenario.make_workload(), scenario, tmp_path, (), tmp_path / "log", 1.0) as publisher:
        publisher.ready(PATIENCE_S)
        assert publisher.greeting.keys() == {"ready", "scheduling"}
        publisher.play(["fanout"])
        started = publisher.started["fanout"]
        publisher.pause()
        assert publisher.started["fanout"] == started
        publisher.resume()
        assert publisher.started["fanout"] > started
        publisher.finish(tmp_path / "ticks.parquet")
