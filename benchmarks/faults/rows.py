"""The table: each fault, where and when it happens, and what rtbench promises then.

Invariant: a row is a value; `play.py` plays it, `injector.py` has the faults. A row is a campaign of two trials of
`scenario.toml`; the fault comes into the second. Read by `play.py` and `__main__.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

KILLED = -9
"""The exit code that a parent sees of a process that SIGKILL ended (a shell shows 137)."""

PHASES = {
    "starting": "2:started",
    "ramp": "2:connecting",
    "warm-up": "2:warming up",
    "window": "2:measuring",
    "grace": "2:waiting for what is late",
    "writing": "2:writing",
}
"""A phase of a trial and the moment at which it begins (`inside.py`)."""
CHILDREN = ("server", "publisher", "load process")
BOTH, ONE = ("ok", "ok"), ("ok",)
DISK = "No space left on device"


@dataclass(frozen=True, slots=True)
class Step:
    """At `moment`, `do` this to `process`."""

    moment: str
    do: str
    process: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table and its promise."""

    fault: str
    process: str
    phase: str
    steps: tuple[Step, ...]
    code: int
    """The exit code."""
    sees: str
    """A part of what the user sees on standard error; empty: nothing in particular."""
    disk: tuple[str, ...]
    """The status of each recorded trial."""
    resumed: int = 0
    """The exit code of `--resume`."""
    then: tuple[str, ...] = BOTH
    """The status of each trial after that."""
    needs: str = ""
    """`root`, or `ip` (root and iproute2)."""
    with_: tuple[str, ...] = ()
    """`tmpfs`, `netns`, `clock`, `log`, `report` or `verify`: what the campaign runs with."""

    @property
    def name(self) -> str:
        """A name for `--only`."""
        return "-".join(f"{self.fault} {self.process} {self.phase}".lower().replace("/", " ").replace(",", "").split())


def _killed_child(process: str, phase: str) -> Row:
    return Row(
        "SIGKILL", process, phase, (Step(PHASES[phase], "kill", process),), 3,
        f"the {process} ended early (SIGKILL)", ("ok", "failed"), 3, ("ok", "failed"),
    )  # fmt: skip


def _kills() -> Iterator[Row]:
    for process in CHILDREN:
        for phase in PHASES:
            yield _killed_child(process, phase)
    for phase, moment in PHASES.items():
        yield Row("SIGKILL", "campaign", phase, (Step(moment, "kill", "campaign"),), KILLED, "", ONE)
    for name, rows in (("manifest.json", ONE), ("campaign.json", ONE), ("report.html", BOTH)):
        moment = f"2:rename {name}"
        phase = f"{name} half-way"
        with_ = ("report",) if name == "report.html" else ()
        yield Row("SIGKILL", "campaign", phase, (Step(moment, "kill", "campaign"),), KILLED, "", rows, with_=with_)
    report = Step("report", "kill", "campaign")
    yield Row("SIGKILL", "campaign", "report", (report,), KILLED, "", BOTH, with_=("report",))
    window = (Step("2:measuring", "kill", "campaign"),)
    yield Row("SIGKILL", "campaign", "window, --netns", window, KILLED, "", ONE, needs="ip", with_=("netns",))
    yield Row("SIGTERM", "campaign", "window", (Step("2:measuring", "end", "campaign"),), 130, "continue with", ONE)
    yield Row(
        "SIGTERM",
        "campaign",
        "report",
        (Step("report", "end", "campaign"),),
        130,
        "write the report with",
        BOTH,
        with_=("report",),
    )


def _stops() -> Iterator[Row]:
    late = PHASES["grace"]
    for process in CHILDREN:
        steps = (Step("2:measuring", "stop", process), Step(late, "continue", process))
        yield Row("SIGSTOP, SIGCONT", process, "window", steps, 0, "[2/2]", BOTH)
    steps = (Step("2:measuring", "stop and continue", "campaign"),)
    yield Row("SIGSTOP, SIGCONT", "campaign", "window", steps, 0, "[2/2]", BOTH)
    yield Row("SIGSTOP", "server", "window", (Step("2:measuring", "stop", "server"),), 0,
              "0 of 400 delivered", BOTH)  # fmt: skip
    yield Row("SIGSTOP", "publisher", "window", (Step("2:measuring", "stop", "publisher"),), 3,
              "the publisher printed nothing for", ("ok", "failed"), 3, ("ok", "failed"))  # fmt: skip
    yield Row("SIGSTOP", "load process", "window", (Step("2:measuring", "stop", "load process"),), 3,
              "the window's end did not happen within", ("ok", "failed"), 3, ("ok", "failed"))  # fmt: skip


def _pauses() -> Iterator[Row]:
    """SIGSTOP outside the window. A server that stops once it accepts fails no trial: what it delivered counts."""
    for process in CHILDREN:
        for phase, moment in PHASES.items():
            if phase != "window":
                steps = (Step(moment, "stop and continue", process),)
                yield Row("SIGSTOP, SIGCONT", process, phase, steps, 0, "[2/2]", BOTH)
                kept = process == "server" and phase not in ("starting", "ramp")
                code, rows = (0, BOTH) if kept else (3, ("ok", "failed"))
                yield Row("SIGSTOP", process, phase, (Step(moment, "stop", process),), code, "", rows, code, rows)


def _verifications() -> Iterator[Row]:
    """While a subject is verified before its first trial. One that fails is verified once more."""
    for fault, do in (("SIGKILL", "kill"), ("SIGSTOP", "stop")):
        for process in ("server", "publisher"):
            steps = (Step("2:verified", do, process),)
            yield Row(fault, process, "verification", steps, 0, "[2/2]", BOTH, with_=("verify",))
    steps = (Step("2:verified", "kill", "campaign"),)
    yield Row("SIGKILL", "campaign", "verification", steps, KILLED, "", ONE, with_=("verify",))
    steps = (Step("2:verified", "end", "campaign"),)
    yield Row("SIGTERM", "campaign", "verification", steps, 130, "continue with", ONE, with_=("verify",))
    for fault, do, sees in (("disk full", "fill", DISK), ("read-only", "read-only", "Read-only file system")):
        steps = (Step("2:verifying", do, "results folder"),)
        yield Row(fault, "results folder", "verification", steps, 2, sees, ONE, needs="root", with_=("tmpfs", "verify"))


def _disks() -> Iterator[Row]:
    for fault, do, sees in (("disk full", "fill", DISK), ("read-only", "read-only", "Read-only file system")):
        for phase, moment in (("starting", "2:starting"), ("writing", "2:writing"), ("report", "report")):
            rows = BOTH if phase == "report" else ONE
            step = (Step(moment, do, "results folder"),)
            with_ = ("tmpfs", "report") if phase == "report" else ("tmpfs",)
            yield Row(fault, "results folder", phase, step, 2, sees, rows, needs="root", with_=with_)
    yield Row("disk full", "results folder", "campaign.json", (Step("2:rename manifest.json", "fill", "folder"),), 2,
              DISK, ONE, needs="root", with_=("tmpfs",))  # fmt: skip
    for process in ("load process", "publisher", "campaign"):
        yield Row("RLIMIT_FSIZE", process, "writing", (Step("2:writing", "file size", process),), 2,
                  "File too large", ONE)  # fmt: skip


def _limits() -> Iterator[Row]:
    yield Row("descriptors", "server", "ramp", (Step("2:connecting", "descriptors", "server"),), 3,
              "of 20 subscribed", ("ok", "failed"), 3, ("ok", "failed"))  # fmt: skip
    yield Row("descriptors", "load process", "ramp", (Step("2:connecting", "descriptors", "load process"),), 3,
              "of 20 subscribed", ("ok", "failed"), 3, ("ok", "failed"))  # fmt: skip
    yield Row("descriptors", "publisher", "writing", (Step("2:writing", "no descriptors", "publisher"),), 2,
              "Too many open files", ONE)  # fmt: skip
    yield Row("descriptors", "campaign", "starting", (Step("2:starting", "no descriptors", "campaign"),), 2,
              "Too many open files", ONE)  # fmt: skip
    yield Row("RLIMIT_AS", "load process", "writing", (Step("2:writing", "memory", "load process"),), 3,
              "the load process ended early (exit code 1)", ("ok", "failed"), 3, ("ok", "failed"))  # fmt: skip
    yield Row("clock step of 2 s", "load process", "window", (Step("2:measuring", "clock", "load process"),), 3,
              "the clock", ("ok", "invalid"), 3, ("ok", "invalid"), with_=("clock",))  # fmt: skip
    yield Row("power loss", "all", "every cut", (), 0, "", BOTH, with_=("log", "report"))


ROWS = (*_kills(), *_stops(), *_pauses(), *_verifications(), *_disks(), *_limits())
QUICK = ("sigkill-campaign-window", "rlimit_fsize-load-process-writing")
"""The rows in `make test`."""
