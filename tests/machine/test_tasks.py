"""What ran on a core, from the tasks of the machine: a planted /proc, and the real one."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from rtbench.machine import tasks
from rtbench.machine.tasks import Tasks

AFFINITY = {2: {0, 1}, 10: {0}, 11: {0}, 12: {1}, 13: {0}}


class Proc:
    """A /proc with the machine's tasks, whose times and numbers are set."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, 100
        (folder / "self/ns").mkdir(parents=True)
        (folder / "self/ns/pid").symlink_to("pid:[4026531836]")
        self.counted()

    def counted(self, more: int = 0) -> None:
        self.started += more
        (self.folder / "stat").write_text(f"cpu  1 2 3\nprocesses {self.started}\n")

    def task(self, process: int, number: int, ns: int) -> None:
        path = self.folder / f"{process}/task/{number}"
        path.mkdir(parents=True, exist_ok=True)
        (path / "schedstat").write_text(f"{ns} 5 6\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    made = Proc(tmp_path)
    monkeypatch.setattr(tasks, "PROC", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", AFFINITY.__getitem__)
    for process, number in ((2, 2), (10, 10), (10, 11), (12, 12)):
        made.task(process, number, 1000 * number)
    return made


def begun() -> Tasks:
    made = Tasks([0])
    made.begin()
    return made


def test_it_is_the_time_of_the_tasks_that_may_run_there(proc: Proc) -> None:
    counted = begun()
    proc.task(2, 2, 2_007)  # on every core
    proc.task(10, 11, 11_050)  # a thread
    proc.task(12, 12, 99_000)  # on the other core
    assert counted.ran_ns() == 57
    proc.task(13, 13, 400)  # began meanwhile
    proc.counted(1)
    assert counted.ran_ns() == 457


def test_a_task_that_came_and_went_leaves_it_unknown(proc: Proc) -> None:
    counted = begun()
    proc.counted(1)
    assert counted.ran_ns() == -1


def test_a_task_that_ended_leaves_it_unknown(proc: Proc) -> None:
    counted = begun()
    shutil.rmtree(proc.folder / "10/task/11")
    assert counted.ran_ns() == -1


@pytest.mark.parametrize("gone", ["stat", "2", "10/task/10/schedstat"])
def test_a_machine_that_hides_its_tasks_leaves_it_unknown(proc: Proc, gone: str) -> None:
    path = proc.folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if gone.endswith("schedstat"):
        path.write_text("\n")
    assert begun().ran_ns() == -1


def test_a_container_leaves_it_unknown(proc: Proc) -> None:
    (proc.folder / "self/ns/pid").unlink()
    (proc.folder / "self/ns/pid").symlink_to("pid:[4026532000]")
    assert begun().ran_ns() == -1


def test_it_is_unknown_before_it_begins(proc: Proc) -> None:
    assert Tasks([0]).ran_ns() == -1


def test_on_this_machine_it_has_this_thread() -> None:
    counted = Tasks(os.sched_getaffinity(0))
    counted.begin()
    stop_ns = time.thread_time_ns() + 20_000_000
    while time.thread_time_ns() < stop_ns:
        pass
    ran_ns = counted.ran_ns()
    assert ran_ns == -1 or ran_ns >= 20_000_000  # -1: another program started or ended something meanwhile
