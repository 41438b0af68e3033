"""Servers that are programs: started by a command, asked until they answer, stopped."""

from __future__ import annotations

import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import SubjectError, UnavailableError
from rtbench.machine import probes
from rtbench.machine.sockets import observe
from rtbench.processes.program import ProgramServer, free_port, printed, version_of
from rtbench.scenario.loading import build
from rtbench.subjects import Launch, Program, Requirement, Subject
from rtbench.subjects.registry import find

ANSWERS = """
import signal, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family)
print("up", file=sys.stderr, flush=True)
while True:
    connection, _ = listener.accept()
    if connection.recv(65536):
        connection.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n")
    connection.close()
"""


SAYS = """
import json, sys, time
print(json.dumps({"url": "http://127.0.0.1:1234", "uses": {"loop": "its own"}}), flush=True)
time.sleep(60)
"""


def program(script: str, *words: str, **table: Any) -> Subject:
    command = (sys.executable, "-c", script, *words)
    return Subject("sse-mine", "sse", "mine", program=Program(command, **table))


def test_a_program_is_asked_until_it_answers(start: Any, tmp_path: Path) -> None:
    server = start(program(ANSWERS, "{host}", "{port}", ready="/health"))
    assert isinstance(server, ProgramServer)
    url = server.ready()
    assert url == server.url
    assert url.startswith("http://127.0.0.1:")
    assert server.uses == {"stack": "mine", "technique": "per-connection"}
    assert probes.listens(server.pid, int(url.rpartition(":")[2]))
    assert server.ready() == url  # asked again, it says the same
    assert server.cpu_ns() > 0
    assert (tmp_path / "program").is_dir()
    assert "up" in server.log.read_text()
    server.stop()
    assert server.exited() is not None


def test_a_program_on_a_port_and_a_host_of_ones_choice(start: Any) -> None:
    port = free_port("127.0.0.1")
    assert start(program(ANSWERS, "{host}", "{port}"), port=port).ready() == f"http://127.0.0.1:{port}"


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_a_program_over_ipv6(start: Any) -> None:
    try:
        free_port("::1")
    except OSError as error:
        pytest.skip(f"this machine has no ::1 ({error.strerror})")
    url = start(program(ANSWERS, "{host}", "{port}"), host="::1").ready()
    assert url.startswith("http://[::1]:")


def test_a_program_that_says_where_it_is(start: Any) -> None:
    server = start(program(SAYS, ready="line"))
    assert server.ready() == "http://127.0.0.1:1234"
    assert server.uses == {"stack": "mine", "technique": "per-connection", "loop": "its own"}
    # Who publishes by HTTP asks twice; it says it once.
    assert server.ready() == "http://127.0.0.1:1234"


CHATTY = """
import json, os, socket, sys
sys.path.insert(0, "")
first = sys.argv[3] == "line"
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
if first:
    print(json.dumps({"url": f"http://{sys.argv[1]}:{sys.argv[2]}"}), flush=True)
else:
    connection, _ = listener.accept()
    connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
for _ in range(300):
    sys.stdout.write("x" * 999 + "\\n")
sys.stdout.flush()
connection, _ = listener.accept()
connection.sendall(b"done")
"""


@pytest.mark.parametrize("ready", ["/", "line"])
def test_a_program_that_talks_much_is_not_stopped_by_a_full_pipe(start: Any, ready: str) -> None:
    server = start(program(CHATTY, "{host}", "{port}", ready, ready=ready))
    host, port = server.ready().removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as link:
        assert link.recv(10) == b"done"
    server.stop()


@pytest.mark.parametrize("line", ["listening on 80", "5", "[1]"])
def test_a_program_whose_line_is_not_a_json_object(start: Any, line: str) -> None:
    server = start(program(f"print({line!r})", ready="line"))
    with pytest.raises(SubjectError, match="expected one JSON line with the server's url, got"):
        server.ready()


def test_a_program_that_ends_before_it_answers(start: Any) -> None:
    server = start(program("import sys; sys.exit('no configuration')"))
    with pytest.raises(SubjectError, match=r"the server ended early \(exit code 1\): no configuration \(server\.log\)"):
        server.ready()


def test_a_program_that_never_answers(start: Any) -> None:
    server = start(program("import time; time.sleep(60)"))
    with pytest.raises(SubjectError, match=r"the server did not answer at http://127\.0\.0\.1:\d+ within 0.1 s"):
        server.ready(0.1)


def test_a_program_that_is_not_there_says_what_to_do(start: Any) -> None:
    subject = replace(
        program("pass"), requires=(Requirement("the program moon", lambda: False, "apt-get install moon"),)
    )
    with pytest.raises(UnavailableError, match="sse-mine needs the program moon: apt-get install moon"):
        start(subject)


def test_what_a_command_may_depend_on(start: Any, tmp_path: Path) -> None:
    script = "import os, sys; sys.exit('|'.join([*sys.argv[1:], os.getcwd(), os.environ['COLOUR']]))"
    (tmp_path / "elsewhere").mkdir()
    server = start(
        program(
            script, "{host}:{port}", "{folder}", "{feed}", "{x}",
            cwd=str(tmp_path / "elsewhere"), environment={"COLOUR": "red"},
        ),
        port=8123,
    )  # fmt: skip
    with pytest.raises(SubjectError) as caught:
        server.ready()
    wanted = f"127.0.0.1:8123|{tmp_path}/program|{tmp_path}/feed.sock|{{x}}|{tmp_path}/elsewhere|red"
    assert wanted in str(caught.value)


def test_a_function_may_write_configuration(start: Any) -> None:
    seen: list[Launch] = []

    def command(launch: Launch) -> list[str]:
        seen.append(launch)
        (launch.folder / "conf").write_text("x")
        return [sys.executable, "-c", ANSWERS, launch.host, str(launch.port)]

    subject = Subject("sse-mine", "sse", "mine", program=Program(command, version=("echo", "mine 1.2\nmore")))
    server = start(subject, build({"subscribers": 7, "server": {"heartbeat_s": 3}}, "x"))
    server.ready()
    (launch,) = seen
    assert (launch.subscribers, launch.limits["heartbeat_s"]) == (7, 3.0)
    assert server.uses["stack"] == "mine (mine 1.2)"


def test_garbage_is_collected_where_there_is_a_signal_for_it(start: Any) -> None:
    server = start(program(ANSWERS, "{host}", "{port}"))
    assert server.tidy() == "not signalled: it has no signal for it"
    server = start(program(ANSWERS, "{host}", "{port}", tidy=int(signal.SIGCONT)))
    assert server.tidy() == f"signal {int(signal.SIGCONT)} before each reading"
    server.ready()


def test_nagle_is_switched_off_for_a_program_that_cannot_do_it(start: Any) -> None:
    server = start(program(ANSWERS, "{host}", "{port}", nodelay=True))
    port = int(server.ready().rpartition(":")[2])
    assert server.uses["nodelay"] is ("backlog" in observe(server.pid, port))  # where the kernel allows it


def test_a_container_is_counted_by_its_cgroup(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "cgroup_cpu_ns", lambda name: {"/mine": 11}[name])
    monkeypatch.setattr(probes, "cgroup_memory_bytes", lambda name: {"/mine": 22}[name])
    server = start(program(ANSWERS, "{host}", "{port}", cgroup="/mine"))
    assert (server.cpu_ns(), server.memory_bytes(), server.resident_bytes()) == (11, 22, 22)
    server = start(program(ANSWERS, "{host}", "{port}"))
    server.ready()
    assert server.memory_bytes() > 22 < server.resident_bytes()


def test_what_plain_tcp_is_called(start: Any) -> None:
    subject = replace(program(ANSWERS, "{host}", "{port}"), transport="tcp")
    assert start(subject).ready().startswith("tcp://127.0.0.1:")


# Versions


def test_versions_are_what_programs_print() -> None:
    assert printed(("echo", "nginx 1.2\nbuilt by")) == "nginx 1.2"
    assert printed((sys.executable, "-c", "import sys; sys.stderr.write('nginx version: 3')")) == "nginx version: 3"
    assert printed(()) == printed(("rtbench-no-such-program",)) == ""
    assert version_of(find("sse-aiohttp")) == "aiohttp"


ENDLESS = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        while True:
            connection.sendall(b"data: 1\\n\\n" * 1000)
    except OSError:
        connection.close()
"""


def test_a_program_whose_answer_has_no_end_is_ready_with_the_beginning(start: Any) -> None:
    assert start(program(ENDLESS, "{host}", "{port}")).ready(20).startswith("http://127.0.0.1:")


@pytest.mark.slow
def test_a_program_that_listens_and_never_answers(start: Any) -> None:
    script = "import socket, sys, time; l = socket.create_server((sys.argv[1], int(sys.argv[2]))); time.sleep(60)"
    server = start(program(script, "{host}", "{port}"))
    with pytest.raises(SubjectError, match=r"the server did not answer at http://127\.0\.0\.1:\d+ within 0.5 s"):
        server.ready(0.5)


def test_a_program_whose_line_has_no_end(start: Any) -> None:
    server = start(program("import sys\nwhile True: sys.stdout.write('x' * 65536)", ready="line"))
    with pytest.raises(SubjectError, match=r"printed an invalid line .* is longer than 1,048,576 bytes"):
        server.ready()
