"""A damaged folder: the report is made from what is good and names what is not, or refuses in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rtbench.analysis import figures
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import gather
from rtbench.analysis.report import caveats
from rtbench.analysis.report.report import build
from rtbench.errors import ResultsError
from rtbench.records import tables

SSE = "sse-aiohttp"


@pytest.fixture(scope="module")
def whole(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three trials whose files carry their checksums, as `rtbench run` writes them."""
    plan = make.Plan(subjects=(SSE,), blocks=3, subscribers=3, window_s=1.0)
    return seal(make.write(tmp_path_factory.mktemp("whole") / "a", plan))


def seal(folder: Path) -> Path:
    document = json.loads((folder / "campaign.json").read_text())
    for row in document["trials"]:
        manifest = folder / row["directory"] / "manifest.json"
        tables.write_json(manifest, json.loads(manifest.read_text()) | {"files": tables.sums(manifest.parent)})
        row["manifest_sha256"] = tables.sha256(manifest)
    tables.write_json(folder / "campaign.json", document)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def trial(folder: Path, number: int) -> Path:
    return folder / f"trials/{number:03d}-{SSE}"


def told(folder: Path) -> list[str]:
    """What the first screen of the report says, gravely."""
    return [c.message for c in caveats.collect(gather(load(folder))) if c.grave]


def test_a_whole_folder_passes_without_output(whole: Path) -> None:
    campaign = load(whole)
    assert all(t.sealed and t.verify() == [] for t in campaign)
    assert told(whole) == []
    assert not any(c.kind == "no-checksums" for c in caveats.collect(gather(campaign)))


def test_without_checksums_the_report_says_so(golden: Path) -> None:
    (caveat,) = [c for c in caveats.collect(gather(load(golden))) if c.kind == "no-checksums"]
    assert not caveat.grave and "files of 11 trials carry no checksums" in caveat.message


def flip(path: Path, at: float) -> None:
    """Change one bit somewhere."""
    raw = bytearray(path.read_bytes())
    raw[int(len(raw) * at)] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("kind", ["deliveries", "ticks", "connections"])
def test_a_truncated_table_puts_its_trial_aside(copy: Path, kind: str) -> None:
    file = trial(copy, 2) / f"{kind}.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    (line,) = told(copy)
    assert line.startswith("trial 2, sse-aiohttp, is failed: ") and f"{kind}.parquet" in line


@pytest.mark.parametrize("kind", ["deliveries", "ticks", "connections"])
def test_without_checksums_a_truncated_table_does_so_too(make: ModuleType, tmp_path: Path, kind: str) -> None:
    folder = make.write(tmp_path / "a", make.Plan(subjects=(SSE,), blocks=3, subscribers=3, window_s=1.0))
    file = trial(folder, 2) / f"{kind}.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    (line,) = told(folder)
    assert f"{kind}.parquet: cannot be read" in line


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_an_edited_table_puts_its_trial_aside(copy: Path, at: float) -> None:
    flip(trial(copy, 3) / "deliveries.parquet", at)
    (line,) = told(copy)
    assert "deliveries.parquet: was changed after it was measured (SHA-256)" in line
    assert [r.trial.status for r in gather(load(copy)).results] == ["ok", "ok", "failed"]


def test_a_rewritten_table_is_noticed_though_it_reads_well(copy: Path) -> None:
    file = trial(copy, 1) / "deliveries.parquet"
    table = tables.read_table(file, "deliveries")
    table["kernel_ns"] = table["kernel_ns"] - 1_000_000  # a millisecond faster
    tables.write_table(file, "deliveries", table)
    assert "was changed after it was measured" in told(copy)[0]


def test_an_edited_manifest_puts_its_trial_aside(copy: Path) -> None:
    file = trial(copy, 1) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["processes"]["server"]["cpu_ns_at_end"] -= 1
    file.write_text(json.dumps(manifest))
    (line,) = told(copy)
    assert "manifest.json: was changed after it was measured (SHA-256)" in line


def test_a_missing_table_puts_its_trial_aside(copy: Path) -> None:
    (trial(copy, 1) / "probes.parquet").unlink()
    (line,) = told(copy)
    assert "probes.parquet: cannot be read (No such file or directory)" in line


def test_an_edited_log_is_named_but_no_number_depends_on_it(copy: Path) -> None:
    (trial(copy, 1) / "server.log").write_text("all is well\n")
    seal(copy)
    assert told(copy) == []
    (trial(copy, 1) / "server.log").write_text("really\n")
    (line,) = told(copy)
    assert "server.log: was changed" in line
    assert {r.trial.status for r in gather(load(copy)).results} == {"ok"}


def test_a_missing_trial_is_named(copy: Path) -> None:
    shutil.rmtree(trial(copy, 2))
    (line,) = told(copy)
    assert "trial 2, sse-aiohttp, is failed: " in line and "manifest.json: is missing" in line


def test_a_trial_that_is_not_listed_is_named(copy: Path) -> None:
    shutil.copytree(trial(copy, 1), copy / "trials/009-sse-aiohttp")
    (line,) = told(copy)
    assert line == "009-sse-aiohttp: not listed in campaign.json, so left out"


def test_too_few_trials_are_left(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "catalogue", lambda: ())
    for number in (1, 2):
        shutil.rmtree(trial(copy, number))
    made = build([copy])
    assert made.exit_code == 3
    page = (copy / "report/report.html").read_text()
    first_screen = page[: page.index("<figure")] if "<figure" in page else page
    for text in (first_screen, (copy / "report/report.md").read_text(), "\n".join(made.caveats)):
        assert "trial 1, sse-aiohttp, is failed" in text and "1 usable trial" in text


# Refused

REFUSED = {
    "no JSON": ("{", "cannot be read"),
    "no text": (b"\xff\xfe\x00", "cannot be read"),
    "too deep": ("[" * 100_000, "cannot be read"),
    "too long a number": ('{"schema": 1, "seed": ' + "9" * 5000 + "}", "cannot be read"),
    "no object": ("[]", "no schema number"),
    "no schema": ("{}", "no schema number"),
    "newer": ('{"schema": 9}', "has schema 9, this rtbench reads up to 2: install a newer rtbench"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_campaigns_that_are_refused(copy: Path, case: str) -> None:
    content, says = REFUSED[case]
    (copy / "campaign.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ResultsError, match=says) as caught:
        load(copy)
    assert str(copy / "campaign.json") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_what_is_neither_text_nor_number_is_refused(copy: Path, value: Any) -> None:
    document = json.loads((copy / "campaign.json").read_text())
    (copy / "campaign.json").write_text(json.dumps(document | {"environment": {"x": value}}))
    with pytest.raises(ResultsError, match="invalid text or number"):
        load(copy)


def test_a_trial_that_counts_twice_is_refused(copy: Path) -> None:
    with pytest.raises(ResultsError, match="named twice"):
        load([copy, copy.parent / "." / "copy"])
    document = json.loads((copy / "campaign.json").read_text())
    for key in ("trial", "directory"):
        again = document["trials"][1] | {key: document["trials"][0][key]}
        (copy / "campaign.json").write_text(json.dumps(document | {"trials": [document["trials"][0], again]}))
        with pytest.raises(ResultsError, match=f"lists {key} .* twice"):
            load(copy)


def test_a_trial_of_another_machine_is_refused_with_the_key_and_both_values(copy: Path) -> None:
    file = trial(copy, 2) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["environment"]["kernel"] = "7.0"
    file.write_text(json.dumps(manifest))
    seal(copy)
    with pytest.raises(ResultsError, match=r"environment\.kernel differs: '6\.1\.0-golden' in .*'7\.0' in"):
        load(copy)


def test_a_folder_outside_is_not_read(copy: Path) -> None:
    document = json.loads((copy / "campaign.json").read_text())
    document["trials"][0]["directory"] = "../../elsewhere"
    (copy / "campaign.json").write_text(json.dumps(document))
    assert load(copy)[1].directory == copy / "trials/elsewhere"


# Any value anywhere: a report or one line, never a traceback

GARBAGE: tuple[Any, ...] = (None, True, -1, 1e400, 2**70, "x", [], [1], {}, {"x": [{}]})


def places(value: Any, depth: int = 3) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a JSON value, the first of a list for all."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (key,)
        if depth > 1:
            yield from ((key, *rest) for rest in places(inner, depth - 1))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = json.loads(json.dumps(value))
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["campaign.json", f"trials/002-{SSE}/manifest.json"])
def test_garbage_anywhere_raises_no_traceback(
    make: ModuleType, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "catalogue", lambda: ())
    plan = make.Plan(subjects=(SSE,), blocks=2, subscribers=1, window_s=0.5, warmup_s=0.1)
    folder = make.write(tmp_path / "a", plan)
    good = json.loads((folder / name).read_text())
    came_to = {"report": 0, "one line": 0}
    tracebacks = []
    for number, path in enumerate(places(good, depth=2)):
        for new in (None, GARBAGE[number % len(GARBAGE)]):
            (folder / name).write_text(json.dumps(put(good, path, new)))
            try:
                build([folder])
                came_to["report"] += 1
            except ResultsError as error:
                assert "\n" not in str(error)
                came_to["one line"] += 1
            except Exception as error:  # noqa: BLE001
                tracebacks.append((path, new, error))
    assert tracebacks == []
    assert came_to["report"] > 20 and came_to["one line"] > (20 if name == "campaign.json" else 0)


def test_a_folder_and_its_copy_are_one_campaign(copy: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(copy, again)
    with pytest.raises(ResultsError) as caught:
        load([copy, again])
    assert str(caught.value).startswith(f"{again} and {copy} hold the same trial (001-")
    assert "name each campaign once" in str(caught.value)
