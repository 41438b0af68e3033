/* Server-Sent Events on node:http (WHATWG HTML 9.2): a message is one event in one HTTP chunk (RFC 9112 §7.1).

   `response.write` frames a chunk anew for each connection, in four pieces. Here the chunk is made once and written to
   each response's socket; node:http still makes the head, the last chunk and the end. */

import { bare, Refusal, send } from "./answer.js";
import { number } from "./request.js";
import { Subscriber } from "./subscriber.js";

const HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-cache",
  "X-Accel-Buffering": "no",
  "X-Proxy-Buffering": "no",
};
const GENERAL = "general";

export const prefix = "sse";
export const aliases = true;

export const encoder = {
  heartbeat: chunk(Buffer.from(":\n\n")),

  message(seq, payload) {
    return chunk(Buffer.concat([Buffer.from(`id: ${seq}\ndata: `), payload, Buffer.from("\n\n")]));
  },

  /** An event of its own type without an id, so that Last-Event-ID stays. An EventSource obeys `retry` (9.2.6). */
  control(kind, fields) {
    const retry = kind === "retry" ? `retry: ${fields.after_ms}\n` : "";
    return chunk(Buffer.from(`event: ${kind}\n${retry}data: ${JSON.stringify(fields)}\n\n`));
  },
};

function chunk(data) {
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from("\r\n")]);
}

/** What is inside a chunk. */
function content(data) {
  return data.subarray(data.indexOf("\r\n") + 2, -2);
}

class EventStream extends Subscriber {
  constructor(hub, channel, response) {
    super(hub, channel, response.socket);
    this.response = response;
  }

  farewell(why) {
    this.response.end(() => {
      if (why === "stop") this.socket.end();
    });
  }
}

/** For a client of HTTP/1.0, which knows no chunks: the stream ends with the connection. */
class Unchunked extends EventStream {
  put(data, taken) {
    this.socket.write(content(data), taken);
  }
}

export function subscribe(hub, request, response, target) {
  // The article's routes: an unknown channel is `general`.
  const general = target.isAlias && !hub.has(target.stream) && hub.has(GENERAL);
  const channel = target.channel(hub, general ? GENERAL : target.stream);
  const id = request.headers["last-event-id"];
  const cursor = id ? number(id, "Last-Event-ID") : target.since;
  if (response.socket === null) throw new Refusal(400, "a stream cannot follow another one on its connection");
  if (channel.final !== null && cursor === channel.ring.last) {
    send(response, bare(204)); // an EventSource stops for good (WHATWG 9.2.3)
    return;
  }
  response.writeHead(200, { ...HEADERS, ...channel.kind.headers }).flushHeaders();
  const chunked = request.httpVersionMinor > 0;
  new (chunked ? EventStream : Unchunked)(hub, channel, response).replay(cursor);
}
