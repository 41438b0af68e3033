"""Silence: does something come before a proxy, a load balancer or a NAT loses patience, and is a silent one cut?"""

from __future__ import annotations

from rtbench.diagnosis import ERROR, PUSH, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, seconds
from rtbench.diagnosis._recording import CUT

_REMEDIES = {
    "sse": "write a comment line (: and a line feed) after every 15 s without an event",
    "websocket": "send a ping frame every 15 to 20 s (most libraries have a setting)",
}


@check("no-heartbeat", transports=PUSH)
def heartbeat(seen: Evidence) -> list[Finding]:
    """A stream without events carries heartbeats."""
    plain, limit = seen.plain, seen.limits.silence_s
    if plain.status not in (200, 101):
        raise Undecided("the answer is not a stream")
    longest = max(plain.silences())
    if longest > limit:
        beats = f"{len(plain.events)} events, {len(plain.heartbeats)} heartbeats in {seconds(plain.seconds)}"
        text = f"nothing came for {seconds(longest)}: whatever cuts silent connections cuts this one"
        return [Finding("no-heartbeat", WARNING, text, _REMEDIES[seen.transport], (beats, f"limit {seconds(limit)}"))]
    if not plain.heartbeats and plain.seconds < limit and longest > limit / 4:
        raise Undecided(f"it was watched for {seconds(plain.seconds)}: --seconds {limit + 5:g}")
    return []


@check("idle-cut", transports=PUSH)
def idle_cut(seen: Evidence) -> list[Finding]:
    """A silent connection is not cut."""
    plain = seen.plain
    if plain.status not in (200, 101):
        raise Undecided("the answer is not a stream")
    last = plain.reads[-1][0]
    silent = plain.stopped_at - last
    if plain.state != CUT or silent < seen.limits.cut_s:
        return []
    text = f"the connection was cut after {seconds(silent)} of silence"
    remedy = f"{_REMEDIES[seen.transport]}; or raise the time-out: {_timeouts(seen)}"
    return [Finding("idle-cut", ERROR, text, remedy, (plain.why or "closed", plain.header("Server")))]


def _timeouts(seen: Evidence) -> str:
    known = {"nginx": "proxy_read_timeout", "haproxy": "timeout server, timeout client, timeout tunnel"}
    name = f"{seen.proxy} {seen.plain.headers.get('server', '')} {seen.plain.headers.get('via', '')}".lower()
    found = [f"{proxy}: {setting}" for proxy, setting in known.items() if proxy in name]
    return "; ".join(found or [f"{proxy}: {setting}" for proxy, setting in known.items()])
