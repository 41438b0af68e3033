/* WebSocket on ws (RFC 6455): a message is one text frame `{"id":N,"data":PAYLOAD}`, not compressed.

   `socket.send` frames a message anew for each connection, in two pieces. Here ws makes the frame once (Sender.frame),
   and it is written to each upgraded socket; ws does the handshake, reads, answers pings and closes. */

import WebSocket, { Sender, WebSocketServer } from "ws";

import { hangUp, Refusal } from "./answer.js";
import { wrap } from "./envelope.js";
import { Subscriber } from "./subscriber.js";

const TEXT = 1;
const PING = 9;
const CLOSE = { end: 1000, stop: 1001, failure: 1011 };

export const prefix = "ws";

export const encoder = {
  heartbeat: frame(PING, Buffer.alloc(0)),

  message(seq, payload) {
    return frame(TEXT, wrap(seq, payload));
  },

  control(kind, fields) {
    return frame(TEXT, Buffer.from(JSON.stringify({ control: kind, ...fields })));
  },
};

function frame(opcode, data) {
  return Buffer.concat(Sender.frame(data, { fin: true, opcode, readOnly: true }));
}

class Conversation extends Subscriber {
  constructor(hub, channel, socket, websocket) {
    super(hub, channel, socket);
    this.websocket = websocket;
  }

  /** After a close frame nothing may follow. */
  get open() {
    return this.websocket.readyState === WebSocket.OPEN;
  }

  farewell(why) {
    this.websocket.close(CLOSE[why]);
  }
}

let server;

/** ws, which does handshakes; `guard` bounds the messages. */
function serverOf(guard) {
  const made = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: guard.bounds.message_bytes,
  });
  // By itself ws refuses a bad handshake with a text.
  made.on("wsClientError", (error, socket) => hangUp(socket, new Refusal(400, error.message).answer));
  return made;
}

export function upgrade(hub, request, socket, head, target, guard) {
  const channel = target.channel(hub, target.stream);
  const cursor = target.since;
  guard.sameSite(request);
  server ??= serverOf(guard);
  server.handleUpgrade(request, socket, head, (websocket) => {
    guard.converse(websocket);
    new Conversation(hub, channel, socket, websocket).replay(cursor);
  });
}

export function subscribe() {
  throw new Refusal(400, "this is a WebSocket: ask for an upgrade");
}
