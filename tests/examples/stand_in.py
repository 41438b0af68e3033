"""Stand-ins for Centrifugo, Mercure and Pushpin: the bodies that each takes and the messages that it sends, no more.

`python stand_in.py NAME WORDS…`: the words are those of the broker's command line, as the examples write them. A post
that is not exactly what the broker wants is answered with 400 and a line in the log. With STAND_IN_BREAKS=N every N-th
message arrives without its content, and the one after it cut off.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Sender = Callable[[bytes], bytes]

BREAKS = int(os.environ.get("STAND_IN_BREAKS", "0"))
ENVELOPE = rb'\{"id":\d+,"data":.*\}'
HERE = Path.cwd()
subscribers: dict[str, list[tuple[asyncio.StreamWriter, Sender]]] = defaultdict(list)
published = 0


class Refused(Exception):
    """A request that the broker would not take."""


async def request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    method, target, _ = line.split(" ")
    return method, target, fields, await reader.readexactly(int(fields.get("content-length", "0")))


def answer(writer: asyncio.StreamWriter, status: str, body: bytes = b"", more: str = "") -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(data: bytes) -> bytes:
    return chunk(b"data: " + data + b"\n\n")


def frame(text: bytes) -> bytes:
    size = bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big")
    return b"\x81" + size + text


def stream(writer: asyncio.StreamWriter, channel: str, first: bytes = b"", send: Sender = lambda data: data) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + first)
    subscribers[channel].append((writer, send))


def publish(channel: str, message: bytes) -> None:
    for writer, send in list(subscribers[channel]):
        if writer.is_closing():
            subscribers[channel].remove((writer, send))
        else:
            writer.write(send(message))


async def serve_forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: Handler) -> None:
    try:
        while not writer.is_closing():
            await one(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
    except Refused as error:
        sys.stderr.write(f"refused: {error}\n")
        answer(writer, "400 Bad Request", str(error).encode(), "Connection: close\r\n")
        writer.close()


def wanted(pattern: bytes, body: bytes) -> re.Match[bytes]:
    found = re.fullmatch(pattern, body, re.DOTALL)
    if found is None:
        raise Refused(f"{body[:200]!r} is not {pattern!r}")
    return found


# Centrifugo


async def centrifugo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global published
    method, target, fields, body = await request(reader)
    place = urlsplit(target)
    if (method, place.path) == ("POST", "/api/publish"):
        if fields.get("x-api-key") != json.loads((HERE / "config.json").read_text())["http_api"]["key"]:
            raise Refused("a wrong key")
        if fields.get("content-type") != "application/json":
            raise Refused("a wrong content type")
        found = wanted(rb'\{"channel": "(\w+-\d+)", "data": (%b)\}' % ENVELOPE, body)
        json.loads(body)
        published += 1
        message = b'{"channel":"%b","pub":{"data":%b}}' % found.groups()
        if BREAKS and published % BREAKS == 0:
            message = b'{"channel":"%b","pub":{}}' % found[1]
        elif BREAKS and published % BREAKS == 1:
            message = message[:40]
        publish(found[1].decode(), message)
        answer(writer, "200 OK", b'{"result":{}}')
    elif place.path in ("/connection/uni_sse", "/connection/uni_websocket"):
        asked = json.loads(dict(parse_qsl(place.query))["cf_connect"])
        (channel,) = asked["subs"]
        greeting = b'{"connect":{"client":"1","version":"6","subs":{"%b":{}},"ping":25}}' % channel.encode()
        if place.path.endswith("sse"):
            stream(writer, channel, event(greeting) + event(b"{}"), event)
        else:
            key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            writer.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode() + frame(greeting) + frame(b"{}"))
            subscribers[channel].append((writer, frame))
        await reader.read()
        writer.close()
    else:
        answer(writer, "404 Not Found")


# Mercure


def signed(token: str) -> bool:
    key = re.search(r"publisher_jwt (\S+)", (HERE / "Caddyfile").read_text())
    text, _, signature = token.rpartition(".")
    assert key is not None
    made = hmac.new(key[1].encode(), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=") == signature.encode()


async def mercure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    method, target, fields, body = await request(reader)
    place = urlsplit(target)
    if place.path != "/.well-known/mercure":
        answer(writer, "404 Not Found")
    elif method == "POST":
        if not signed(fields.get("authorization", "").removeprefix("Bearer ")):
            raise Refused("a wrong token")
        if fields.get("content-type") != "application/x-www-form-urlencoded":
            raise Refused("a wrong content type")
        form = parse_qsl(body.decode("ascii"), strict_parsing=True)
        if [name for name, _ in form] != ["topic", "id", "data"]:
            raise Refused(f"{form} has not topic, id and data")
        topic, number, data = (value for _, value in form)
        publish(topic, chunk(f"id: {number}\ndata: {data}\n\n".encode()))
        answer(writer, "200 OK", number.encode())
    else:
        stream(writer, dict(parse_qsl(place.query))["topic"], chunk(b":\n"))
        await reader.read()
        writer.close()


# Pushpin


class Pushpin:
    """The public port asks the origin where to subscribe; the control port takes one request a connection."""

    def __init__(self, config: Path) -> None:
        self.folder = config.parent
        self.settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", config.read_text()))

    async def public(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, target, _, _ = await request(reader)
        routes = (self.folder / self.settings["routesfile"]).read_text()
        _, port = routes.split()[1].split(":")
        up, down = await asyncio.open_connection("127.0.0.1", int(port))
        down.write(f"GET {target} HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n".encode())
        head = (await up.read()).decode("latin-1").partition("\r\n\r\n")[0]
        down.close()
        fields = {name.lower(): value for name, _, value in (one.partition(": ") for one in head.split("\r\n"))}
        if fields.get("grip-hold") != "stream":
            answer(writer, "404 Not Found")
            return
        assert fields["content-type"] == "text/event-stream"
        stream(writer, fields["grip-channel"], b"", chunk)
        await reader.read()
        writer.close()

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _, body = await request(reader)
        if (method, target) != ("POST", "/publish/"):
            raise Refused(f"{method} {target}")
        found = json.loads(body)
        (item,) = found["items"]
        content = item["formats"]["http-stream"]["content"]
        wanted(rb"data: %b\n\n" % ENVELOPE, content.encode())
        assert found.keys() == {"items"} and item.keys() == {"channel", "formats"}
        publish(item["channel"], content.encode())
        answer(writer, "200 OK", b"Published\n", "Connection: close\r\n")
        writer.close()


async def main(name: str, words: list[str]) -> None:
    if words[0] == "version":
        sys.stdout.write(f"a stand-in for {name}\n")
        return
    options = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
    servers: list[tuple[Handler, str, int]]
    if name == "centrifugo":
        servers = [(centrifugo, options["http_server.address"], int(options["http_server.port"]))]
    elif name == "mercure":
        servers = [(mercure, os.environ["HUB_HOST"], int(os.environ["HUB_PORT"]))]
    else:
        pushpin = Pushpin(Path(options["config"]))
        host, _, port = options["port"].rpartition(":")
        servers = [
            (pushpin.public, host, int(port)),
            (pushpin.control, host, int(pushpin.settings["push_in_http_port"])),
        ]
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    for handler, host, port in servers:
        await asyncio.start_server(lambda r, w, one=handler: serve_forever(r, w, one), host, port, backlog=4096)
    await stopped.wait()
    for writer, send in [one for several in subscribers.values() for one in several]:
        writer.write(b"\x88\x02\x03\xe8" if send is frame else b"0\r\n\r\n")  # the end, in each protocol's words
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
