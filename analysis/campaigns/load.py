"""A campaign as it lies on disk, and the tables of its trials.

Invariant: what is here was measured under one environment; folders that differ in a checked key are refused with the
key and both values (R15). A trial that cannot be read stays in the list as `failed`, with the reason: nothing is
skipped in silence. Raw files are only read, one trial at a time. Called by the report, the comparison with a baseline
and the notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rtbench.analysis.campaigns import shape
from rtbench.analysis.campaigns.trials import Status, Trial, Warning_
from rtbench.errors import ResultsError
from rtbench.machine.fingerprint import CHECKED
from rtbench.records.tables import SCHEMA, read_json, sha256


@dataclass(frozen=True, slots=True)
class Campaign:
    """One results folder, or several that may be mixed. Iterating gives the trials in the order they were run."""

    paths: tuple[Path, ...]
    documents: tuple[Mapping[str, Any], ...]
    entries: tuple[Trial, ...]
    warnings: tuple[Warning_, ...]

    @property
    def document(self) -> Mapping[str, Any]:
        """campaign.json of the first folder; the others agree with it in every checked key."""
        return self.documents[0]

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

    Raises ResultsError: a folder or its campaign.json is missing or damaged, of a newer schema, or the folders differ
    in a checked key.
    """
    paths = tuple(Path(p) for p in ([path] if isinstance(path, (str, Path)) else path))
    if not paths:
        raise ResultsError("no results folder was named", "name one that `rtbench run` wrote")
    if len({p.resolve() for p in paths}) < len(paths):  # a trial that counts twice narrows every interval
        raise ResultsError("a results folder is named twice", "name each once")
    documents: list[Mapping[str, Any]] = []
    entries: list[Trial] = []
    warnings: list[Warning_] = []
    for folder in paths:
        document = _document(folder)
        if documents:
            _check(checked_keys(documents[0]), checked_keys(document), str(paths[0]), str(folder))
        numbers = max((t.number for t in entries), default=0), max((t.block for t in entries), default=0)
        documents.append(document)
        warnings += [w for w in document.get("warnings") or [] if w not in warnings]
        warnings += _unlisted(folder, document)
        for listed in document.get("trials") or []:
            trial, warning = _trial(folder, document, listed, *numbers)
            entries.append(trial)
            warnings += [warning] if warning else []
            of = f"trial {trial.number}, {trial.item}: "
            warnings += [{**w, "message": of + w["message"]} for w in trial.manifest.get("warnings", [])]
    return Campaign(paths, tuple(documents), tuple(entries), tuple(warnings))


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


def _document(folder: Path) -> Mapping[str, Any]:
    file = folder / "campaign.json"
    document = read_json(file)
    _check_schema(file, document)
    document = shape.checked(document, shape.CAMPAIGN, file)
    for key in ("trial", "directory"):
        seen = [listed[key] for listed in document.get("trials") or []]
        twice = next((value for value in seen if seen.count(value) > 1), None)
        if twice is not None:
            raise ResultsError(f"{file}: lists {key} {twice!r} twice", "the file is damaged; measure again")
    return document


def _unlisted(folder: Path, document: Mapping[str, Any]) -> list[Warning_]:
    """Folders of trials that campaign.json does not know: what was running when a campaign was cut short."""
    listed = {Path(row["directory"]).name for row in document.get("trials") or []}
    here = folder / "trials"
    found = sorted(p.name for p in here.iterdir() if p.is_dir() and p.name not in listed) if here.is_dir() else []
    if not found:
        return []
    text = f"{', '.join(found)}: not listed in campaign.json, so left out"
    return [
        {"kind": "unlisted-trial", "message": text, "remedy": "`rtbench run … --resume` measures it", "metrics": []}
    ]


def _check_schema(file: Path, document: object) -> None:
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, int):
        raise ResultsError(f"{file}: has no schema number", "name a folder that `rtbench run` wrote")
    if schema > SCHEMA:
        raise ResultsError(f"{file}: has schema {schema}, this rtbench reads up to {SCHEMA}", "install a newer rtbench")


def _trial(
    folder: Path, document: Mapping[str, Any], listed: Mapping[str, Any], trial_offset: int, block_offset: int
) -> tuple[Trial, Warning_ | None]:
    """The trial that campaign.json lists, and a warning when its manifest cannot be read."""
    directory = folder / "trials" / Path(listed["directory"]).name
    file = directory / "manifest.json"
    scenario = document.get("scenario") or {}
    cell = dict(listed.get("cell") or {})
    subjects = document.get("subjects") or []
    identity: dict[str, Any] = next((s for s in subjects if s["subject"] == listed["subject"]), {})
    fault: ResultsError | None = None
    manifest: dict[str, Any] = {}
    try:
        manifest = read_json(file)
        _check_schema(file, manifest)
        manifest = shape.checked(manifest, shape.MANIFEST, file)
        if listed.get("manifest_sha256") not in (None, sha256(file)):
            raise ResultsError(
                f"{file}: was changed after it was measured (SHA-256)", "restore the file from a copy, or measure again"
            )
    except ResultsError as error:
        fault, manifest = error, {}
    here = checked_keys(document)
    mine = {k: v for k, v in checked_keys(manifest).items() if k in here and v is not None}
    _check({k: here[k] for k in mine}, mine, str(folder / "campaign.json"), str(file))
    known = {name: value for name, value in {**listed, **identity, **manifest}.items() if value is not None}
    stream = cell.get("stream", scenario.get("stream") or "")
    channels = cell.get("workload.channels", (scenario.get("workload") or {}).get("channels"))
    subscribers = cell.get("subscribers", scenario.get("subscribers") or 0)
    window = manifest.get("window") or {}
    if window and window["start_ns"] > window["end_ns"]:
        fault = ResultsError(f"{file}: its window ends before it starts", "the file is damaged; measure again")
    trial = Trial(
        number=listed["trial"] + trial_offset,
        subject=listed["subject"],
        transport=known.get("transport", "unknown"),
        stack=known.get("stack", "unknown"),
        arm=known.get("arm", "controlled"),
        technique=known.get("technique", "unknown"),
        block=known.get("block", 0) + block_offset,
        position=known.get("position", 0),
        status=cast(Status, known.get("status", "failed")),
        reasons=tuple(manifest.get("reasons") or ()),
        window=(int(window["start_ns"]), int(window["end_ns"])) if window else None,
        subscribers=int((manifest.get("counts") or {}).get("subscribers") or subscribers),
        streams=1 if isinstance(stream, str) else max(1, len(stream)),
        unicast=channels == "unicast",
        manifest=manifest,
        directory=directory,
        cell=cell,
    )
    return damaged(trial, fault) if fault else (trial, None)


def damaged(trial: Trial, error: ResultsError) -> tuple[Trial, Warning_]:
    """The trial put aside because its files cannot be read, and the warning that says so; the rest is good."""
    warning = {
        "kind": "damaged-trial",
        "message": f"trial {trial.number} ({trial.item}) was left out: {error.message}",
        "remedy": error.remedy,
        "metrics": ["*"],
    }
    return trial.failed("damaged", error.message, error.remedy), warning


def changed(differs: Sequence[str]) -> Warning_:
    """The warning of files that are not what was written, and that no number depends on."""
    remedy = "no number of the report comes from it"
    return {"kind": "changed-file", "message": "; ".join(differs), "remedy": remedy, "metrics": []}
