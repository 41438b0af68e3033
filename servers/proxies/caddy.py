"""Caddy: `reverse_proxy` alone, and tuned for streams (`flush_interval -1`).

`-h2`: tuned, and HTTP/2 to clients with TLS that ask for it (250 streams a connection, as shipped), without HTTP/3.
"""

from __future__ import annotations

from functools import partial

from rtbench.subjects import needs_program
from rtbench.subjects.proxies import PLAIN_HTTP, Before, Proxy


def _configuration(before: Before, tuned: bool) -> str:
    flush = "\n    flush_interval -1" if tuned else ""
    protocols = "\n  servers {\n    protocols h1 h2\n  }" if before.tls and before.tls.http2 else ""
    return f"""{{
  admin off
  auto_https off{protocols}
}}
{"https" if before.tls else "http"}://{before.host}:{before.port} {{
  bind {before.host}{_tls(before)}
  reverse_proxy {before.upstream_host}:{before.upstream_port} {{{flush}
  }}
}}
"""


def _tls(before: Before) -> str:
    """The lines of TLS; session tickets are on, as Caddy ships."""
    if before.tls is None:
        return ""
    version = f"tls{before.tls.version}"
    files = f"{before.tls.certificate} {before.tls.key}"
    return f"\n  tls {files} {{\n    protocols {version} {version}\n  }}"


def _command(before: Before, tuned: bool) -> list[str]:
    path = before.folder / "Caddyfile"
    path.write_text(_configuration(before, tuned), encoding="ascii")
    words = [f"XDG_DATA_HOME={before.folder}", f"XDG_CONFIG_HOME={before.folder}", "GOMAXPROCS=1"]
    return ["env", *words, "caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


_shipped, _tuned = partial(_command, tuned=False), partial(_command, tuned=True)
_REQUIRES = (needs_program("caddy", "apt-get install caddy"),)

_H2 = "Caddy, HTTP/2 to the client, otherwise as caddy-tuned"
PROXIES = (
    Proxy("caddy", "caddy", "Caddy, reverse_proxy alone", _shipped, _REQUIRES, ("caddy", "version")),
    Proxy("caddy-tuned", "caddy", "Caddy, flush_interval -1", _tuned, _REQUIRES, ("caddy", "version")),
    Proxy("caddy-h2", "caddy", _H2, _tuned, _REQUIRES, ("caddy", "version"), http2=PLAIN_HTTP),
)
