"""Server-Sent Events with httpx and httpx-sse: python sse.py http://127.0.0.1:8000/sse/stocks"""

import json
import random
import sys
import time

import httpx
from httpx_sse import connect_sse


def listen(url, hear):
    last = "0"
    with httpx.Client(timeout=45) as client:  # three heartbeats
        while True:
            try:
                with connect_sse(client, "GET", url, headers={"Last-Event-ID": last}) as source:
                    if source.response.status_code == 204:
                        return
                    if not source.response.is_server_error:
                        source.response.raise_for_status()
                        for event in source.iter_sse():
                            if event.event == "message" and event.data:  # httpx-sse lets blocks without data out
                                last = event.id
                                hear(int(last), json.loads(event.data))
                            elif event.event in ("end", "failure"):
                                return
                            elif event.event == "gap":
                                print("lost:", event.data, file=sys.stderr)
            except httpx.TransportError:
                pass
            time.sleep(random.uniform(0.5, 1.5))  # thousands of clients must not reconnect together


if __name__ == "__main__":
    listen(sys.argv[1], lambda number, data: print(json.dumps([number, data]), flush=True))
