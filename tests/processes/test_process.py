"""A child process: started pinned, awaited with a limit, and gone afterwards whatever happened."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtbench.errors import ResultsError, SubjectError, UserError
from rtbench.messages.publisher import Pause, Stop
from rtbench.processes.process import Process

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


def test_messages_go_in(start: Start) -> None:
    process = start("import sys; print(input(), flush=True); sys.stdin.read()")
    process.send(Stop("there"))
    assert process.line(PATIENCE_S) == '{"do":"stop","ticks":"there"}'


def test_a_line_has_a_limit(start: Start) -> None:
    process = start("import sys; sys.stdout.write('x' * 2**21); sys.stdout.flush(); sys.stdin.read()")
    with pytest.raises(SubjectError, match=r"process printed an invalid line \(a line is longer than 1,048,576"):
        process.line(PATIENCE_S)


def test_silence_has_a_limit(start: Start) -> None:
    process = start("import sys; print('hm', file=sys.stderr); " + WAIT)
    assert process.line(PATIENCE_S) == "up"
    with pytest.raises(SubjectError, match=r"the process printed nothing for 0\.05 s: hm \(0\.log\)$"):
        process.line(0.05)


def test_death_is_the_subjects_error_with_the_end_of_its_log(start: Start) -> None:
    script = "import sys; [print('line', n, file=sys.stderr) for n in range(9)]; sys.exit(3)"
    with pytest.raises(SubjectError) as caught:
        start(script).line(PATIENCE_S)
    assert str(caught.value) == (
        "the process ended early (exit code 3): line 4 | line 5 | line 6 | line 7 | line 8 (0.log)"
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
        process.send(Pause())


@pytest.mark.slow
def test_a_child_that_shuts_its_mouth_but_lives_is_not_waited_for(start: Start) -> None:
    process = start("import os, sys; os.close(1); sys.stdin.read()")
    with pytest.raises(SubjectError, match="closed its standard output"):
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


def test_stop_takes_what_a_polite_program_left_behind(start: Start) -> None:
    process = start(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n{WAIT}")
    assert [process.line(PATIENCE_S) for _ in range(2)] == ["up", "up"]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    grandchild = os.pidfd_open(int(children[0]))
    process.stop(PATIENCE_S)
    assert process.exited() == -signal.SIGTERM
    assert ended(grandchild)
    os.close(grandchild)


def test_a_log_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"cannot write into .*missing \(No such file or directory\)"):
        Process(python(WAIT), (), tmp_path / "missing" / "log")


def test_a_process_that_cannot_be_started_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(UserError, match=r"cannot start the process \(Resource temporarily unavailable\): raise the"):
        Process(python(WAIT), (), tmp_path / "log")


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
from rtbench.messages.publisher import Pause, Stop
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
