"""action.yml: its structure against the published syntax of action metadata, and its scripts in a shell.

The types below are the part of https://docs.github.com/actions/reference/workflows-and-actions/metadata-syntax that
composite actions have, as a schema: what is required, and every key that is allowed. No runner is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]


class Input(msgspec.Struct, forbid_unknown_fields=True):
    description: str
    required: bool = False
    default: str | None = None
    deprecation_message: str = msgspec.field(name="deprecationMessage", default="")


class Step(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    run: str = ""
    shell: str = ""
    uses: str = ""
    with_: dict[str, str] = msgspec.field(name="with", default_factory=dict)
    name: str = ""
    id: str = ""
    if_: str = msgspec.field(name="if", default="")
    env: dict[str, str] = {}
    continue_on_error: bool | str = False
    working_directory: str = ""


class Composite(msgspec.Struct, forbid_unknown_fields=True, tag_field="using", tag="composite"):
    steps: list[Step]


class Action(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str
    runs: Composite
    author: str = ""
    inputs: dict[str, Input] = {}
    outputs: dict[str, dict[str, str]] = {}
    branding: dict[str, str] = {}


def action() -> Action:
    return msgspec.yaml.decode((ROOT / "action.yml").read_bytes(), type=Action)


def test_it_keeps_the_published_syntax() -> None:
    found = action()
    for step in found.runs.steps:
        assert bool(step.run) != bool(step.uses), step
        assert bool(step.run) == bool(step.shell), step
        assert bool(step.with_) <= bool(step.uses), step
    asked = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert asked == set(found.inputs)
    assert all(one.required != (one.default is not None) for one in found.inputs.values())


def test_no_input_is_written_into_a_script() -> None:
    """GitHub's hardening guide: an input reaches a script as an environment variable."""
    assert not [step.name for step in action().runs.steps if "${{" in step.run]


@pytest.mark.parametrize("runs", ["{using: docker, steps: []}", "{using: composite, steps: [{runs: x}]}", "{}"])
def test_the_schema_refuses_what_is_not_allowed(runs: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.yaml.decode(f"name: a\ndescription: b\nruns: {runs}", type=Action)


@pytest.mark.parametrize(("subjects", "measured"), [("base,head", True), ("base,head", False), ("", True)])
def test_its_scripts_call_what_there_is(tmp_path: Path, subjects: str, measured: bool) -> None:
    stand_in = tmp_path / "bin"
    stand_in.mkdir()
    for program in ("python", "rtbench"):
        (stand_in / program).write_text(f'#!/bin/sh\necho {program} "$@" >> "$CALLS"\n')
        (stand_in / program).chmod(0o755)
    inputs = {name: one.default or "" for name, one in action().inputs.items()}
    inputs |= {"scenario": "my gate.toml", "subjects": subjects, "requirements": "my needs.txt", "out": "my out"}
    if measured:
        (tmp_path / "my out").mkdir()
        (tmp_path / "my out/campaign.json").touch()
    calls = tmp_path / "calls"
    environment = {
        "PATH": f"{stand_in}:{os.environ['PATH']}", "CALLS": str(calls),
        "GITHUB_ACTION_PATH": "/the action", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }  # fmt: skip
    for step in action().runs.steps:
        if not step.run or ("inputs.subjects" in step.if_ and not subjects):
            continue
        given = {key: inputs[value.removeprefix("${{ inputs.").removesuffix(" }}")] for key, value in step.env.items()}
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step.run]  # as a runner starts it
        subprocess.run(command, cwd=tmp_path, env=environment | given, check=True, timeout=30)
    compared = ["rtbench compare my out --subjects base,head"] * (measured and bool(subjects))
    assert calls.read_text().splitlines() == [
        "python -m pip install /the action -r my needs.txt",
        "rtbench run my gate.toml --out my out",
        *(f"{line} --format markdown" for line in compared),
        *compared,
    ]
