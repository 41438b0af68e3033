"""A WebSocket's own manners: pongs, the closing handshake, and pages of other sites."""

from __future__ import annotations

from rtbench.diagnosis import INFO, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, seconds
from rtbench.diagnosis._gathering import FOREIGN


@check("no-pong", transports=("websocket",))
def pong(seen: Evidence) -> list[Finding]:
    """A ping gets its pong (RFC 6455 §5.5.3)."""
    if seen.plain.pong is None:
        raise Undecided("the connection was over before")
    if seen.plain.pong:
        return []
    text = "the server does not answer a ping: a client cannot distinguish silence from a dead connection"
    remedy = "answer each ping with a pong of the same bytes"
    return [Finding("no-pong", WARNING, text, remedy, (f"no pong within {seconds(seen.limits.patience_s)}",))]


@check("close-handshake", transports=("websocket",))
def closing(seen: Evidence) -> list[Finding]:
    """A close frame gets a close frame (RFC 6455 §5.5.1)."""
    answer = seen.plain.farewell
    if not answer:
        raise Undecided("the connection was over before")
    if answer == "echoed":
        return []
    shown = {"dropped": "the connection was closed without one", "ignored": "the server went on"}[answer]
    text = "a client that closes politely gets no close frame, and reports code 1006"
    return [Finding("close-handshake", WARNING, text, "echo the close frame, then close the connection", (shown,))]


@check("other-origins", transports=("websocket",))
def origin(seen: Evidence) -> list[Finding]:
    """A page of another site cannot open the WebSocket with its visitor's cookies."""
    if seen.plain.status != 101 or seen.foreign is None:
        raise Undecided("the answer is not a WebSocket")
    if seen.foreign != 101:
        return []
    text = "any site's page can open this WebSocket, with the cookies of its visitor"
    remedy = "check Origin in the handshake, or authenticate by a token instead of a cookie"
    return [Finding("other-origins", INFO, text, remedy, (f"Origin: {FOREIGN['Origin']}: status 101",))]
