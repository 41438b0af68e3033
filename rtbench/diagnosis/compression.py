"""Compression: does a client that offers it still get each event when it is written?"""

from __future__ import annotations

from rtbench.diagnosis import ERROR, EVERY, INFO, WARNING, Finding, Undecided, check
from rtbench.diagnosis._evidence import Evidence, seconds


@check("compression-stall", transports=EVERY)
def compression(seen: Evidence) -> list[Finding]:
    """Compression holds no event back; every browser offers it."""
    offered, plain = seen.offered, seen.plain
    asked = plain.headers.get("content-encoding", "identity").lower()
    if asked != "identity":
        text = f"the answer is compressed ({asked}) though the client did not offer it"
        remedy = "compress only for a client whose Accept-Encoding names it"
        return [Finding("compression-stall", WARNING, text, remedy, (plain.header("Content-Encoding"),))]
    if offered is None or not offered.status:
        raise Undecided("no answer to a client that offers compression")
    if seen.transport == "websocket":
        extension = offered.headers.get("sec-websocket-extensions", "")
        if "permessage-deflate" not in extension:
            return []
        text = "it compresses for clients that offer it: memory for each connection, CPU for each message"
        remedy = "turn permessage-deflate off if messages are small"
        return [Finding("compression-stall", INFO, text, remedy, (f"Sec-WebSocket-Extensions: {extension}",))]
    coding = offered.headers.get("content-encoding", "identity")
    if coding == "identity" or seen.transport != "sse":
        return []
    evidence = (f"Accept-Encoding: gzip, deflate; {offered.header('Content-Encoding')}",)
    since, until = offered.head_at + seen.limits.held_s, offered.stopped_at - 2 * seen.limits.held_s
    due = [item for item in plain.events if since < item.at < until]
    if not due:
        raise Undecided("no event came while both connections were open")
    at = {(item.id, item.digest): item.at for item in offered.events}
    late = [max(0.0, at.get((item.id, item.digest), offered.stopped_at) - item.at) for item in due]
    held = [one for one in late if one > seen.limits.held_s]
    if len(held) * 3 >= len(due):
        remedy = "flush the compressor after every event (Z_SYNC_FLUSH), or leave text/event-stream uncompressed"
        text = "events wait in the compressor for a client that offers compression, and every browser does"
        numbers = (
            f"{len(held)} of {len(due)} events, up to {seconds(max(held))} after an uncompressed connection had them"
        )
        return [Finding("compression-stall", ERROR, text, remedy, (*evidence, numbers))]
    size = f"{offered.body_bytes:,} bytes compressed"
    return [
        Finding("compression-stall", INFO, "it compresses, and holds nothing back", "nothing to do", (*evidence, size))
    ]
