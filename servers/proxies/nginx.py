"""nginx as a reverse proxy: as its documentation's first example has it, and tuned for streams.

As shipped: `proxy_pass` alone, HTTP/1.0 to the upstream, buffering on, no upgrade. Tuned: HTTP/1.1, upgrades passed on,
buffering off, long timeouts. `-h2`: tuned, and HTTP/2 to clients with TLS that ask for it (128 streams a connection).
One worker each, no access log, for a fair core.
"""

from __future__ import annotations

from functools import partial

from rtbench.subjects import needs_program
from rtbench.subjects.proxies import PLAIN_HTTP, Before, Proxy

_FOR_STREAMS = """
      proxy_http_version 1.1;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_cache off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
      tcp_nodelay on;"""


def _configuration(before: Before, tuned: bool) -> str:
    room = 2 * before.subscribers + 1000
    secure = " ssl http2" if before.tls and before.tls.http2 else " ssl" if before.tls else ""
    return f"""daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {2 * room};
pid {before.folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {room}; }}
http {{
  access_log off;
  client_body_temp_path {before.folder}/body;
  proxy_temp_path {before.folder}/proxy;
  fastcgi_temp_path {before.folder}/fastcgi;
  uwsgi_temp_path {before.folder}/uwsgi;
  scgi_temp_path {before.folder}/scgi;
  keepalive_requests 1000000000;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream server {{ server {before.upstream_host}:{before.upstream_port}; {"keepalive 1000;" if tuned else ""} }}
  server {{
    listen {before.host}:{before.port} backlog=4096{secure};{_tls(before)}
    location / {{
      proxy_pass http://server;{_FOR_STREAMS if tuned else ""}
    }}
  }}
}}
"""


def _tls(before: Before) -> str:
    """The lines of TLS; session tickets are on, as nginx ships."""
    if before.tls is None:
        return ""
    files = f"ssl_certificate {before.tls.certificate}; ssl_certificate_key {before.tls.key};"
    return f"\n    {files} ssl_protocols TLSv{before.tls.version};"


def _command(before: Before, tuned: bool) -> list[str]:
    path = before.folder / "nginx.conf"
    path.write_text(_configuration(before, tuned), encoding="ascii")
    return ["nginx", "-c", str(path), "-p", str(before.folder), "-e", "stderr"]


_shipped, _tuned = partial(_command, tuned=False), partial(_command, tuned=True)
_REQUIRES = (needs_program("nginx", "apt-get install nginx"),)

_H2 = "nginx, HTTP/2 to the client, otherwise as nginx-tuned"
PROXIES = (
    Proxy("nginx", "nginx", "nginx, proxy_pass alone", _shipped, _REQUIRES, ("nginx", "-v")),
    Proxy("nginx-tuned", "nginx", "nginx, HTTP/1.1, upgrades, buffering off", _tuned, _REQUIRES, ("nginx", "-v")),
    Proxy("nginx-h2", "nginx", _H2, _tuned, _REQUIRES, ("nginx", "-v"), http2=PLAIN_HTTP),
)
