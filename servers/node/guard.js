/* The bounds of what clients may take of this server (`[server]`, servers/kit/guard.py), and what was refused.

   Invariant: a refusal is counted by the key of its bound; `origin` and `frames` are counted, too. Nothing here runs
   when the server sends. node:http bounds the heads itself (`HTTP_OPTIONS`), ws the messages. */

import { hangUp, Refusal } from "./answer.js";

const CROSS_SITE = "a page of another site may not do this; --allow-origin lists those that may";
const TOO_MANY = new Refusal(503, "too many connections; try again", { "Retry-After": "5" });
const TOO_OFTEN = new Refusal(429, "too many requests; try again", { "Retry-After": "1" });
const MOST_PEERS = 10_000; // so many addresses have a rate of their own at once
const HEADS = {
  ERR_HTTP_REQUEST_TIMEOUT: ["head_s", 408, "the head of the request took too long"],
  HPE_HEADER_OVERFLOW: ["head_bytes", 431, "the head of the request is too long"],
};

/** So many events a second, and as many at once. */
class Bucket {
  constructor(hz) {
    this.hz = hz;
    this.most = Math.max(1, hz);
    this.left = this.most;
    this.at_ms = performance.now();
  }

  /** Whether one more event is within the rate. */
  take() {
    if (this.left < 1) {
      const now_ms = performance.now();
      this.left = Math.min(this.most, this.left + ((now_ms - this.at_ms) / 1000) * this.hz);
      this.at_ms = now_ms;
      if (this.left < 1) return false;
    }
    this.left -= 1;
    return true;
  }
}

export class Guard {
  refused = {};
  #peers = new Map();
  #rates = new Map(); // an address to its rate of requests
  #doors = new Map(); // a socket to its last response, and what it had received when it was last looked at

  constructor(bounds, pages) {
    this.bounds = bounds;
    this.pages = pages;
    const idle_ms = 1000 * bounds.idle_s;
    setInterval(() => this.#look(idle_ms), Math.max(100, Math.min(60_000, idle_ms / 4))).unref();
  }

  /** End what was answered and has asked nothing since, for `idle_s`. */
  #look(idle_ms) {
    const now_ms = performance.now();
    for (const [socket, door] of this.#doors) {
      if (!door.response?.writableFinished || door.bytes !== socket.bytesRead) {
        door.bytes = socket.bytesRead;
        door.since_ms = now_ms;
      } else if (now_ms - door.since_ms >= idle_ms) {
        socket.end();
      }
    }
  }

  /** A request came, and this is its response; an upgrade has none. Throws Refusal, and the connection ends. */
  asked({ socket }, response = {}) {
    const door = this.#doors.get(socket);
    if (door === undefined) return;
    const { response: before } = door;
    door.response = response;
    if (before === null) return; // the connection was counted as its first request
    door.ahead = before.writableFinished ? 0 : door.ahead + 1;
    const why =
      door.ahead >= this.bounds.pipelined ? "pipelined"
      : this.#within(socket.remoteAddress ?? "") ? null
      : "requests_hz";
    if (why === null) return;
    if (!door.refused) this.count(why);
    door.refused = true;
    response.shouldKeepAlive = false;
    throw TOO_OFTEN;
  }

  #within(peer) {
    let rate = this.#rates.get(peer);
    if (rate === undefined) {
      if (this.#rates.size >= MOST_PEERS) {
        const then_ms = performance.now() - 1000;
        for (const [name, { at_ms }] of this.#rates) if (at_ms < then_ms) this.#rates.delete(name);
      }
      rate = new Bucket(this.bounds.requests_hz);
      this.#rates.set(peer, rate);
    }
    return rate.take();
  }

  /** How node:http bounds a head. It looks for late ones every `connectionsChecking…`. */
  get httpOptions() {
    const head_ms = 1000 * this.bounds.head_s;
    return {
      maxHeaderSize: this.bounds.head_bytes,
      headersTimeout: head_ms,
      requestTimeout: head_ms,
      keepAliveTimeout: 0, // node:http would announce its limit in each answer; `#look` has ours
      connectionsCheckingInterval: Math.max(100, Math.min(2500, head_ms / 4)),
    };
  }

  count(why) {
    this.refused[why] = (this.refused[why] ?? 0) + 1;
  }

  /** A connection came: count it until it closes, or refuse it. */
  enter(socket) {
    const peer = socket.remoteAddress ?? "";
    const here = this.#peers.get(peer) ?? 0;
    const why =
      !this.#within(peer) ? "requests_hz"
      : this.#doors.size >= this.bounds.connections ? "connections"
      : here >= this.bounds.connections_by_peer ? "connections_by_peer"
      : null;
    if (why !== null) {
      this.count(why);
      hangUp(socket, (why === "requests_hz" ? TOO_OFTEN : TOO_MANY).answer);
      socket.destroySoon();
      return;
    }
    this.#doors.set(socket, { response: null, ahead: 0, refused: false, bytes: -1, since_ms: 0 });
    this.#peers.set(peer, here + 1);
    socket.once("close", () => {
      this.#doors.delete(socket);
      const left = this.#peers.get(peer) - 1;
      if (left > 0) this.#peers.set(peer, left);
      else this.#peers.delete(peer);
    });
  }

  /** The answer to what was no request. */
  badHead({ code, message }) {
    const known = HEADS[code];
    if (known === undefined) return new Refusal(400, `this is not HTTP: ${message}`).answer;
    this.count(known[0]);
    return new Refusal(known[1], known[2]).answer;
  }

  /** Refuse another site's page; a request without Origin is none (servers/kit/origin.py). */
  sameSite({ headers: { origin, host } }) {
    if (origin === undefined || this.#listed(origin)) return;
    const place = /^https?:\/\/(.*)$/.exec(origin)?.[1];
    if (place !== undefined && place.toLowerCase() === host?.toLowerCase()) return;
    this.count("origin");
    throw new Refusal(403, CROSS_SITE);
  }

  /** Let a listed page read the answer (CORS). */
  share({ headers: { origin } }, response) {
    if (origin === undefined || !this.#listed(origin)) return;
    response.setHeader("Access-Control-Allow-Origin", origin);
    response.setHeader("Access-Control-Expose-Headers", "ETag");
    response.setHeader("Vary", "Origin");
  }

  #listed(origin) {
    return this.pages.includes(origin) || this.pages.includes("*");
  }

  /** Watch what an accepted WebSocket says: so many messages and pings a second, and as many at once. */
  converse(websocket) {
    const rate = new Bucket(this.bounds.publishes_hz);
    const said = () => {
      if (rate.take() || websocket.readyState !== websocket.OPEN) return;
      this.count("publishes_hz");
      websocket.close(1008);
      websocket.terminate();
    };
    websocket.on("message", said).on("ping", said);
    websocket.on("error", ({ code }) => {
      // ws closes the connection with 1009 or 1002.
      this.count(code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH" ? "message_bytes" : "frames");
    });
  }
}
