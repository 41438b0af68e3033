"""WebSocket with the websockets library: python websocket.py ws://127.0.0.1:8000/ws/stocks"""

import json
import random
import sys
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


def listen(url, hear):
    last = 0
    while True:
        try:
            with connect(f"{url}?since={last}") as socket:
                for text in socket:
                    message = json.loads(text)
                    if "id" in message:
                        last = message["id"]
                        hear(last, message["data"])
                    elif message["control"] in ("end", "failure"):
                        return
                    elif message["control"] == "gap":
                        print("lost:", text, file=sys.stderr)
        except (OSError, WebSocketException):
            pass
        time.sleep(random.uniform(0.5, 1.5))  # thousands of clients must not reconnect together


if __name__ == "__main__":
    listen(sys.argv[1], lambda number, data: print(json.dumps([number, data]), flush=True))
