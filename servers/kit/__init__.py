"""The kit for writing a subject in Python. docs/tutorial/your-own-server.md has a whole file that uses it.

A subject's file imports `Subject` from `rtbench.subjects`, `Server` from `rtbench.servers.kit.app`, and one encoder:
`sse_encoder.Chunked`, `websocket_encoder.Framed` or `poll_answer.Enveloped` (`queue.Queued`: the library frames).
It defines `async def serve(server: Server)` and `SUBJECT = Subject(..., serve=serve)`. `serve` does five things:

1. `hub = server.hub(encoder)`: the hub takes ticks from the publisher, encodes each once and keeps it in the ring.
2. It answers requests on `server.socket`. `aiohttp_app` and `starlette_app` bring the contract's routes and errors.
3. Push: `connection = await hub.attach(transport, channel, cursor)` replays from the cursor; the hub then writes every
   new message. `await connection.finished` gives the reason why the connection ends; the handler sends the farewell and
   calls `hub.detach`. Polls: `hub.held(channel, cursor)` gives the answer's messages, `hub.next(channel, timeout_s)`
   waits for a new one.
4. `await server.ready()` once it accepts: the campaign waits for that line.
5. It returns after `server.stopped`, when its farewells are sent. `aiohttp_app.serve` does 4 and 5.

`rtbench verify FILE.py` lists what is still missing. A module's public names are its `__all__`.
"""
