"""Loads a campaign from disk, with the tables of its trials.

Invariant: a loaded campaign was measured in one environment; folders that differ in a checked key are refused with the
key and both values (R15). A trial that cannot be read stays in the list as `failed`, with the reason. Raw files are
only read, one trial at a time. Called by the report, the comparison with a baseline and the notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UnsetType

from rtbench.analysis.campaigns.trials import Trial, Warning_
from rtbench.errors import ResultsError
from rtbench.machine.fingerprint import CHECKED
from rtbench.records import campaign, capacity, manifest, tables
from rtbench.records.campaign import Asked, CampaignRecord, SubjectRow, TrialRow, Workload
from rtbench.records.capacity import CapacityRecord
from rtbench.records.inside import own_all
from rtbench.records.manifest import Counts, Manifest
from rtbench.records.record import DAMAGED, Maybe, plain

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Campaign:
    """One results folder, or several that may be mixed. Iterating gives the trials in the order they were run."""

    paths: tuple[Path, ...]
    documents: tuple[Mapping[str, Any], ...]
    entries: tuple[Trial, ...]
    warnings: tuple[Warning_, ...]
    capacities: tuple[CapacityRecord, ...] = ()
    """capacity.json of each folder that has one."""

    @property
    def document(self) -> Mapping[str, Any]:
        """campaign.json of the first folder; the others agree with it in every checked key."""
        return self.documents[0]

    @property
    def names(self) -> list[str]:
        """The name of each folder's campaign; with its number where two have the same name."""
        found = [
            str(document.get("campaign", path.name)) for path, document in zip(self.paths, self.documents, strict=True)
        ]
        return found if len(set(found)) == len(found) else [f"{name} ({n})" for n, name in enumerate(found, 1)]

    @property
    def subjects(self) -> list[dict[str, Any]]:
        """One row a subject: subject, transport, stack, arm, technique, in the order of the scenario."""
        rows: dict[str, dict[str, Any]] = {}
        for document in self.documents:
            for row in document.get("subjects", []):
                rows.setdefault(row["subject"], dict(row))
        for trial in self.entries:
            identity = {name: getattr(trial, name) for name in ("subject", "transport", "stack", "arm", "technique")}
            rows.setdefault(trial.subject, identity)
        return list(rows.values())

    @property
    def places(self) -> dict[str, int]:
        """Each subject's place in the scenario, from 0."""
        return {row["subject"]: place for place, row in enumerate(self.subjects)}

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells of the sweep, in its order, each a dotted key to its value; one empty cell without a sweep."""
        found = [dict(cell) for document in self.documents for cell in document.get("cells") or ()]
        found += [dict(trial.cell) for trial in self.entries]
        kept: list[dict[str, Any]] = []
        for cell in found:
            if cell not in kept:
                kept.append(cell)
        return kept or [{}]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Trial:
        for trial in self.entries:
            if trial.number == number:
                return trial
        raise KeyError(number)


def load(path: str | Path | Sequence[str | Path]) -> Campaign:
    """Load one results folder, or several of one environment and scenario.

    Raises ResultsError: a folder or its campaign.json is missing or damaged, of a newer schema, the folders differ in a
    checked key, or a link in one leads out of it.
    """
    paths = tuple(Path(p) for p in ([path] if isinstance(path, (str, Path)) else path))
    if not paths:
        raise ResultsError("no results folder was named", "name one that `rtbench run` wrote")
    if len({p.resolve() for p in paths}) < len(paths):  # a trial that counts twice narrows every interval
        raise ResultsError("a results folder is named twice", "name each once")
    documents: list[Mapping[str, Any]] = []
    entries: list[Trial] = []
    warnings: list[Warning_] = []
    holders: dict[str, Path] = {}
    for folder in paths:
        record = campaign.load(folder)
        document = _known(record)
        if documents:
            _check(checked_keys(documents[0]), checked_keys(document), str(paths[0]), str(folder))
        numbers = max((t.number for t in entries), default=0), max((t.block for t in entries), default=0)
        documents.append(document)
        warnings += [w for w in document.get("warnings", []) if w not in warnings]
        warnings += _unlisted(folder, record)
        for listed in campaign.numbered(record.trials or ()):
            trial, warning = _trial(folder, record, listed, *numbers)
            _once(trial, folder, holders)
            entries.append(trial)
            warnings += [warning] if warning else []
            of = f"trial {trial.number}, {trial.item}: "
            warnings += [{**w, "message": of + w["message"]} for w in trial.manifest.get("warnings", [])]
    searched = tuple(found for folder in paths if (found := capacity.load(folder)) is not None)
    return Campaign(paths, tuple(documents), tuple(entries), tuple(warnings), searched)


def _once(trial: Trial, folder: Path, holders: dict[str, Path]) -> None:
    """Refuse a trial that another folder holds, too. `holders`: the checksum of a trial's deliveries to its folder."""
    manifest = trial.manifest
    checksum = ((manifest.get("files") or {}).get("deliveries.parquet") or {}).get("sha256")
    if not checksum or not (manifest.get("counts") or {}).get("delivered"):
        return  # not sealed, or without deliveries: two of those may look alike
    holder = holders.setdefault(checksum, folder)
    if holder != folder:
        text = f"{folder} and {holder} hold the same trial ({trial.directory.name}): one is a copy of the other"
        raise ResultsError(text, "name each campaign once")


def checked_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that must agree (CHECKED and all below them), flattened: `environment.packages.aiohttp`,
    `scenario_hash`, … to their values."""
    environment = document.get("environment") or {}
    keys: dict[str, Any] = {"scenario_hash": document.get("scenario_hash")}
    if "rtbench" in document:
        keys["rtbench"] = document["rtbench"]
    for name in CHECKED:
        if name in environment:
            keys |= _flat(f"environment.{name}", environment[name])
    return keys


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {k: v for name, inner in value.items() for k, v in _flat(f"{prefix}.{name}", inner).items()}


def _check(one: Mapping[str, Any], other: Mapping[str, Any], here: str, there: str) -> None:
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            raise ResultsError(
                f"{key} differs: {one.get(key)!r} in {here}, {other.get(key)!r} in {there}",
                "trials of different environments are not mixed; report them one by one",
            )


def reportable(found: Campaign) -> None:
    """Raise ResultsError when campaign.json lacks a key that every report quotes."""
    for path, document in zip(found.paths, found.documents, strict=True):
        quoted = {**document, "scenario.name": (document.get("scenario") or {}).get("name")}
        for key in ("scenario", "scenario.name", "command", "seed", "rtbench"):
            if quoted.get(key) is None:
                raise ResultsError(f"{path / 'campaign.json'}: {key} is missing", DAMAGED)


def _known(record: CampaignRecord | Manifest) -> dict[str, Any]:
    """The document without its empty (null) keys."""
    return {key: value for key, value in plain(record).items() if value is not None}


def _unlisted(folder: Path, record: CampaignRecord) -> list[Warning_]:
    """A warning of trial folders that campaign.json does not list: the campaign was interrupted in them."""
    listed = {Path(row.directory).name for row in record.trials or ()}
    here = folder / "trials"
    found = sorted(p.name for p in here.iterdir() if p.is_dir() and p.name not in listed) if here.is_dir() else []
    if not found:
        return []
    text = f"{', '.join(found)}: not listed in campaign.json, so left out"
    return [
        {"kind": "unlisted-trial", "message": text, "remedy": "`rtbench run … --resume` measures it", "metrics": []}
    ]


def _trial(
    folder: Path, record: CampaignRecord, listed: TrialRow, trial_offset: int, block_offset: int
) -> tuple[Trial, Warning_ | None]:
    """The trial that campaign.json lists, and a warning when its manifest cannot be read."""
    directory = folder / "trials" / Path(listed.directory).name
    own_all(folder, directory)
    file = directory / "manifest.json"
    scenario = record.scenario or Asked()
    cell = plain(listed.cell) if listed.cell else {}
    identity = next((s for s in record.subjects or () if s.subject == listed.subject), SubjectRow(subject=""))
    fault: ResultsError | None = None
    found = Manifest(schema=tables.SCHEMA)
    try:
        measured = manifest.load(file)
        if listed.manifest_sha256 and listed.manifest_sha256 != tables.sha256(file):
            raise ResultsError(
                f"{file}: was changed after it was measured (SHA-256)", "restore the file from a copy, or measure again"
            )
        found = measured
    except ResultsError as error:
        fault = error
    document = _known(found)
    here = checked_keys(_known(record))
    mine = {k: v for k, v in checked_keys(document).items() if k in here and v is not None}
    _check({k: here[k] for k in mine}, mine, str(folder / "campaign.json"), str(file))
    stream = cell.get("stream", scenario.stream or "")
    channels = cell.get("workload.channels", (scenario.workload or Workload()).channels)
    subscribers = cell.get("subscribers", scenario.subscribers or 0)
    trial = Trial(
        number=listed.trial + trial_offset,
        subject=listed.subject,
        transport=_first("unknown", found.transport, identity.transport),
        stack=_first("unknown", found.stack, identity.stack),
        arm=_first("controlled", found.arm, identity.arm),
        technique=_first("unknown", found.technique, identity.technique),
        block=_first(0, found.block, listed.block) + block_offset,
        position=_first(0, found.position, listed.position),
        status=_first("failed", found.status, listed.status),
        reasons=tuple(document.get("reasons", ())),
        window=(found.window.start_ns, found.window.end_ns) if found.window else None,
        subscribers=int((found.counts or Counts()).subscribers or subscribers),
        streams=1 if isinstance(stream, str) else max(1, len(stream)),
        unicast=channels == "unicast",
        manifest=document,
        directory=directory,
        cell=cell,
        attempt=listed.attempt or 1,
    )
    return damaged(trial, fault) if fault else (trial, None)


def _first(otherwise: T, *found: Maybe[T]) -> T:
    """The first known value."""
    return next((value for value in found if value is not None and not isinstance(value, UnsetType)), otherwise)


def damaged(trial: Trial, error: ResultsError) -> tuple[Trial, Warning_]:
    """The trial put aside because its files cannot be read, and the warning."""
    warning = {
        "kind": "damaged-trial",
        "message": f"trial {trial.number} ({trial.item}) was left out: {error.message}",
        "remedy": error.remedy,
        "metrics": ["*"],
    }
    return trial.failed("damaged", error.message, error.remedy), warning


def changed(differs: Sequence[str]) -> Warning_:
    """The warning of changed files on which no number depends."""
    remedy = "no number of the report comes from it"
    return {"kind": "changed-file", "message": "; ".join(differs), "remedy": remedy, "metrics": []}
