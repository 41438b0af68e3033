"""Starts Pushpin in front of a small origin: `python3 start.py HOST PORT`.

Pushpin is a proxy for a backend of yours, the origin. The headers of the origin's answer name the channel; from then on
Pushpin holds the connection.

Pushpin accepts before its four processes have found each other. A subscriber that comes so early gets 500, or its
messages stop. So this one line on standard output, once a subscriber got all that was posted: {"url": "http://…"}.
"""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = self.path.startswith("/events/")
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "0")
        if known:
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Grip-Hold", "stream")
            self.send_header("Grip-Channel", self.path.removeprefix("/events/"))
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 4096


def delivers(host, port, control_port):
    """Whether a subscriber gets more than Pushpin sends before the subscriber's side has to ask for more (200 kB)."""
    content = 'data: {"id":1,"data":"' + 20_000 * "x" + '"}\n\n'
    item = {"channel": "ready-0", "formats": {"http-stream": {"content": content}}}
    try:
        with socket.create_connection((host, port), 1) as subscriber:
            subscriber.sendall(b"GET /events/ready-0 HTTP/1.1\r\nHost: start\r\n\r\n")
            if not subscriber.recv(4096).startswith(b"HTTP/1.1 200"):
                return False
            for _ in range(20):
                control = http.client.HTTPConnection("127.0.0.1", control_port, timeout=1)
                control.request("POST", "/publish/", json.dumps({"items": [item]}))
                control.getresponse().read()
                control.close()
                left = len(content)
                while left > 0:
                    data = subscriber.recv(left)
                    if not data:
                        return False
                    left -= len(data)
    except (OSError, http.client.HTTPException):
        return False
    return True


def main(host, port):
    origin = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    config = (Path(__file__).parent / "pushpin.conf").read_text()
    with tempfile.TemporaryDirectory(prefix="pushpin-") as folder:  # its sockets need a short path
        Path(folder, "pushpin.conf").write_text(config.replace("FOLDER", folder))
        Path(folder, "routes").write_text(f"* 127.0.0.1:{origin.server_address[1]}\n")
        command = ["pushpin", f"--config={folder}/pushpin.conf", f"--port={host}:{port}", "--merge-output"]
        pushpin = subprocess.Popen(command, stdout=sys.stderr)
        signal.signal(signal.SIGTERM, lambda *_: pushpin.terminate())
        control_port = int(re.search(r"(?m)^push_in_http_port=(\d+)$", config)[1])
        while pushpin.poll() is None and not delivers(host, port, control_port):
            time.sleep(0.05)
        print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
        return pushpin.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
