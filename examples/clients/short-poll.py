"""Short polling with httpx: python short-poll.py http://127.0.0.1:8000/poll/stocks"""

import json
import sys
import time

import httpx


def listen(url, hear, interval_s=1.0):
    last = 0
    with httpx.Client(timeout=10) as client:
        while True:
            try:
                response = client.get(url, params={"since": last})
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
            except httpx.TransportError:
                pass
            time.sleep(interval_s)


if __name__ == "__main__":
    listen(sys.argv[1], lambda number, data: print(json.dumps([number, data]), flush=True))
