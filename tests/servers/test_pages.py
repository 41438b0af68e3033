"""The pages as they are served: every stack sends the same files, with a policy that forbids everything else."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbench.cli.serving import DEMO
from rtbench.processes.publisher import PublisherProcess
from rtbench.processes.server import ServerProcess
from rtbench.scenario.model import Scenario
from rtbench.servers.kit import pages

FILES = sorted(path for path in pages.FOLDER.iterdir() if path.is_file())
PAGES = [path for path in FILES if path.suffix == ".html"]
SUBJECTS = (
    "sse-aiohttp",
    "short-poll-aiohttp",
    "websocket-aiohttp-simple",
    "sse-faulty",
    "websocket-websockets",
    "demo",
)


def test_every_file_has_a_type() -> None:
    assert [path.name for path in FILES if path.suffix not in pages.TYPES] == []
    assert {"index.html", "list.html", "dashboard.html", "race.html", "pages.css"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_its_script_and_style_in_files_of_this_server(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|https?://", text) == []
    assert [tag for tag in re.findall(r"<script[^>]*>", text) if 'src="/pages/' not in tag] == []
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert links
    assert [link for link in links if pages.find(link) is None] == []
    assert re.search(r'<html lang="en">', text) and "<main>" in text and "<h1>" in text and "<title>" in text


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".js"], ids=lambda path: path.stem)
def test_a_script_imports_from_this_server_and_inserts_text_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imports = re.findall(r'from "([^"]+)"', text)
    assert [name for name in imports if not (name.startswith("./") and (pages.FOLDER / name).is_file())] == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|DOMParser|setHTML", text) == []


def test_only_files_of_the_folder_are_found() -> None:
    assert pages.find("/") == pages.find("/pages/index.html")
    for path in ("/pages/", "/pages/none.html", "/pages/../_pages.py", "/pages//index.html", "/_pages.py", ""):
        assert pages.find(path) is None


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublisherProcess]:
    scenario = Scenario(stream=("metrics", "fanout", "news"))
    folder = tmp_path_factory.mktemp("pages")
    with PublisherProcess(scenario.make_workload(), scenario, folder, (), folder / "publisher.log") as process:
        process.ready()
        process.play(scenario.stream)
        yield process


@pytest.fixture(scope="module", params=SUBJECTS)
def server(request: pytest.FixtureRequest, publisher: PublisherProcess, tmp_path_factory: pytest.TempPathFactory):
    log = tmp_path_factory.mktemp("server") / "server.log"
    where = {"module": DEMO} if request.param == "demo" else {}
    with ServerProcess(request.param, Scenario(), publisher.socket_path, (), log, **where) as process:
        process.ready()
        yield process


def get(server: ServerProcess, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.slow
def test_every_server_sends_every_file(server: ServerProcess) -> None:
    for path, file in [("/", pages.FOLDER / "index.html"), *((f"/pages/{file.name}", file) for file in FILES)]:
        status, headers, body = get(server, path)
        assert (status, body) == (200, file.read_bytes()), path
        assert headers["content-type"] == pages.TYPES[file.suffix]
        assert headers["content-security-policy"] == pages.POLICY
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.slow
def test_every_server_says_what_it_is(server: ServerProcess) -> None:
    before = time.time_ns()
    status, headers, body = get(server, pages.ABOUT)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "application/json")
    about = json.loads(body)
    assert [stream["name"] for stream in about["streams"]] == ["metrics", "fanout", "news"]
    assert [stream["finite"] for stream in about["streams"]] == [False, False, True]
    assert before <= about["now_ns"] <= time.time_ns()
    demo = about["subject"] == "demo"
    assert about["demo"] is demo
    expected = 4 if demo else 1
    assert len(about["transports"]) == expected


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/pages/none.html", "/pages/..%2f_pages.py", "/pages/../__main__.py", "/pages/"])
def test_not_a_page_is_404_with_a_small_error(server: ServerProcess, path: str) -> None:
    status, _, body = get(server, path)
    assert status == 404
    assert set(json.loads(body)) == {"error"}
    assert get(server, "/", "POST")[0] == 405
