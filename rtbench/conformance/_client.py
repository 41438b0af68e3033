"""The clients of the cases: blocking sockets with deadlines around the codecs, one interface for all transports.

Invariant: no call takes longer than its deadline, and all received bytes are kept for inspection. Used by the cases
only, never for load.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbench.conformance._target import Target
from rtbench.subjects.bounded import MOST_BYTES, response
from rtbench.transports import Closed, Codec, Control, Event, Heartbeat, Message, Opened, ProtocolError
from rtbench.transports.catalogue import find
from rtbench.transports.coding import NONE
from rtbench.transports.http import request_head
from rtbench.transports.poll import PollResponse
from rtbench.transports.websocket import text_frame

POLL_INTERVAL_S = 0.01
MOST_UNREAD_BYTES = 4 * 2**20
ESTABLISHED = "01"
"""The state of a connection in /proc/net/tcp (proc(5))."""
CLOSED = 0
"""The status of a response that never came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `status` is 0 if none came; `body` is then the reason. The body of a stream is not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def shown(self) -> str:
        """The response in the text of a problem."""
        if self.status == CLOSED:
            return f"no response ({self.body.decode()})"
        return f"status {self.status} with {self.body[:80].decode('utf-8', 'replace')!r}"

    def json(self) -> Any:
        """The body's JSON; None if the body is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def connect(target: Target, receive_bytes: int = 0, protocol: str = "") -> socket.socket:
    """A connection. `receive_bytes` bounds its unread bytes: the kernels then hold 100 KB, not megabytes. `protocol`:
    what TLS offers by ALPN.

    Without it the receive buffer is large: a client on a busy machine must not look like a slow consumer.
    """
    link = socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET)
    link.settimeout(target.patience_s)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes or MOST_UNREAD_BYTES)
        if receive_bytes:
            # The peer sizes its send buffer by our segments: loopback's 64 KiB would give it 2.6 MB at once.
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.connect((target.host, target.port))
        if target.secure:
            authority = target.subject.tls_ca if target.subject is not None else ""
            context = ssl.create_default_context(cafile=authority or None)
            if protocol:
                context.set_alpn_protocols([protocol])
            link = context.wrap_socket(link, server_hostname=target.host)
    except OSError:
        link.close()
        raise
    return link


def held(server_port: int, client_port: int) -> bool | None:
    """Whether the server's end of this connection is still open; None if the kernel does not list connections."""
    server, client = f":{server_port:04X}", f":{client_port:04X}"
    try:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(server) and fields[2].endswith(client):
                    return fields[3] == ESTABLISHED
    except OSError:
        return None
    return False


def upgrade(fields: Mapping[str, str] | None = None) -> dict[str, str]:
    """The header fields that request a WebSocket (RFC 6455 §4.1)."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "cnRiZW5jaCBjb25mb3JtYQ==",
        **(fields or {}),
    }


def subscribing(target: Target, fields: Mapping[str, str] | None = None) -> dict[str, str]:
    """The header fields of a subscription on this transport."""
    return upgrade(fields) if target.transport == "websocket" else dict(fields or {})


def fetch(
    target: Target,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    within_s: float | None = None,
    body: bytes = b"",
) -> Answer:
    """One request on its own connection. Of a 101 and of an event stream only the head is read."""
    within_s = within_s or target.patience_s
    deadline = time.monotonic() + within_s
    try:
        with connect(target) as link:
            link.sendall(request_head(method, path, target.authority, headers or {}) + body)
            found = response(link, deadline)
    except TimeoutError:
        return Answer(CLOSED, {}, b"nothing more within %.1f s" % within_s)
    except (OSError, ProtocolError) as error:
        return Answer(CLOSED, {}, str(error).encode())
    if found is None:
        return Answer(CLOSED, {}, b"the connection was closed")
    return Answer(found.status, found.headers, found.body)


class Subscriber:
    """One subscriber of any transport. A polling one sends the next request at once. Close it, or use `with`."""

    def __init__(
        self,
        target: Target,
        since: int | None = None,
        stream: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        receive_bytes: int = 0,
        timeout_s: float = 1.0,
        path: str = "",
        compression: str = NONE,
        link: Any = None,
    ) -> None:
        """`link`: what it talks over, in place of a connection of its own; a socket, or like one."""
        self.target = target
        self.raw = bytearray()
        """Everything received (push transports)."""
        self.opened: Opened | None = None
        self.closed: Closed | None = None
        self.controls: list[Control] = []
        self.heartbeats = 0
        self.last = -1
        """The id of the last message that was returned."""
        self._events: deque[Event] = deque()
        self._codec: Codec | None = None
        self._poll: Any = None
        self._greeting: list[str] = []
        self._asked = False
        self.answers = 0
        """(Polls) The number of responses."""
        self.resting = False
        """(Polls) Send no more requests; a pending answer is still read."""
        codec = target.codec(path or target.path(stream), since, headers or {}, timeout_s, stream, compression)
        if find(target.transport).polls:
            self._poll = codec
        else:
            self._codec = codec
        self.link = connect(target, receive_bytes) if link is None else link
        if self._codec is not None:
            self.link.sendall(self._codec.open())
            self._greeting = list(target.subject.greeting) if target.subject is not None else []

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a farewell."""
        self.link.close()

    def hang_up(self, deadline: float) -> bool:
        """Read to the end of file, then close. Returns whether the server closed its side by the deadline."""
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.link.settimeout(left)
                if not self.link.recv(65536):
                    return True
        except OSError:
            return False
        finally:
            self.link.close()
        return False

    def event(self, within_s: float | None = None) -> Event | None:
        """The next event; None after the time limit or after Closed."""
        deadline = time.monotonic() + (self.target.patience_s if within_s is None else within_s)
        while not self._events:
            if self.closed is not None or not self._fill(deadline):
                return None
        event = self._events.popleft()
        match event:
            case Opened():
                self.opened = event
                for text in self._greeting:
                    self.link.sendall(text_frame(text))
            case Closed():
                self.closed = event
            case Control():
                self.controls.append(event)
            case Heartbeat():
                self.heartbeats += 1
            case Message():
                self.last = event.id
        return event

    def open(self) -> bool:
        """Wait for the response head. Returns whether it came."""
        deadline = time.monotonic() + self.target.patience_s
        while self.opened is None and self.event(deadline - time.monotonic()) is not None:
            pass
        return self.opened is not None

    def messages(self, count: int, within_s: float | None = None) -> list[Message]:
        """Up to `count` messages; fewer if the time limit passes or the connection ends."""
        deadline = time.monotonic() + (self.target.patience_s if within_s is None else within_s)
        found: list[Message] = []
        while len(found) < count:
            event = self.event(deadline - time.monotonic())
            if event is None:
                break
            if isinstance(event, Message):
                found.append(event)
        return found

    def until(self, last: int) -> list[Message]:
        """Messages up to the id `last` or a higher one; fewer as for `messages`."""
        deadline = time.monotonic() + self.target.patience_s
        found: list[Message] = []
        while not found or found[-1].id < last:
            more = self.messages(1, deadline - time.monotonic())
            if not more:
                break
            found += more
        return found

    def rest(self) -> None:
        """Read everything up to the end or the time limit. Heartbeats do not extend the limit."""
        deadline = time.monotonic() + self.target.patience_s
        while self.event(deadline - time.monotonic()) is not None:
            pass

    @property
    def gaps(self) -> list[Control]:
        """The gap notices so far."""
        return [control for control in self.controls if control.kind == "gap"]

    def why(self) -> str:
        """The state of the connection, for the text of a problem."""
        if self.closed is not None:
            code = f", code {self.closed.code}" if self.closed.code else ""
            return f"the connection was over ({self.closed.reason or 'closed'}{code})"
        others = [control.fields for control in self.controls if control.kind == "other"]
        apart = f", but {len(others)} without {others[0]['lacks']}, first {others[0]['text']!r}" if others else ""
        return f"nothing more came within {self.target.patience_s:g} s{apart}"

    def ask(self) -> None:
        """(Polls) Send the next request, if none is pending."""
        assert self._poll is not None
        if not self._asked:
            self.link.sendall(self._poll.request())
            self._asked = True

    def _fill(self, deadline: float) -> bool:
        """Read once. Returns whether anything came before the deadline."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        try:
            if self._poll is not None and not self.resting:
                self.ask()
            self.link.settimeout(left)
            data = self.link.recv(65536)
        except TimeoutError:
            return False
        except OSError as error:
            self._events.append(Closed(False, reason=str(error)))
            return True
        self.raw += data
        if len(self.raw) > MOST_BYTES:
            self._events.append(Closed(False, reason=f"it sent more than {MOST_BYTES:,} bytes and did not end"))
            return True
        try:
            if self._codec is not None:
                self._events += self._codec.feed(data) if data else self._codec.eof()
                if owed := self._codec.to_send():
                    self.link.sendall(owed)
            elif self._poll is not None:
                answers: list[Any] = [*(self._poll.feed(data) if data else self._poll.eof())]
                for answer in answers:
                    self._answered(answer)
        except ProtocolError as error:
            if self._codec is not None:
                self._events += error.events
            self._events.append(Closed(False, reason=str(error)))
        except OSError as error:  # it owed a pong, and the peer is gone
            self._events.append(Closed(False, reason=str(error)))
        return True

    def _answered(self, answer: PollResponse | Closed) -> None:
        if isinstance(answer, Closed):
            self._events.append(answer)
            return
        self._asked = False
        self.answers += 1
        if self.answers == 1:
            self._events.append(Opened(answer.status, answer.headers))
        self._events += [control for control in answer.controls if control.kind == "gap"]
        self._events += answer.messages
        self._events += [control for control in answer.controls if control.kind != "gap"]
        if answer.end:
            self._events += (Control("end", {"last": answer.next}), Closed(True, reason="end of the stream"))
        elif answer.status not in (200, 204, 304):
            self._events.append(Closed(False, reason=f"status {answer.status}"))
        elif not answer.keep_alive and not self.resting:  # at rest, the end of file is still to be read
            self.link.close()
            self.link = connect(self.target)
            assert self._poll is not None
            self._poll.reconnected()
        elif not answer.messages:
            time.sleep(POLL_INTERVAL_S)  # the client's own pace; it waits for nothing
