"""slowhttptest against each HTTP subject: does the server close slow clients, after how long, and does it serve others?

    .venv/bin/python benchmarks/slow_http.py [SUBJECT ...] [--connections 200] [--seconds 20] [--together 3]

Three modes, one after the other, against a server of its own (`rtbench serve`) that plays every stream: a request head
that never ends (`-H`), a body that never ends (`-B`, POST /send/chat), an answer that is read 32 bytes at a time
(`-X`). Once a second slowhttptest asks for the same URL on a connection of its own ("service available", 3 s of
patience). Prints a Markdown row a subject. `closed`: connections that the server closed, of those that were connected,
and the seconds in which the first and the last of them went (`all`: slowhttptest ended early, since none was left);
`for others`: seconds in which the probe was answered.
Without SUBJECT: every HTTP subject that can run here. slowhttptest ends by its own limit; a process that does not is
killed after as long again. Needs slowhttptest (apt-get install slowhttptest).
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rtbench.errors import RtbenchError, SubjectError, UserError
from rtbench.subjects import Subject
from rtbench.subjects.registry import catalogue

MODES = {
    "slow head": ("-H", "-i", "2", "-x", "24", "-t", "GET"),
    "slow body": ("-B", "-i", "2", "-x", "10", "-s", "8192", "-t", "POST"),
    "slow read": ("-X", "-n", "2", "-w", "512", "-y", "1024", "-z", "32", "-k", "1"),
}
PROBE_S = 3
START_S = 60.0
COLUMNS = ("Seconds", "Closed", "Pending", "Connected", "Service Available")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One mode against one subject. `first_s`, `last_s`: the seconds of the first and the last close; None: none."""

    connected: int
    closed: int
    first_s: int | None
    last_s: int | None
    seconds: int
    available: int
    none_left: bool

    def closing(self) -> str:
        """`50 of 200, 10 to 12 s`, `all, within 1 s`."""
        if self.none_left:
            return f"all, within {self.seconds} s"
        when = "" if self.first_s is None else f", {self.first_s} to {self.last_s} s"
        return f"{self.closed} of {self.connected}{when}"

    def serving(self) -> str:
        """`20 of 20 s`."""
        return f"{self.available} of {self.seconds} s"


ENDS = {"Hit test time limit": False, "No open connections left": True}
"""What slowhttptest prints as its exit status, and whether no connection was left."""


def ended(text: str) -> bool:
    """Whether no connection was left. Raises SubjectError for an end that is not in ENDS (a refused connection)."""
    _, _, line = text.partition("Exit status:")
    status = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line.partition("\n")[0]).strip()
    if status not in ENDS:
        raise SubjectError(f"slowhttptest ended with {status or 'no exit status'!r}")
    return ENDS[status]


def outcome(text: str, none_left: bool) -> Outcome:
    """What slowhttptest's CSV says: a row a second, cumulative. Raises SubjectError for any other text."""
    rows = list(csv.reader(text.splitlines()))
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        raise SubjectError(f"slowhttptest wrote another CSV: {text[:80]!r}")
    found = [[int(cell) for cell in row] for row in rows[1:] if len(row) == len(COLUMNS)]
    if not found:
        raise SubjectError("slowhttptest wrote no second")
    closes = [row[0] for before, row in zip([[0] * len(COLUMNS), *found], found, strict=False) if row[1] > before[1]]
    return Outcome(
        connected=max(row[1] + row[3] for row in found),
        closed=max(row[1] for row in found),
        first_s=closes[0] if closes else None,
        last_s=closes[-1] if closes else None,
        seconds=len(found),
        available=sum(row[4] > 0 for row in found),
        none_left=none_left,
    )


@contextmanager
def serving(subject: str, log: Path) -> Iterator[str]:
    """The URL of a server of its own that plays every stream."""
    command = [sys.executable, "-m", "rtbench.cli", "serve", subject]
    with log.open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line.startswith("listening on "):
            last = (log.read_text(encoding="utf-8").splitlines() or ["it printed nothing"])[-1]
            raise SubjectError(f"{subject} does not start: {last}")
        yield line.split()[-1]
    finally:
        child.terminate()
        try:
            child.wait(START_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def attack(program: str, mode: str, url: str, folder: Path, connections: int, seconds: int) -> Outcome:
    """Run slowhttptest for so many seconds. Raises SubjectError if it leaves no CSV."""
    name = folder / mode.replace(" ", "-")
    command = [program, *MODES[mode], "-g", "-o", str(name), "-c", str(connections), "-r", str(connections)]
    command += ["-l", str(seconds), "-p", str(PROBE_S), "-u", url, "-v", "1"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * seconds + 30, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SubjectError(f"slowhttptest did not end within {2 * seconds + 30} s") from error
    written = name.with_suffix(".csv")
    if not written.exists():
        lines = done.stdout.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise SubjectError(f"slowhttptest wrote no CSV: {lines[-1]}")
    return outcome(written.read_text(encoding="utf-8"), ended(done.stdout.decode(errors="replace")))


def attacked(program: str, subject: Subject, connections: int, seconds: int) -> list[str]:
    """The cells of a subject's row. What cannot be measured has its reason in the cell."""
    path = subject.template.format(stream="fanout", channel=0, subscriber=0, query="fanout")
    cells = []
    with tempfile.TemporaryDirectory(prefix="rtbench-slow-") as name:
        folder = Path(name)
        for mode in MODES:
            try:
                with serving(subject.name, folder / "server.log") as url:
                    target = f"{url}/send/chat" if mode == "slow body" else f"{url}{path}"
                    found = attack(program, mode, target, folder, connections, seconds)
                cells += [found.closing(), found.serving()]
            except RtbenchError as error:
                cells += [str(error), "–"]
    return cells


def chosen(names: Sequence[str]) -> list[Subject]:
    """The HTTP subjects called so; without names all that can run here, the others are printed."""
    known = {name: one for name, one in catalogue().items() if one.transport != "tcp"}
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"no HTTP subject is called {unknown[0]!r}", "see `rtbench list subjects`")
    found = []
    for name in names or known:
        what, remedy = known[name].missing()
        if what:
            sys.stderr.write(f"{name} left out: {what} is missing; {remedy}\n")
        else:
            found.append(known[name])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--together", type=int, default=3, help="subjects at a time")
    asked = parser.parse_args()
    program = shutil.which("slowhttptest")
    if program is None:
        raise UserError("slowhttptest is missing", "apt-get install slowhttptest")
    subjects = chosen(asked.subjects)
    heads = [head for mode in MODES for head in (f"{mode}: closed", "for others")]
    print(f"| subject | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}", flush=True)
    with ThreadPoolExecutor(asked.together) as pool:
        for subject, cells in zip(
            subjects,
            pool.map(lambda one: attacked(program, one, asked.connections, asked.seconds), subjects),
            strict=True,
        ):
            print(f"| `{subject.name}` | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtbenchError as error:
        sys.stderr.write(f"slow_http: {error}\n")
        sys.exit(2)
