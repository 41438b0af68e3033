"""A power loss at every cut: which files of a results folder are whole, by the log of fsync and rename (modelled).

The model is the weakest that a journalling file system promises: bytes are on the disk after fsync of their file; a
name is there after fsync of its folder, and may be there from the rename on. So a name that can be there must point to
bytes that are on the disk. Invariant: pure; the log is `shim/sitecustomize.py`'s. Called by `play.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Found:
    """What the log shows."""

    summary: str
    broken: tuple[str, ...]


def check(log: Path, out: Path) -> Found:
    """Check every cut of the log of a whole campaign into `out`."""
    events = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    return Found(_summary(events, out), tuple(_broken(events, out)))


def _summary(events: list[list[str]], out: Path) -> str:
    renames = sum(kind == "rename" and words[1].startswith(str(out)) for kind, *words in events)
    return f"{renames} files, {len(events)} cuts"


def _broken(events: list[list[str]], out: Path) -> Iterator[str]:
    synced: dict[str, int] = {}
    there: dict[str, int] = {}
    lasting: set[str] = set()
    for kind, path, *rest in events:
        if kind == "fsync":
            synced[path] = int(rest[0])
            lasting |= {name for name in there if str(Path(name).parent) == path}
            continue
        (target,) = rest
        if not target.startswith(f"{out}/"):
            continue
        if path not in synced:
            yield f"{target}: renamed before its bytes are on the disk"
        there[target] = synced.get(path, -1)
        lasting.discard(target)
        if target.endswith("/manifest.json"):
            yield from _whole_trial(Path(target).parent, synced, lasting)
        if target.endswith("/campaign.json"):
            manifests = {name for name in there if name.endswith("/manifest.json")}
            yield from (f"{name}: recorded before it stays" for name in sorted(manifests - lasting))
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.suffix != ".log":
            if str(path) not in lasting:
                yield f"{path}: may be gone after the campaign's end"
            elif there[str(path)] != path.stat().st_size:
                yield f"{path}: {there[str(path)]} of {path.stat().st_size} bytes are on the disk"


def _whole_trial(folder: Path, synced: dict[str, int], lasting: set[str]) -> Iterator[str]:
    """What a manifest lists is on the disk before the manifest may be there."""
    for name, row in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"].items():
        path = str(folder / name)
        if name.endswith(".log"):
            if synced.get(path) != row["bytes"] or str(folder) not in synced:
                yield f"{path}: listed before it is on the disk"
        elif path not in lasting:
            yield f"{path}: listed before it stays"
