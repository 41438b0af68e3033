"""The registry of subjects: files, tables, URLs and entry points are found, named as they say, and described."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rtbench.conformance import HTTP
from rtbench.errors import UnavailableError, UserError
from rtbench.scenario.own_subjects import of_table
from rtbench.scenario.tables import SubjectTable
from rtbench.servers.stacks import nchan
from rtbench.subjects import (
    CLAIMS,
    FEED,
    NOBODY,
    Post,
    Program,
    Requirement,
    Subject,
    needs_file,
    needs_package,
    needs_program,
    registry,
)
from rtbench.subjects.names import PACKAGE, is_faulty, module_of
from rtbench.subjects.proxies import find as find_proxy
from rtbench.subjects.registry import Registry, catalogue, find
from rtbench.transports.catalogue import catalogue as transports


def test_every_transport_has_a_subject() -> None:
    assert {subject.transport for subject in catalogue().values()} == set(transports())


@pytest.mark.parametrize("name", catalogue())
def test_subject_is_what_its_file_says(name: str) -> None:
    subject = find(name)
    module = f"{PACKAGE}.{name.replace('-', '_')}"
    assert subject == replace(sys.modules[module].SUBJECT, module=module)
    assert subject.name == name
    # Two names are older than the rule: a name is its transport and its stack.
    assert name.startswith((f"{subject.transport}-{subject.stack}", "tcp-floor", "websocket-uvicorn"))
    assert subject.transport in transports()
    assert subject.arm in ("controlled", "idiomatic", "floor")
    assert subject.technique in ("encode-once", "per-connection")
    assert subject.carries_id in ("protocol", "payload")
    assert subject.capabilities <= CLAIMS.keys()
    assert inspect.iscoroutinefunction(subject.serve) is (subject.program is None)
    assert not subject.url
    assert subject.played
    assert subject.description


def test_controlled_arm_is_one_stack_on_every_transport_of_http() -> None:
    controlled = [subject for subject in catalogue().values() if subject.arm == "controlled"]
    assert {subject.stack for subject in controlled} == {"aiohttp"}
    assert {subject.transport for subject in controlled} == set(HTTP)


def test_describe_is_the_row_of_campaign_json() -> None:
    assert find("sse-aiohttp").describe() == {
        "subject": "sse-aiohttp",
        "transport": "sse",
        "stack": "aiohttp",
        "arm": "controlled",
        "technique": "encode-once",
        "carries_id": "protocol",
        "proxy": "",
    }


# Places


@pytest.mark.parametrize(
    ("transport", "template"),
    [
        ("sse", "/sse/{query}"),
        ("websocket", "/ws/{query}"),
        ("short-poll", "/poll/{query}"),
        ("long-poll", "/long-poll/{query}"),
    ],
)
def test_a_subject_is_subscribed_to_at_the_contracts_place(transport: str, template: str) -> None:
    assert find(f"{transport}-aiohttp").template == template


def test_a_subject_may_have_a_place_of_its_own() -> None:
    assert replace(find("sse-aiohttp"), path="/x/{stream}").template == "/x/{stream}"
    assert find("sse-nchan").template == "/subscribe/{stream}/{channel}"
    template = find("sse-faulty").template
    assert template == "/sse/{stream}?channel={channel}&subscriber={subscriber}"
    assert template.format(stream="fanout", channel=3, subscriber=7, query="") == "/sse/fanout?channel=3&subscriber=7"


def test_ways_of_publishing() -> None:
    assert find("sse-aiohttp").publish == FEED
    assert find("sse-hyperlane").publish == find("sse-go").publish == FEED
    assert find("sse-nchan").publish == Post("/publish/{stream}/{channel}", headers={"X-Rtbench-Token": nchan.TOKEN})
    assert not replace(find("sse-nchan"), publish=NOBODY).played


# Labels, proxies and faults


def test_a_label_makes_a_second_subject_of_the_same_file() -> None:
    one, two = find("sse-aiohttp"), find("sse-aiohttp@2")
    assert two == replace(one, name="sse-aiohttp@2")
    assert two.serve is one.serve
    assert two.describe() == {**one.describe(), "subject": "sse-aiohttp@2"}
    assert find("sse-faulty@b").name == "sse-faulty@b"
    assert "sse-aiohttp@2" not in catalogue()


def test_a_proxy_makes_another_subject_of_the_same_server() -> None:
    one, two = find("sse-aiohttp"), find("sse-aiohttp+nginx-tuned")
    needs = (*one.requires, *find_proxy("nginx-tuned").requires)
    assert two == replace(one, name="sse-aiohttp+nginx-tuned", proxy="nginx-tuned", requires=needs)
    assert two.describe()["proxy"] == "nginx-tuned"
    both = find("sse-aiohttp+nginx@b")
    assert (both.name, both.proxy, both.serve) == ("sse-aiohttp+nginx@b", "nginx", one.serve)
    assert module_of("sse-aiohttp+nginx@b") == "rtbench.servers.sse_aiohttp"


def test_an_unknown_proxy_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"unknown proxy 'squid': choose one of caddy, .*nginx-tuned"):
        find("sse-aiohttp+squid")


@pytest.mark.parametrize(
    "name",
    [
        "sse-aiohttp@",
        "sse-aiohttp@a/b",
        "sse-aiohttp@2@3",
        "@2",
        "+nginx",
        "sse-somebodys@2",
        "sse-somebodys-faulty",
        "sse-x+nginx",
    ],
)
def test_not_a_label_of_a_subject(name: str) -> None:
    with pytest.raises(UserError) as caught:
        find(name)
    assert caught.value.message == f"unknown subject {name!r}"


@pytest.mark.parametrize("transport", HTTP)
def test_a_fault_injecting_subject_is_found_by_name_and_never_listed(transport: str) -> None:
    name = f"{transport}-faulty"
    subject = find(name)
    assert name not in catalogue()
    assert (subject.name, subject.transport, subject.technique) == (name, transport, "faulty")
    assert f"{transport}-aiohttp" in subject.description


def test_find_does_not_list_what_injects_faults() -> None:
    with pytest.raises(UserError) as caught:
        find("carrier-pigeon-faulty")
    assert "sse-faulty" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("sse-aiohttp", "rtbench.servers.sse_aiohttp"),
        ("short-poll-aiohttp@b", "rtbench.servers.short_poll_aiohttp"),
        ("long-poll-faulty", "rtbench.servers.faulty.long_poll_faulty"),
        ("sse-faulty@2", "rtbench.servers.faulty.sse_faulty"),
    ],
)
def test_a_server_process_imports_one_module(name: str, module: str) -> None:
    assert module_of(name) == find(name).module == module
    assert importlib.import_module(module).SUBJECT.serve is find(name).serve
    assert is_faulty(name) is ("faulty" in module)


def test_find_lists_what_there_is() -> None:
    wanted = r"unknown subject 'sse-somebodys': choose one of long-poll-aiohttp, .*sse-aiohttp"
    with pytest.raises(UserError, match=wanted):
        find("sse-somebodys")


# What a subject needs


def test_a_subject_says_what_it_lacks_and_what_to_do() -> None:
    here, gone = Requirement("air", lambda: True, "breathe"), Requirement("a moon", lambda: False, "build one")
    subject = replace(find("sse-aiohttp"), requires=(here, gone))
    assert subject.missing() == ("a moon", "build one")
    with pytest.raises(UnavailableError, match="sse-aiohttp needs a moon: build one"):
        subject.check()
    subject = replace(subject, requires=(here,))
    assert subject.missing() == ("", "")
    subject.check()


def test_programs_packages_and_files_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    there = [needs_program("sh", ""), needs_package("json", ""), needs_file(str(tmp_path / "there"), "")]
    assert all(one.present() for one in there)
    gone = [
        needs_program("rtbench-no-such-program", "apt-get install it"),
        needs_package("rtbench_no_such_package", ""),
        needs_file(str(tmp_path / "gone"), ""),
    ]
    assert not any(one.present() for one in gone)
    assert gone[0].what == "the program rtbench-no-such-program"
    assert gone[0].remedy == "apt-get install it"


# A user's own: files


SERVER = """
from rtbench.subjects import Subject

async def serve(server): ...

SUBJECT = Subject("sse-somebodys", "sse", "node", "idiomatic", "per-connection", serve)
"""


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SERVER)
    own, name = Registry().reading(str(path))
    assert name == "sse-somebodys"
    found = own.find("sse-somebodys@b")
    assert (found.transport, found.stack, found.module) == ("sse", "node", str(path))
    assert "sse-somebodys" not in catalogue()
    with pytest.raises(UserError, match=r"one of .*sse-somebodys"):
        own.find("sse-other")
    with pytest.raises(UserError, match="unknown subject 'sse-somebodys'"):
        find("sse-somebodys")  # the value that was given back knows it, nothing else does


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("X = 1\n", "does not define SUBJECT"),
        ("SUBJECT = 'sse'\n", "does not define SUBJECT"),
        ("import nothing_called_so\n", "cannot be imported (ModuleNotFoundError: No module named"),
        ("def x(:\n", "cannot be imported (SyntaxError:"),
        ("1 / 0\n", "cannot be imported (ZeroDivisionError: division by zero)"),
        (SERVER.replace('"sse"', '"pigeon"'), "unknown transport 'pigeon'"),
        (SERVER.replace("sse-somebodys", "sse-aiohttp"), "the subject name 'sse-aiohttp' is in use"),
    ],
)
def test_a_file_that_is_not_a_subject(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        Registry().reading(str(path))
    assert message in caught.value.message
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.py does not exist: give a Python file"):
        Registry().reading(str(tmp_path / "gone.py"))


# A user's own: tables


def table(**fields: object) -> Subject:
    return of_table(SubjectTable(name="mine", transport="sse", **fields))  # type: ignore[arg-type]


def test_a_table_of_a_command_is_a_program() -> None:
    found = table(command=("serve", "{port}"), ready="/health", cwd="/tmp", tidy=10, capabilities=("end",))
    assert found.program == Program(("serve", "{port}"), ready="/health", cwd="/tmp", tidy=10)
    assert found.publish == Post()
    assert (found.stack, found.arm, found.carries_id) == ("mine", "idiomatic", "payload")
    assert found.capabilities == {"end"}
    assert table(command=("x",), publish="feed").publish == FEED
    assert table(command=("x",), publish="nobody").publish == NOBODY


def test_a_table_says_how_it_is_published_into() -> None:
    found = table(
        command=("x",), post_path="/p/{stream}", post_wrap=False, post_connections=3, post_batch=7,
        post_headers={"Authorization": "apikey x"},
    )  # fmt: skip
    assert found.publish == Post("/p/{stream}", False, 3, 7, {"Authorization": "apikey x"})
    found = table(command=("x",), post_body="t={message}", post_type="text/plain", post_port=81, payload="json:a.b")
    assert found.publish == Post(body="t={message}", content_type="text/plain", port=81)
    assert found.payload == "json:a.b"


def test_a_table_of_a_url_is_not_started() -> None:
    found = table(url="http://127.0.0.1:9", path="/{stream}", due="timestamp", headers={"X": "y"}, greeting=("hi",))
    assert found.program is None
    assert (found.url, found.path, found.due, found.greeting) == (
        "http://127.0.0.1:9",
        "/{stream}",
        "timestamp",
        ("hi",),
    )
    assert found.publish == Post()
    # Our feed is a socket that a server at a URL knows nothing of.
    assert table(url="http://127.0.0.1:9", publish="feed").publish == NOBODY


def test_add_refuses_an_unknown_transport_and_a_name_that_is_taken() -> None:
    with pytest.raises(UserError, match="unknown transport 'pigeon': choose one of"):
        Registry().adding(replace(table(command=("x",)), transport="pigeon"))
    with pytest.raises(UserError, match=r"the subject name 'tcp-floor' is in use .*: choose another name"):
        Registry().adding(replace(table(command=("x",)), name="tcp-floor"))
    assert Registry().adding(table(command=("x",))).find("mine").program == Program(("x",))


# Installed packages


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A file `somebodys_subject.py` on the path, which an installed package's entry point names."""
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("mine", "somebodys_subject:SUBJECT", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else [])
    catalogue.cache_clear()
    yield tmp_path / "somebodys_subject.py"
    catalogue.cache_clear()
    sys.modules.pop("somebodys_subject", None)


def test_an_installed_package_adds_its_subject(entry: Path) -> None:
    entry.write_text(SERVER)
    assert catalogue()["sse-somebodys"].module == "somebodys_subject"
    assert find("sse-somebodys").stack == "node"
    assert "sse-aiohttp" in catalogue()


def test_an_entry_point_that_is_not_a_subject(entry: Path) -> None:
    entry.write_text("SUBJECT = 5\n")
    with pytest.raises(UserError, match=r"the entry point mine \(somebodys_subject:SUBJECT\) is not a Subject"):
        catalogue()


# Ours


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of subjects of its own in place of rtbench.servers."""
    name = "somebodys_servers"
    module = types.ModuleType(name)
    module.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(registry, "PACKAGE", name)
    catalogue.cache_clear()
    yield tmp_path
    catalogue.cache_clear()
    registry._in.cache_clear()
    for loaded in [key for key in sys.modules if key.startswith(f"{name}.")]:
        del sys.modules[loaded]


def test_a_new_subject_is_one_file(package: Path) -> None:
    (package / "sse_somebodys.py").write_text(SERVER)
    (package / "helpers.py").write_text("X = 1\n")
    (package / "_private.py").write_text("raise AssertionError('imported')\n")
    assert list(catalogue()) == ["sse-somebodys"]
    assert isinstance(find("sse-somebodys"), Subject)
    assert find("sse-somebodys").path == ""
