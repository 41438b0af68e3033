"""`make differential COUNT=100000`: streams, events and differences of each comparison; exit 1 if one is unexplained.

npm, Node and Chromium are needed for the comparisons with theirs; what is missing is left out with a line on stderr.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.differential import events, frames
from benchmarks.differential.counts import Counts
from benchmarks.differential.streams import event_stream, frame_stream
from rtbench import programs

OTHERS = ("websockets", "npm", "chromium")


Parse = Callable[[Sequence[bytes]], list[events.Events]]
Known = Callable[[bytes, events.Events], str]


def event_streams(parse: Parse, first: int, count: int, known: Known | None = None) -> Counts:
    """Compare numbered event streams with another parser. `known`: the reason for a difference, or ""."""
    counts = Counts()
    for start in range(first, first + count, events.BATCH):
        numbers = range(start, min(start + events.BATCH, first + count))
        batch = [event_stream(number) for number in numbers]
        for number, data, theirs in zip(numbers, batch, parse(batch), strict=True):
            mine = events.ours(data)
            counts.streams += 1
            counts.events += len(mine)
            if mine == theirs:
                continue
            if known is not None and (reason := known(data, theirs)):
                counts.explain(reason)
            else:
                counts.unexplained.append((number, f"{data!r}: ours {mine!r}, theirs {theirs!r}"))
    return counts


def chromium(stack: ExitStack) -> Any:
    """A headless Chromium of one's own; None where it is missing."""
    browser, driver = programs.find("chromium"), programs.find("chromedriver")
    if browser is None or driver is None:
        return None
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
    for argument in (*events.CHROMIUM, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    running = webdriver.Chrome(options, Service(driver))
    stack.callback(running.quit)
    return running


def compare(other: str, first: int, count: int) -> Counts | str:
    """The counts of one comparison, or why it cannot be made."""
    if other == "websockets":
        return frames.run((number, frame_stream(number)) for number in range(first, first + count))
    with ExitStack() as stack:
        if other == "npm":
            if shutil.which("npm") is None or shutil.which("node") is None:
                return "npm and Node are missing: https://nodejs.org"
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                module = events.parser_of_npm(folder)
            except subprocess.CalledProcessError as error:
                return (
                    f"npm could not install {events.PACKAGE}: {error.stderr.decode('utf-8', 'replace').strip()[:200]}"
                )
            return event_streams(stack.enter_context(events.npm(module)), first, count)
        driver = chromium(stack)
        if driver is None:
            return "a browser is missing: apt-get install chromium chromium-driver"
        return event_streams(stack.enter_context(events.browser(driver)), first, count, events.chromium_differs)


def main(arguments: list[str]) -> int:
    """Make the comparisons. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make differential", description="Our parsers beside those of others.")
    parser.add_argument("--count", type=int, default=100_000, help="streams for each comparison")
    parser.add_argument("--first", type=int, default=0, help="number of the first stream")
    parser.add_argument("--with", dest="others", action="append", choices=OTHERS, help="one comparison (default: all)")
    options = parser.parse_args(arguments)
    print(f"{'beside':11} {'streams':>8} {'events':>9} {'minutes':>8} {'explained':>10} {'unexplained':>12}")
    worst = 0
    for other in options.others or OTHERS:
        begun = time.monotonic()
        counts = compare(other, options.first, options.count)
        if isinstance(counts, str):
            sys.stderr.write(f"left out: {other}: {counts}\n")
            continue
        minutes, explained = (time.monotonic() - begun) / 60, sum(counts.explained.values())
        print(f"{other:11} {counts.streams:>8,} {counts.events:>9,} {minutes:>8.1f}", end=" ")
        print(f"{explained:>10,} {len(counts.unexplained):>12,}", flush=True)
        for reason, number in counts.explained.items():
            print(f"  {number:,} times: {reason}")
        for number, account in counts.unexplained[:10]:
            worst = 1
            print(f"  stream {number}: {account[:1000]}")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
