"""A Tornado server with Server-Sent Events, written without rtbench.

`python server.py --port=8000`: GET /events/NAME streams each body posted to /events/NAME as an event.
"""

import asyncio
import signal

import tornado.iostream
import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.options import define, options

define("host", default="127.0.0.1")
define("port", default=8000, type=int)

subscribers: dict[str, set[asyncio.Queue[str | None]]] = {}


class Events(tornado.web.RequestHandler):
    def initialize(self):
        self.queue = asyncio.Queue()

    async def get(self, name):
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        self.request.connection.stream.set_nodelay(True)
        self.request.connection.set_close_callback(lambda: self.queue.put_nowait(None))
        here = subscribers.setdefault(name, set())
        here.add(self.queue)
        try:
            await self.flush()
            while (data := await self.queue.get()) is not None:
                self.write(f"data: {data}\n\n")
                await self.flush()
        except tornado.iostream.StreamClosedError:
            pass
        finally:
            here.discard(self.queue)

    def post(self, name):
        data = self.request.body.decode()
        for queue in subscribers.get(name, ()):
            queue.put_nowait(data)
        self.set_status(204)


async def main():
    options.parse_command_line()
    app = tornado.web.Application([(r"/events/([a-z]+)", Events)], log_function=lambda _: None)
    server = HTTPServer(app)
    server.add_sockets(bind_sockets(options.port, options.host, backlog=4096))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.stop()
    for queues in subscribers.values():
        for queue in queues:
            queue.put_nowait(None)
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
