"""One row, played: a campaign, its faults, what was left, and `--resume`.

Invariant: a fault comes at a moment that the campaign reports, and the campaign waits for it; nothing is timed. The row
fails with the list of promises that were not kept. Called by `__main__.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import leftovers
import powerloss
from injector import Injector, mount
from rows import KILLED, ONE, Row, Step

HERE = Path(__file__).parent
PATIENCE_S = 420.0
"""The longest that a campaign of a row may take: a load process that writes is waited for for 300 s."""
TMPFS = "size=24m"


@dataclass(frozen=True, slots=True)
class Played:
    """A row's results."""

    row: Row
    sees: str
    code: int
    disk: str
    resumed: int
    broken: tuple[str, ...]
    """The promises that were not kept."""
    took_s: float
    more: str = ""
    """What else was counted."""


class _Campaign:
    """A running campaign with its moments."""

    def __init__(self, row: Row, work: Path, *, resume: bool) -> None:
        self.moments, theirs = socket.socketpair()
        out = work / "disk" / "out"
        environment = {
            **os.environ,
            leftovers.MARK: work.name,
            "TMPDIR": str(work / "tmp"),
            "RTBENCH_FAULTS_FD": str(theirs.fileno()),
            "RTBENCH_FAULTS_AT": ",".join(step.moment for step in row.steps),
            "RTBENCH_FAULTS_REPORT": "report" * ("report" in row.with_),
            "RTBENCH_FAULTS_VERIFY": "verify" * ("verify" in row.with_),
        }
        if "clock" in row.with_ and row.steps:
            environment |= {"RTBENCH_FAULTS_CLOCK": str(work / "trigger"), "PYTHONPATH": str(HERE / "shim")}
        if "log" in row.with_:
            environment |= {"RTBENCH_FAULTS_LOG": str(work / "log"), "PYTHONPATH": str(HERE / "shim")}
        words = ["run", str(HERE / "scenario.toml"), "--out", str(out), "--seed", "1"]
        words += ["--netns"] * ("netns" in row.with_) + ["--resume"] * resume
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "inside.py"), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
            pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self.error = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.error += line

    def reach(self) -> str:
        """Wait for the next moment; "" when the campaign ended, or is too slow."""
        if not select.select([self.moments], [], [], PATIENCE_S)[0]:
            return ""
        return self.moments.recv(1000).decode().strip()

    def release(self) -> None:
        """Let it go on."""
        with contextlib.suppress(OSError):
            self.moments.sendall(b".")

    def end(self) -> int:
        """Its exit code."""
        try:
            code = self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(1)
            self.moments.close()
        return code


def first_trial(work: Path) -> Path:
    """A results folder in which every row begins: one recorded trial, interrupted in the second."""
    for folder in (work / "disk", work / "tmp"):
        folder.mkdir(parents=True)
    steps = (Step("2:starting", "end", "campaign"),)
    row = Row("", "", "", steps, 130, "", ONE)
    campaign = _Campaign(row, work, resume=False)
    if campaign.reach():
        campaign.process.terminate()
        campaign.release()
    out = work / "disk" / "out"
    if campaign.end() != row.code or on_disk(out) != row.disk:
        raise SystemExit(f"faults: the first trial failed:\n{campaign.error}")
    return out


def play(row: Row, work: Path, first: Path) -> Played:
    """Play one row in the new folder `work`; it begins with a copy of the results folder `first`."""
    began, mark = time.monotonic(), work.name
    disk, temporary = work / "disk", work / "tmp"
    out = disk / "out"
    for folder in (disk, temporary):
        folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        if "tmpfs" in row.with_:
            mount("-t", "tmpfs", "-o", TMPFS, "tmpfs", str(disk))
            stack.callback(subprocess.run, ["umount", "-R", str(disk)], check=True)
        broken: list[str] = []
        held = leftovers.Held()
        fresh = bool({"netns", "log"} & set(row.with_))  # another scenario, or a log from the start
        if not fresh:
            shutil.copytree(first, out)
        campaign = _Campaign(row, work, resume=not fresh)
        stack.callback(campaign.process.kill)
        injector = Injector(mark, campaign.process.pid, out, work / "trigger")
        stack.callback(injector.repair)
        for step in row.steps:
            reached = campaign.reach()
            if reached != step.moment:
                broken.append(f"{step.moment} was not reached")
                break
            held.see(mark)
            injector.do(step.do, step.process)
            campaign.release()
        code = campaign.end()
        broken += _expected("exit code", code, row.code)
        if row.sees not in campaign.error:
            broken.append(f"the user does not see {row.sees!r}")
        if "Traceback" in campaign.error:
            broken.append("the user sees a traceback")
        broken += [f"left: {one}" for one in leftovers.left(mark, held)]
        injector.repair()
        disk_now = on_disk(out)
        broken += _expected("trials", disk_now, row.disk)
        broken += [f"left: {one}" for one in leftovers.files(temporary, None if code == KILLED else out)]
        again = _Campaign(replace(row, steps=()), work, resume=True)
        stack.callback(again.process.kill)
        resumed = again.end()
        broken += _expected("exit code of --resume", resumed, row.resumed)
        broken += _expected("trials after --resume", on_disk(out), row.then)
        if "report" in row.with_ and not (out / "report" / "report.html").is_file():
            broken.append("no report after --resume")
        broken += [f"left after --resume: {one}" for one in leftovers.left(mark, held)]
        broken += [f"left after --resume: {one}" for one in leftovers.files(temporary, out)]
        more = ""
        if "log" in row.with_:
            found = powerloss.check(work / "log", out)
            more, broken = found.summary, broken + list(found.broken)
        if broken:
            broken.append(f"its standard error: {campaign.error[-1500:]}\n--resume: {again.error[-1500:]}")
        sees = next((line for line in campaign.error.splitlines() if row.sees and row.sees in line), "").strip()
        return Played(row, sees, code, ", ".join(disk_now), resumed, tuple(broken), time.monotonic() - began, more)


def on_disk(out: Path) -> tuple[str, ...]:
    """The status of each recorded trial, from campaign.json and the manifests."""
    try:
        rows = json.loads((out / "campaign.json").read_text(encoding="utf-8"))["trials"]
        manifests = [json.loads((out / row["directory"] / "manifest.json").read_text(encoding="utf-8")) for row in rows]
    except (OSError, ValueError, KeyError) as error:
        return (f"unreadable ({error})",)
    return tuple(one["status"] for one in manifests)


def _expected(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what}: {found}, not {wanted}"


def clean(work: Path) -> None:
    """Remove a row's folder."""
    shutil.rmtree(work, ignore_errors=True)
