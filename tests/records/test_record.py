"""The JSON files of a results folder: every key survives, and what is missing or wrong is named by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtbench.errors import ResultsError
from rtbench.records import campaign, manifest, record, schemas
from rtbench.records.campaign import CampaignRecord, TrialRow
from rtbench.records.manifest import Manifest
from rtbench.records.reason import Reason
from rtbench.records.record import changed, plain, read, typed
from rtbench.records.report import ReportRecord

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"
CAMPAIGNS = [*sorted(ROOT.glob("results/reference/*/campaign.json")), GOLDEN / "results/campaign.json"]
MANIFESTS = sorted(GOLDEN.glob("results/trials/*/manifest.json"))


# What is written is read, and written again the same


@pytest.mark.parametrize("file", CAMPAIGNS, ids=lambda file: file.parent.name)
def test_campaigns_of_before_load_and_stay_as_they_are(file: Path) -> None:
    assert json.dumps(plain(campaign.load(file.parent))) == json.dumps(json.loads(file.read_text()))


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.parent.name)
def test_manifests_of_before_load_and_stay_as_they_are(file: Path) -> None:
    assert json.dumps(plain(manifest.load(file))) == json.dumps(json.loads(file.read_text()))


def test_a_report_loads_and_stays_as_it_is() -> None:
    file = GOLDEN / "report.json"
    assert json.dumps(plain(record.load(ReportRecord, file))) == json.dumps(json.loads(file.read_text()))


def test_free_keys_survive_at_every_depth_in_their_order() -> None:
    row = {"mine": 1, "trial": 1, "subject": "a", "cell": {"poll.interval_s": 0.5, "subscribers": 3}, "directory": "d"}
    value = {
        "mine": {"a": [1]},
        "schema": 1,
        "trials": [row],
        "scenario": {"thresholds": {"a.b": {"max": 1, "why": ""}}},
    }
    found = read(CampaignRecord, value, "campaign.json")
    assert json.dumps(plain(found)) == json.dumps(value)
    later = changed(found, exit=0, trials=[*(found.trials or ()), TrialRow(trial=2, subject="b", directory="e")])
    assert plain(later) == {**value, "trials": [row, {"trial": 2, "subject": "b", "directory": "e"}], "exit": 0}


def test_fields_are_written_in_the_order_of_the_contract_and_missing_ones_are_not() -> None:
    found = Manifest(status="failed", trial=3, schema=1, cell=record.Cell(), reasons=[Reason("a", "b", "c", ["*"])])
    assert list(plain(found)) == ["schema", "trial", "cell", "status", "reasons"]
    assert plain(found)["reasons"] == [{"kind": "a", "message": "b", "remedy": "c", "metrics": ["*"]}]
    assert plain(CampaignRecord(schema=1, exit=None)) == {"schema": 1, "exit": None}


def test_whole_numbers_stay_whole() -> None:
    assert json.dumps(plain(read(CampaignRecord, {"schema": 1, "started_unix": 5}, ""))) == (
        '{"schema": 1, "started_unix": 5}'
    )


# What is wrong


def trials(**row: Any) -> dict[str, Any]:
    return {
        "trials": [{"trial": 1, "subject": "a", "directory": "d"}, {"trial": 2, "subject": "a", "directory": "e"} | row]
    }


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "the file is [], not an object"),
        ({"trials": [{"trial": 1, "subject": "a"}]}, "trials[0].directory is missing"),
        ({"seed": True}, "seed is true, not a whole number"),
        ({"seed": "9" * 99}, f'seed is "{"9" * 39}…, not a whole number'),
        (trials(block=-1), "trials[1].block is -1, not a whole number from 0"),
        (trials(block=1 << 31), "trials[1].block is 2147483648, not a whole number up to 1073741824"),
        (trials(status="fine"), 'trials[1].status is "fine", not one of the values that are allowed'),
        (trials(directory=None), "trials[1].directory is null, not a text"),
        ({"order": {}}, "order is {}, not a list"),
        ({"order": [["a", 1]]}, "order[0][1] is 1, not a text"),
        ({"scenario": {"stream": 5}}, "scenario.stream is 5, not a text or a list"),
        (
            {"scenario": {"thresholds": {"a.p50": {"max": 1}, "b.p50": {"max": "x"}}}},
            'scenario.thresholds.b.p50.max is "x", not a whole number or a number',
        ),
        ({"environment": {"x": float("nan")}}, "invalid text or number"),
        ({"environment": {"x": "\ud800"}}, "invalid text or number"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_the_key_in_one_line(value: Any, says: str) -> None:
    whole = {"schema": 1, **value} if isinstance(value, dict) else value
    with pytest.raises(ResultsError) as caught:
        read(CampaignRecord, whole, "a/campaign.json")
    text = str(caught.value)
    assert text.startswith("a/campaign.json: ") and text.endswith(": the file is damaged; measure again")
    assert says in text and "\n" not in text


def test_null_is_as_good_as_missing() -> None:
    found = read(CampaignRecord, {"schema": 1, "scenario": None, "trials": None}, "")
    assert not found.scenario and list(found.trials or ()) == []


def test_a_window_that_ends_before_it_starts(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text('{"schema": 1, "window": {"start_ns": 2, "end_ns": 1}}')
    with pytest.raises(ResultsError, match=r"manifest\.json: its window ends before it starts"):
        manifest.load(file)


def test_what_rtbench_makes_wrong_is_a_bug() -> None:
    with pytest.raises(ValueError, match=r"Expected `str`, got `int` - at `\$\.kind`"):
        typed(Reason, {"kind": 1})


def test_what_a_reason_lacks_is_empty() -> None:
    assert read(Reason, {"metrics": ["lost"]}, "") == Reason("", "", "", ["lost"])
    assert read(Reason, {"kind": "late", "message": "it was late"}, "") == Reason("late", "it was late", "", [])


# The schemas


@pytest.mark.parametrize("name", schemas.FILES)
def test_schemas_are_those_of_the_structs(name: str) -> None:
    """`python -m rtbench.records.schemas` writes them."""
    assert (ROOT / f"docs/schemas/{name}.schema.json").read_text() == schemas.text(name)


def test_schemas_are_written_by_one_command(tmp_path: Path) -> None:
    schemas.main(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        f"{n}.schema.json" for n in schemas.FILES
    )


def valid(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours use."""
    if "$ref" in schema:
        return valid(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return any(valid(value, one, whole) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    if schema.get("type") == "boolean":
        return isinstance(value, bool)
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool)):
        return False
    if not schema.get("minimum", value) <= value <= schema.get("maximum", value) if isinstance(value, int) else False:
        return False
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        inner = [valid(one, known.get(key, rest), whole) for key, one in value.items()]
        return all(inner) and all(key in value for key in schema.get("required", ()))
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        items = schema.get("items") or {}
        return all(valid(one, first[i] if i < len(first) else items, whole) for i, one in enumerate(value))
    return True


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *(("campaign", file) for file in CAMPAIGNS),
        *(("manifest", file) for file in MANIFESTS),
        ("report", GOLDEN / "report.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.parent.name,
)
def test_golden_files_are_valid_by_the_schemas(name: str, file: Path) -> None:
    schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())
    value = json.loads(file.read_text())
    assert valid(value, schema, schema)
    assert not valid(value | {"schema": "1"}, schema, schema)
