"""Plays the table of faults and prints it: `python benchmarks/faults [--jobs N] [--only NAME,…] [--write]`.

Exit code 1 when a row is not as promised. A row that cannot run here is printed with the reason. `--write` puts the
table into docs/explanation/robustness.md. `make faults` runs all of it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from injector import private_mounts
from play import Played, clean, first_trial, play
from rows import KILLED, QUICK, ROWS, Row

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "robustness.md"
BEGIN, END = "<!-- written by `make faults ARGS=--write` -->\n", "<!-- end -->\n"
HEAD = ("fault", "in", "phase", "the user sees", "exit code", "trials on disk", "after `--resume`")


def main() -> int:
    """The exit code."""
    options = _options()
    rows = [row for row in ROWS if not options.only or row.name in options.only.split(",")]
    if options.quick:
        rows = [row for row in ROWS if row.name in QUICK]
    if options.list:
        print("\n".join(row.name for row in rows))
        return 0
    if not rows:
        print(f"faults: no row has the name {options.only}: see --list", file=sys.stderr)
        return 2
    why_not = private_mounts()
    began, played, skipped, broken = time.monotonic(), {}, {}, 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name, ThreadPoolExecutor(options.jobs) as pool:
        futures, first = {}, first_trial(Path(name) / "first")
        for row in rows:
            if reason := _impossible(row, why_not):
                skipped[row.name] = reason
                print(f"skipped  {row.name}: {reason}", flush=True)
            else:
                futures[pool.submit(play, row, Path(name) / row.name, first)] = row
        for future in as_completed(futures):
            if (error := future.exception()) is None:
                found = future.result()
            else:  # a promise that its check did not expect to be broken
                found = Played(futures[future], "", -1, "", -1, (f"{type(error).__name__}: {error}",), 0.0)
            played[found.row.name] = found
            broken += bool(found.broken)
            print(f"{'BROKEN ' if found.broken else 'ok     '}  {found.row.name} ({found.took_s:.0f} s)", flush=True)
            for one in found.broken:
                print("         " + one.replace("\n", "\n           "), flush=True)
            if not found.broken:
                clean(Path(name) / found.row.name)
    lines = list(_table(rows, played, skipped))
    print("\n".join(lines))
    print(f"{len(played) - broken} of {len(played)} rows as promised, {len(skipped)} skipped, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    if options.write and not broken and not skipped and len(rows) == len(ROWS):
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2], encoding="utf-8")
    elif options.write:
        print("not written: only a whole table that is as promised is", file=sys.stderr)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="rows at the same time")
    parser.add_argument("--only", default="", metavar="NAME,…", help="only these rows")
    parser.add_argument("--quick", action="store_true", help="only the rows that `make test` plays")
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    return parser.parse_args()


def _impossible(row: Row, why_not: str) -> str:
    """Why a row cannot run here; "" if it can."""
    if row.needs and why_not:
        return why_not
    if row.needs == "ip" and shutil.which("ip") is None:
        return "needs the program ip: apt-get install iproute2"
    return ""


def _table(rows: list[Row], played: dict[str, Played], skipped: dict[str, str]) -> list[str]:
    lines = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    for row in rows:
        cells = [row.fault, row.process, row.phase]
        if row.name in skipped:
            cells += [f"skipped: {skipped[row.name]}", "", "", ""]
        else:
            found = played[row.name]
            code = "SIGKILL" if found.code == KILLED else str(found.code)
            sees = found.more or (f"`…{row.sees}…`" if row.sees else "")
            after = f"{', '.join(row.then)}; exit code {found.resumed}"
            cells += [sees, code, found.disk or "none", after if not found.broken else "NOT AS PROMISED"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.exit(main())
