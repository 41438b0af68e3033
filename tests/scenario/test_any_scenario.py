"""Any scenario file and any `--set`: a scenario that can be planned, or one line; never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtbench.cli import cli
from rtbench.errors import UserError, line
from rtbench.scenario import loading
from rtbench.scenario.model import Scenario, keys
from rtbench.scenario.tables import SubjectTable
from rtbench.streams import catalogue

pytestmark = pytest.mark.slow

KEYS = [key for key in loading._dotted(Scenario) if key not in ("subjects", "subject")]
NUMBERS = st.one_of(st.integers(-5, 200), st.integers(-(2**70), 2**70), st.floats())
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "sse", "sse-aiohttp", "websocket-aiohttp@b", "post", "line", "json:a.b", "0-1", *catalogue()]),
)
VALUES = st.recursive(
    st.one_of(st.booleans(), NUMBERS, WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.one_of(WORDS, st.sampled_from(KEYS)), inner, max_size=3)
    ),
    max_leaves=6,
)
SUBJECT = st.fixed_dictionaries(
    {"name": st.just("mine"), "transport": st.just("sse"), "command": st.just(["true"])},
    optional={
        item.name: VALUES for item in keys(SubjectTable) if item.name not in ("url", "name", "transport", "command")
    },
)
TABLES = st.one_of(
    st.dictionaries(st.one_of(st.sampled_from([key.partition(".")[0] for key in KEYS]), WORDS), VALUES, max_size=4),
    st.fixed_dictionaries({"subjects": st.just(["mine"]), "subject": st.lists(SUBJECT, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"sweep": st.dictionaries(st.sampled_from(KEYS), st.lists(VALUES, max_size=2), max_size=2)}),
)
FEW = settings(
    max_examples=60 if settings.default.derandomize else 1000,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)


def one_line(error: Exception) -> None:
    """It says something; the command line puts it on one line, whatever a key is called (test_bad_input)."""
    assert line(error)


@FEW
@given(TABLES)
def test_any_table(table: dict[str, Any]) -> None:
    try:
        scenario = loading.build(table, "a file")
    except UserError as error:
        one_line(error)
        return
    assert scenario.hash and json.dumps(scenario.as_dict(), allow_nan=False)
    assert scenario.make_workload().channels()


@FEW
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@example(b"name = '''\n'''")
@example(b"x = " + b"[" * 5000)
@example(b"[" + b"a." * 3000 + b"a]")
def test_any_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    try:
        loading.load(str(file))
    except UserError as error:
        one_line(error)


SETTINGS = st.one_of(
    st.tuples(st.one_of(st.sampled_from(KEYS), WORDS), st.one_of(VALUES.map(json.dumps), WORDS)).map("=".join),
    WORDS,
)


@FEW
@given(st.lists(SETTINGS, min_size=1, max_size=3))
@example(["x=" + "[" * 5000])
@example([".".join("a" * 3000) + "=1"])
@example(["workload.trace=\0"])
def test_any_setting(given_: list[str]) -> None:
    words = ["run", "smoke", "--plan", "--subjects", "sse-aiohttp"]
    result = CliRunner().invoke(cli, [*words, *(f"--set={one}" for one in given_)], standalone_mode=False)
    if isinstance(result.exception, click.ClickException | UserError):
        one_line(result.exception)
    elif result.exception is not None:
        raise result.exception


def test_what_a_file_names_lies_where_results_do(tmp_path: Path) -> None:
    from rtbench.cli._options import results

    for name in ("../../x", "/etc/x", "..", ".", "a/../../b", "-x", ".hidden", "\0", "a\nb", "ä"):
        folder = results(name)
        assert folder.parent == Path("results") and folder.name.isprintable(), name
