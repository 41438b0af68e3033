/* The feed: ticks and notices from rtbench's publisher, over a Unix socket (servers/kit/feed.py).

   A frame is `length (u32) kind (u8) body`, little endian. Invariant: a frame of an unknown kind is stepped over, so
   that a newer publisher still works. */

import net from "node:net";

const HELLO = 1;
const TICKS = 2;
const LIVE = 3;

const FRAME = 5;
const TICK = 24;
const RECONNECT_MS = 50;

/** Frames out of a byte stream that may be split anywhere. */
export class Reader {
  #parts = [];
  #held = 0;
  #wanted = FRAME;

  /** The frames that are complete with `data`. */
  take(data) {
    this.#parts.push(data);
    this.#held += data.length;
    if (this.#held < this.#wanted) return [];
    const buffer = this.#parts.length === 1 ? data : Buffer.concat(this.#parts);
    const frames = [];
    let at = 0;
    this.#wanted = FRAME;
    while (buffer.length - at >= FRAME) {
      const size = FRAME + buffer.readUInt32LE(at);
      if (buffer.length - at < size) {
        this.#wanted = size;
        break;
      }
      frames.push({ kind: buffer[at + 4], body: buffer.subarray(at + FRAME, at + size) });
      at += size;
    }
    this.#parts = at < buffer.length ? [buffer.subarray(at)] : [];
    this.#held = buffer.length - at;
    return frames;
  }
}

/** The ticks and notices (seq 0) of a TICKS frame. Throws RangeError for a torn one. */
export function* ticks(body) {
  let at = 0;
  while (at < body.length) {
    const channel = body.readInt32LE(at);
    const seq = Number(body.readBigInt64LE(at + 4));
    const dueNs = body.readBigInt64LE(at + 12); // more than 2^53 after 104 days without a reboot
    const start = at + TICK;
    at = start + body.readUInt32LE(at + 20);
    if (at > body.length) throw new RangeError("a frame of the feed is torn");
    yield { channel, seq, dueNs, payload: body.subarray(start, at) };
  }
}

/** Stay connected to the publisher at `path`, for ever. */
export function follow(path, hub) {
  const reader = new Reader();
  const socket = net.connect(path);
  socket.on("data", (data) => {
    try {
      for (const { kind, body } of reader.take(data)) {
        if (kind === TICKS) hub.publish(ticks(body));
        else if (kind === HELLO) hub.hello(body.toString());
        else if (kind === LIVE) hub.emit("live");
      }
    } catch (error) {
      console.error(`the feed broke off: ${error.message}`);
      socket.destroy();
    }
  });
  socket.on("error", () => {}); // the publisher is away; "close" follows
  socket.on("close", () => setTimeout(follow, RECONNECT_MS, path, hub));
}
