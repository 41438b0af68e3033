"""Known vulnerabilities in what is locked: the Python, Rust, Go and Node packages. Called by `make audit`.

Invariant: a check that did not get its answer (a program is missing, its database cannot be reached) prints "not
checked" and the reason in one line; it never counts as clean. Exit code 1: something was found.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 300
_decoder = json.JSONDecoder()


class NotCheckedError(Exception):
    """No answer came; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One auditor. `read` makes lines of what it prints, one a vulnerability, or raises NotCheckedError."""

    name: str
    command: tuple[str, ...]
    read: Callable[[str], list[str]]
    exits: tuple[int, ...] = (0, 1)
    """Its exit codes when it has an answer."""
    folder: str = "."
    remedy: str = ""
    """The command that installs the program."""


def documents(text: str) -> Iterator[Any]:
    """The JSON documents of a text, one after the other. Raises NotCheckedError for any other text."""
    at, end = 0, len(text.rstrip())
    while at < end:
        try:
            value, at = _decoder.raw_decode(text, at)
        except ValueError as error:
            raise NotCheckedError("its answer is not JSON") from error
        yield value
        while at < end and text[at].isspace():
            at += 1


def _only(text: str, key: str) -> Any:
    """What the one document has under `key`."""
    for document in documents(text):
        if isinstance(document, dict):
            if key in document:
                return document[key]
            raise NotCheckedError(str(document.get("message") or document.get("error") or "it gave no answer"))
    raise NotCheckedError("it gave no answer")


def of_pip_audit(text: str) -> list[str]:
    """pip-audit --format json: `dependencies` with their `vulns`. One that was skipped has `skip_reason`."""
    packages = _only(text, "dependencies")
    if skipped := [row for row in packages if "skip_reason" in row]:
        raise NotCheckedError(f"{len(skipped)} of {len(packages)} packages, the first: {skipped[0]['skip_reason']}")
    return sorted({f"{row['name']} {row['version']}: {one['id']}" for row in packages for one in row.get("vulns", ())})


def of_cargo_audit(text: str) -> list[str]:
    """cargo audit --json: `vulnerabilities.list`."""
    rows = _only(text, "vulnerabilities")["list"]
    return [f"{row['package']['name']} {row['package']['version']}: {row['advisory']['id']}" for row in rows]


def of_govulncheck(text: str) -> list[str]:
    """govulncheck -format json: a document for each finding. Without its database it prints some, and exits with 1."""
    rows = list(documents(text))
    if not any("SBOM" in row for row in rows):
        raise NotCheckedError("it gave no answer")
    called = [row["finding"] for row in rows if "finding" in row and "function" in row["finding"]["trace"][0]]
    return sorted({f"{row['trace'][0]['module']} {row['trace'][0].get('version', '')}: {row['osv']}" for row in called})


def of_npm_audit(text: str) -> list[str]:
    """npm audit --json: `vulnerabilities` by package; without its registry `error` or `message`."""
    return [f"{name}: {row['severity']}" for name, row in sorted(_only(text, "vulnerabilities").items())]


AUDITED = ("dev", "docs", "fuzz", "supply")
"""The locks. `run` and `stacks` are parts of `dev`."""


def checks() -> list[Check]:
    """All of them. Locks are read, not environments: what is audited is what anyone installs."""
    beside = str(Path(sys.executable).parent / "pip-audit")
    pip = (
        beside,
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner",
        "off",
        "--format",
        "json",
        "--requirement",
    )
    go = ("go", "run", "golang.org/x/vuln/cmd/govulncheck@v1.1.4", "-format", "json", "./...")
    npm = ("npm", "audit", "--json", "--package-lock-only")
    return [
        *(Check(f"pip-audit of {name}.txt", (*pip, f"requirements/{name}.txt"), of_pip_audit) for name in AUDITED),
        Check(
            "cargo audit of servers/hyperlane", ("cargo-audit", "audit", "--json"), of_cargo_audit,
            folder="servers/hyperlane", remedy="cargo install cargo-audit --locked",
        ),
        Check(
            "govulncheck of servers/go", go, of_govulncheck, (0,), "servers/go", "apt-get install golang-go",
        ),
        Check("npm audit of servers/node", npm, of_npm_audit, folder="servers/node", remedy="apt-get install npm"),
    ]  # fmt: skip


def run(check: Check) -> list[str]:
    """What one check finds, a line each. Raises NotCheckedError."""
    if shutil.which(check.command[0]) is None:
        raise NotCheckedError(f"{check.command[0]} is missing: {check.remedy}")
    try:
        done = subprocess.run(
            check.command, cwd=ROOT / check.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotCheckedError(f"no answer within {TIMEOUT_S} s") from error
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode not in check.exits:
        raise NotCheckedError(f"exit code {done.returncode}: {(lines or ['it printed nothing'])[0]}"[:200])
    try:
        return check.read(done.stdout)
    except (KeyError, IndexError, TypeError) as error:
        raise NotCheckedError("its answer has another form") from error
    except NotCheckedError as why:
        raise NotCheckedError(f"{why}{f': {lines[0]}' * (not done.stdout.strip() and bool(lines))}"[:200]) from why


def audit(every: Sequence[Check], line: Callable[[str], None]) -> int:
    """Run each check and print its result; the exit code."""
    found, without = 0, []
    for check in every:
        try:
            rows = run(check)
        except NotCheckedError as why:
            without.append(check.name)
            line(f"{check.name}: not checked: {why}")
            continue
        found += len(rows)
        line(f"{check.name}: {'nothing known' if not rows else f'{len(rows)} known vulnerabilities'}")
        for row in rows:
            line(f"  {row}")
    checked = len(every) - len(without)
    line(f"{found} found; {checked} of {len(every)} checked; not checked: {', '.join(without) or 'none'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(audit(checks(), lambda text: sys.stdout.write(f"{text}\n") and sys.stdout.flush()))
