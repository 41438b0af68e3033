"""Starts Pushpin in front of a small origin: `python3 start.py HOST PORT FOLDER`.

Pushpin is a proxy for a backend of yours, the origin. The headers of the origin's answer name the channel; from then on
Pushpin holds the connection. Everything that is written goes to FOLDER.
"""

import signal
import subprocess
import sys
import threading
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


host, port, folder = sys.argv[1:]
origin = Server(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
config = (Path(__file__).parent / "pushpin.conf").read_text()
Path(folder, "pushpin.conf").write_text(config.replace("FOLDER", folder))
Path(folder, "routes").write_text(f"* 127.0.0.1:{origin.server_address[1]}\n")
pushpin = subprocess.Popen(["pushpin", f"--config={folder}/pushpin.conf", f"--port={host}:{port}"])
signal.signal(signal.SIGTERM, lambda *_: pushpin.terminate())
sys.exit(pushpin.wait())
