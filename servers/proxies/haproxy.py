"""HAProxy: as its documentation's first HTTP example has it, and tuned for streams (timeouts, no queue of writes).

`-h2`: tuned, and HTTP/2 to clients with TLS that ask for it (100 streams a connection, as shipped), with WebSocket
(RFC 8441) among them.
"""

from __future__ import annotations

from functools import partial

from rtbench.subjects import needs_program
from rtbench.subjects.proxies import PLAIN_HTTP, Before, Proxy


def _configuration(before: Before, tuned: bool) -> str:
    room = 2 * before.subscribers + 1000
    timeouts = ("3600s", "3600s", "timeout tunnel 3600s") if tuned else ("50s", "50s", "")
    return f"""global
  nbthread 1
  maxconn {room}
defaults
  mode http
  timeout connect 5s
  timeout client {timeouts[0]}
  timeout server {timeouts[1]}
  {timeouts[2]}
  {"option http-no-delay" if tuned else ""}
frontend front
  bind {before.host}:{before.port} backlog 4096{_tls(before)}
  maxconn {room}
  default_backend servers
backend servers
  {"http-reuse always" if tuned else ""}
  server one {before.upstream_host}:{before.upstream_port} maxconn {room}
"""


def _tls(before: Before) -> str:
    """The words of TLS; sessions are kept and tickets are on, as HAProxy ships."""
    if before.tls is None:
        return ""
    version = f"TLSv{before.tls.version}"
    protocols = " alpn h2,http/1.1" if before.tls.http2 else ""
    return f" ssl crt {before.tls.both} ssl-min-ver {version} ssl-max-ver {version}{protocols}"


def _command(before: Before, tuned: bool) -> list[str]:
    path = before.folder / "haproxy.cfg"
    path.write_text(_configuration(before, tuned), encoding="ascii")
    return ["haproxy", "-db", "-q", "-f", str(path)]


_shipped, _tuned = partial(_command, tuned=False), partial(_command, tuned=True)
_REQUIRES = (needs_program("haproxy", "apt-get install haproxy"),)

_H2 = "HAProxy, HTTP/2 to the client, otherwise as haproxy-tuned"
PROXIES = (
    Proxy(
        "haproxy",
        "haproxy",
        "HAProxy, mode http, timeouts of its documentation",
        _shipped,
        _REQUIRES,
        ("haproxy", "-v"),
    ),
    Proxy("haproxy-tuned", "haproxy", "HAProxy, long timeouts, http-no-delay", _tuned, _REQUIRES, ("haproxy", "-v")),
    Proxy("haproxy-h2", "haproxy", _H2, _tuned, _REQUIRES, ("haproxy", "-v"), http2=(*PLAIN_HTTP, "websocket")),
)
