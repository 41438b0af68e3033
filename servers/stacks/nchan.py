"""nginx with Nchan, the C reference: our own configuration and folder, one worker, apart from the system's nginx.

The publisher posts to it, a channel each: from this machine alone, and with a token that no other process knows.
Subscribers get `{"id":N,"data":PAYLOAD}` as the message, since event ids are Nchan's own. Its buffer holds as many
messages as our ring. It limits a slow consumer by nginx's own means and drops none, so it does not claim that
capability. Event streams get Cache-Control, other answers stay as short as Nchan makes them. Shared by the nchan
subjects.

What it bounds is nginx's to bound: heads, their time and idle connections, as `[server]` says. Nchan lets the pages of
all sites connect and read; here pages of other sites get 403 for anything but what `allow_origin` lists.

nginx calls ngx_tcp_nodelay for a connection that is kept alive after an answer (ngx_http_set_keepalive), for what it
proxies unbuffered or upgrades (ngx_http_upstream_send_response and …_upgrade), for TLS and for HTTP/2. `tcp_nodelay on`
allows no more than that, and Nchan's source never calls it: its SSE and WebSocket would keep Nagle's algorithm.
Connections inherit the option from the listening socket. `listen` cannot set it there, and a socket that nginx is given
(NGINX="3;", as from a systemd unit with NoDelay=yes) crashes 1.22.1 with `master_process off`, in its single process's
start; without that line its worker would outlive a campaign that is killed. So the harness sets the option on nginx's
own listening socket once it listens (`Program.nodelay`). That needs no patch, module or second hop.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from rtbench.servers.kit.origin import REFUSAL
from rtbench.subjects import Launch, Post, Program, Subject, needs_file, needs_program

MODULES = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/share/nginx/modules/ngx_nchan_module.so")
MODULE = next((path for path in MODULES if Path(path).exists()), MODULES[0])
TOKEN = secrets.token_hex(16)
"""What the publisher shows with each post: another of each process that starts servers."""
_BUFFER_BYTES = 8192
"""nginx's own: a head may take so many buffers, and a line of it one."""
_REMEDY = "apt-get install nginx libnginx-mod-nchan"


def _listed(origins: Sequence[str]) -> str:
    """The lines of the map for the origins of other sites that may connect (`rtbench.servers.kit.origin`)."""
    if "*" in origins:
        return "default 0;"
    return " ".join(["default 1;", *(f'"~^{re.escape(origin)} " 0;' for origin in origins)])


def _configuration(launch: Launch) -> str:
    # A client behind by more than the buffer would lose messages without a notice.
    room = 2 * launch.subscribers + 1000
    folder, limits = launch.folder, launch.limits
    host = f"[{launch.host}]" if ":" in launch.host else launch.host
    foreign = f"""    location = /foreign {{
      internal;
      default_type application/json;
      return 403 '{json.dumps({"error": REFUSAL})}';
    }}"""
    apart = ""
    if tls := launch.tls:
        # Posts stay in cleartext, on a port of their own.
        apart = f"""
  }}
  server {{
    listen {host}:{launch.port} ssl backlog=4096;
    ssl_certificate {tls.certificate};
    ssl_certificate_key {tls.key};
    ssl_protocols TLSv{tls.version};
{foreign}"""
    heartbeat_s = max(1, round(limits["heartbeat_s"]))
    # Not in the location: its default_type would be that of messages, too. The map overwrites $1, not named captures.
    refuse = "if ($foreign) { rewrite ^ /foreign last; }"
    return f"""load_module {MODULE};
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {2 * room};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {room}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout {math.ceil(limits["idle_s"])}s;
  client_header_timeout {math.ceil(limits["head_s"])}s;
  client_body_timeout {math.ceil(limits["head_s"])}s;
  lingering_time 2s;
  large_client_header_buffers {max(1, limits["head_bytes"] // _BUFFER_BYTES)} {_BUFFER_BYTES};
  map "$http_origin $http_host" $foreign {{
    "~^ " 0;
    {_listed(limits["allow_origin"])}
    "~*^https?://(\\S+) \\1$" 0;
  }}
  tcp_nodelay on;
  gzip off;
  map $http_accept $keep {{ text/event-stream no-cache; default ""; }}
  nchan_shared_memory_size 512M;
  nchan_message_buffer_length {max(1000, limits["ring_messages"])};
  nchan_message_timeout 0;
  server {{
    listen {host}:{launch.posts if tls else launch.port} backlog=4096;
{foreign}
    location ~ ^/publish/(?<name>[^/]+)/(?<index>[0-9]+)$ {{
      allow 127.0.0.1;
      allow ::1;
      allow {launch.host};
      deny all;
      {refuse}
      if ($http_x_rtbench_token != "{TOKEN}") {{ return 403; }}
      nchan_publisher http;
      nchan_channel_id "$name/$index";
      client_max_body_size 2m;
      client_body_buffer_size 2m;
    }}{apart}
    location ~ ^/subscribe/(?<name>[^/]+)/(?<index>[0-9]+)$ {{
      {refuse}
      nchan_subscriber;
      nchan_channel_id "$name/$index";
      nchan_subscriber_first_message newest;
      nchan_longpoll_multipart_response raw;
      nchan_subscriber_http_raw_stream_separator "\\n";
      nchan_websocket_ping_interval {heartbeat_s};
      nchan_eventsource_ping_interval {heartbeat_s};
      nchan_eventsource_ping_comment "";
      add_header Cache-Control $keep;
    }}
    location ~ ^/poll/(?<name>[^/]+)/(?<index>[0-9]+)$ {{
      {refuse}
      nchan_subscriber intervalpoll;
      nchan_channel_id "$name/$index";
      nchan_subscriber_first_message -1;
    }}
  }}
}}
"""


def _command(launch: Launch) -> list[str]:
    path = launch.folder / "nginx.conf"
    path.write_text(_configuration(launch), encoding="ascii")
    return ["nginx", "-c", str(path), "-p", str(launch.folder), "-e", "stderr"]


def subject(transport: str, description: str, codec: str = "", accept: str = "", place: str = "subscribe") -> Subject:
    """A subject on Nchan. `place`: the location that is asked."""
    return Subject(
        name=f"{transport}-nchan",
        transport=transport,
        stack="nchan",
        technique="per-connection",
        program=Program(_command, version=("nginx", "-v"), nodelay=True),
        publish=Post("/publish/{stream}/{channel}", headers={"X-Rtbench-Token": TOKEN}),
        path=f"/{place}/{{stream}}/{{channel}}",
        carries_id="payload",
        codec=codec,
        headers={"Accept": accept} if accept else {},
        capabilities=frozenset({"fairness", "tls", "origin", *([] if codec else ["heartbeat"])}),
        least_heartbeat_s=1.0,
        requires=(needs_program("nginx", _REMEDY), needs_file(MODULE, _REMEDY)),
        description=description,
    )
