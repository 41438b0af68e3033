"""Starts Pushpin in front of a small origin: `python3 start.py HOST PORT`.

Pushpin is a proxy for a backend of yours, the origin. The headers of the origin's answer name the channel; from then on
Pushpin holds the connection.
"""

import signal
import subprocess
import sys
import tempfile
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


def main(host, port):
    origin = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    config = (Path(__file__).parent / "pushpin.conf").read_text()
    with tempfile.TemporaryDirectory(prefix="pushpin-") as folder:  # its sockets need a short path
        Path(folder, "pushpin.conf").write_text(config.replace("FOLDER", folder))
        Path(folder, "routes").write_text(f"* 127.0.0.1:{origin.server_address[1]}\n")
        command = ["pushpin", f"--config={folder}/pushpin.conf", f"--port={host}:{port}", "--merge-output"]
        pushpin = subprocess.Popen(command)
        signal.signal(signal.SIGTERM, lambda *_: pushpin.terminate())
        return pushpin.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
