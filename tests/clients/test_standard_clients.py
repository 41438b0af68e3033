"""Clients as they come, unmodified: curl, Node's fetch, EventSource and WebSocket, websockets, httpx-sse."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from rtbench.transports.envelope import wrap

pytestmark = pytest.mark.slow

SSE, WEBSOCKET = ("sse-aiohttp", "sse-aiohttp-simple"), ("websocket-aiohttp", "websocket-websockets")


PATIENCE_S = 60

Url = Callable[[str], str]
Node = Callable[..., str]
Wanted = Callable[[str, int, int], list[list[str]]]


# curl


def curl_program() -> str:
    """Where it is. Skips where it is not."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed (apt-get install curl)")
    return program


def curl(*words: str) -> str:
    command = [curl_program(), "-sS", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("subject", SSE)
def test_curl_shows_a_finite_stream_and_its_end(url: Url, subject: str, wanted: Wanted):
    events = [f"id: {number}\ndata: {payload}\n\n" for number, payload in wanted("chat", 1, 5)]
    ending = 'event: end\ndata: {"last":5}\n\n'
    assert curl("-N", f"{url(subject)}/sse/chat") == "".join(events) + ending
    assert curl("-N", "-H", "Last-Event-ID: 3", f"{url(subject)}/chat") == "".join(events[3:]) + ending
    assert curl("-N", "-w", "%{http_code}", "-H", "Last-Event-ID: 5", f"{url(subject)}/chat") == "204"


def test_curl_shows_messages_as_they_come(url: Url, wanted: Wanted):
    events = "".join(f"id: {number}\ndata: {payload}\n\n" for number, payload in wanted("fanout", 1, 150))
    command = [curl_program(), "-sSN", f"{url('sse-aiohttp')}/sse/fanout?since=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        text = ""
        while (line := client.stdout.readline()) not in (
            "id: 151\n",
            "",
        ):  # some 100 are held, others are to come
            text += line
        client.kill()
    assert text.replace(":\n\n", "") == events


def test_curl_polls(url: Url, wanted: Wanted):
    body = json.loads(curl(f"{url('short-poll-aiohttp')}/poll/chat?since=3"))
    assert body == {
        "messages": [{"id": int(n), "data": json.loads(payload)} for n, payload in wanted("chat", 4, 2)],
        "next": 5,
        "gap": None,
        "end": True,
    }


def test_curl_polls_what_failed(url: Url):
    place = f"{url('short-poll-aiohttp')}/poll/resilient"
    last = json.loads(curl(f"{place}?since=0"))["next"]
    failed = curl("-w", "\n%{http_code} %header{retry-after}", f"{place}?since={last}")
    assert failed == f'{{"error":"the source failed 4 times in a row","last":{last}}}\n503 5'


# Node

FETCH_SSE = """
const response = await fetch(process.argv[1]);
const decoder = new TextDecoder();
let text = "";
for await (const chunk of response.body) text += decoder.decode(chunk, {stream: true});
console.log(JSON.stringify([response.status, response.headers.get("content-type"), text]));
"""

FETCH_POLL = """
let since = 0, end = false, found = [];
while (!end) {
  const response = await fetch(`${process.argv[1]}?since=${since}&timeout=5`);
  if (response.status === 204) continue;
  const body = await response.json();
  for (const {id, data} of body.messages) found.push([String(id), data]);
  since = body.next; end = body.end;
}
console.log(JSON.stringify(found));
"""

EVENT_SOURCE = """
const [url, stop] = process.argv.slice(1), found = [], said = [];
const source = new EventSource(url);
const alive = setInterval(() => {}, 1000);  // Node does not wait for a reconnection alone
const done = () => {
  clearInterval(alive);
  source.close();
  console.log(JSON.stringify([found, said, source.readyState]));
};
source.onmessage = event => {
  found.push([event.lastEventId, event.data]);
  if (found.length === Number(stop)) done();
};
for (const kind of ["end", "gap", "failure", "retry"])
  source.addEventListener(kind, event => said.push([kind, JSON.parse(event.data)]));
source.onerror = () => { if (source.readyState === EventSource.CLOSED) done(); };
"""


def main(script: str) -> str:
    """`await` needs a function around it in a script that is given on the command line."""
    return f"(async () => {{{script}}})()"


@pytest.mark.parametrize("subject", SSE)
def test_fetch_reads_a_stream_to_its_end(url: Url, node: Node, subject: str, wanted: Wanted):
    status, kind, text = json.loads(node(main(FETCH_SSE), f"{url(subject)}/events"))
    assert (status, kind) == (200, "text/event-stream")
    assert text.count("\n\n") == 101
    assert all(f"id: {number}\ndata: {payload}\n\n" in text for number, payload in wanted("events", 1, 100))


@pytest.mark.parametrize(("subject", "path"), [("short-poll-aiohttp", "poll"), ("long-poll-aiohttp", "long-poll")])
def test_fetch_polls_to_the_end(url: Url, node: Node, subject: str, path: str, wanted: Wanted):
    found = json.loads(node(main(FETCH_POLL), f"{url(subject)}/{path}/events"))
    assert found == wanted("events", 1, 100)


@pytest.mark.parametrize("subject", SSE)
def test_an_eventsource_stops_for_good_at_the_end(url: Url, node: Node, subject: str, wanted: Wanted):
    """It comes back with the last id, is answered 204, and is closed then: by the standard, not by the script."""
    found, said, state = json.loads(node(EVENT_SOURCE, f"{url(subject)}/sse/chat", "0", needs="EventSource"))
    assert found == wanted("chat", 1, 5)
    assert said == [["end", {"last": 5}]]
    assert state == 2


@pytest.mark.parametrize("subject", SSE)
def test_an_eventsource_hears_of_a_failure_without_an_error_of_its_own_making(
    url: Url, node: Node, subject: str, wanted: Wanted
):
    found, said, state = json.loads(node(EVENT_SOURCE, f"{url(subject)}/sse/resilient", "0", needs="EventSource"))
    last = len(found)
    assert found == wanted("resilient", 1, last)
    assert said == [["failure", {"error": "the source failed 4 times in a row", "last": last}]]
    assert state == 2


def test_an_eventsource_resumes_over_a_restart_without_a_lost_message(
    running: Any, node: Node, wanted: Wanted, relay: Url
):
    server = running.serve("sse-aiohttp")
    port = int(server.url.rpartition(":")[2])
    script = EVENT_SOURCE.replace("source.onerror", 'source.onopen = () => console.error("open"); source.onerror')
    program = shutil.which("node")
    assert program is not None
    node("", needs="EventSource")  # skips where it is missing
    command = [program, "--no-warnings", "--experimental-eventsource", "-e", script]
    command += [f"{relay(server.url)}/sse/fanout", "250"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stderr is not None
        assert client.stderr.readline() == "open\n"
        server.kill()
        server.stop()
        running.serve("sse-aiohttp", port)
        out, err = client.communicate(timeout=PATIENCE_S)
    assert err == "open\n"
    found, said, _ = json.loads(out)
    first = int(found[0][0])
    assert found == wanted("fanout", first, 250)
    assert said == []


WEB_SOCKET = """
const found = [];
const socket = new WebSocket(process.argv[1]);
socket.onmessage = event => found.push(event.data);
socket.onclose = event => console.log(JSON.stringify([found, event.code, event.wasClean]));
"""


@pytest.mark.parametrize("subject", WEBSOCKET)
def test_node_s_websocket(url: Url, node: Node, subject: str, wanted: Wanted):
    place = url(subject).replace("http", "ws")
    found, code, clean = json.loads(node(WEB_SOCKET, f"{place}/ws/events?since=98", needs="WebSocket"))
    texts = [f'{{"id":{n},"data":{json.dumps(payload)}}}' for n, payload in wanted("events", 99, 2)]
    assert found == [*texts, '{"control":"end","last":100}']
    assert (code, clean) == (1000, True)


# Python


@pytest.mark.parametrize("subject", WEBSOCKET)
def test_websockets(url: Url, subject: str, wanted: Wanted):
    with connect(f"{url(subject).replace('http', 'ws')}/ws/chat") as socket:
        texts = [str(text) for text in socket]  # to the close frame, of which it takes 1000 for a good end
    envelopes = [wrap(int(number), payload.encode()).decode() for number, payload in wanted("chat", 1, 5)]
    assert texts == [*envelopes, '{"control":"end","last":5}']


@pytest.mark.parametrize("subject", WEBSOCKET)
def test_websockets_takes_a_failure_for_one(url: Url, subject: str):
    texts: list[str] = []
    with (
        connect(f"{url(subject).replace('http', 'ws')}/ws/resilient") as socket,
        pytest.raises(ConnectionClosedError) as caught,
    ):
        texts += (str(text) for text in socket)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011


@pytest.mark.parametrize("subject", WEBSOCKET)
def test_websockets_answers_pings_and_stays(url: Url, subject: str):
    """Heartbeats come every half second; nobody who answers them is cut off."""
    with connect(f"{url(subject).replace('http', 'ws')}/ws/stocks", ping_interval=None) as socket:
        texts = [json.loads(socket.recv(timeout=PATIENCE_S)) for _ in range(11)]
    ids = [text["id"] for text in texts]
    assert ids == list(range(ids[0], ids[0] + 11))


@pytest.mark.parametrize("subject", SSE)
def test_httpx_sse(url: Url, subject: str, wanted: Wanted):
    httpx = pytest.importorskip("httpx", reason="httpx is not installed (make setup)")
    httpx_sse = pytest.importorskip("httpx_sse", reason="httpx-sse is not installed (make setup)")
    with (
        httpx.Client(timeout=PATIENCE_S) as client,
        httpx_sse.connect_sse(client, "GET", f"{url(subject)}/sse/resilient") as source,
    ):
        events = list(source.iter_sse())
    *messages, failure = events
    assert [[event.id, event.data] for event in messages] == wanted("resilient", 1, len(messages))
    assert {event.event for event in messages} == {"message"}
    assert failure.event == "failure"
    assert json.loads(failure.data)["last"] == len(messages)
