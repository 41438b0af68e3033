"""Readers log in over HTTP, subscribe with their token and load pages meanwhile; watchers hold WebSockets.

locust -f examples/locust/locustfile.py --host http://127.0.0.1:8000 --headless -u 100 -r 50 -t 30s
"""

from __future__ import annotations

from locust import FastHttpUser, between, task

from rtbench.loadtests.users import Message, SSEUser, Subscription, WebSocketUser


class LoggedIn(FastHttpUser, Subscription):
    """Gets a token and sends it with the subscription."""

    abstract = True
    last = 0

    def on_start(self) -> None:
        token = self.client.post("/login").json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def on_event(self, event: Message) -> None:
        """Every message must be the next one."""
        if event.id != self.last + 1:
            raise ValueError(f"message {event.id} came after message {self.last}")
        self.last = event.id


class Reader(LoggedIn, SSEUser):
    """Subscribes, and loads a page every second or so for as long as the stream is open."""

    path = "/events"
    due = "sent"
    weight = 3
    wait_time = between(0.5, 1.5)

    @task
    def read(self) -> None:
        if not self.is_subscribed:
            self.subscribe()
        self.client.get("/")


class Watcher(LoggedIn, WebSocketUser):
    """Only listens. Without a task of its own it subscribes, and subscribes again when the connection ends."""

    path = "/socket"
    carries_id = "json:id"
    due = "sent"
