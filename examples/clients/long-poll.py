"""Long polling with httpx: python long-poll.py http://127.0.0.1:8000/long-poll/stocks"""

import json
import random
import sys
import time

import httpx


def listen(url, hear):
    last = 0
    with httpx.Client(timeout=45) as client:
        while True:
            try:
                response = client.get(url, params={"since": last, "timeout": 25})
                if response.status_code == 204:  # nothing new
                    continue
                if response.status_code == 503:  # failed for good
                    return
                if not response.is_server_error:
                    answer = response.raise_for_status().json()
                    if answer["gap"]:
                        print("lost:", answer["gap"], file=sys.stderr)
                    for message in answer["messages"]:
                        hear(message["id"], message["data"])
                    last = answer["next"]
                    if answer["end"]:
                        return
                    continue
            except httpx.TransportError:
                pass
            time.sleep(random.uniform(0.5, 1.5))  # thousands of clients must not reconnect together


if __name__ == "__main__":
    listen(sys.argv[1], lambda number, data: print(json.dumps([number, data]), flush=True))
