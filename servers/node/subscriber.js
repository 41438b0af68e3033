/* A subscriber of a push transport: one connection that first replays out of the ring, then is live.

   Invariant: it never holds more than `buffer_bytes`: a slow consumer is dropped, counted and logged. One that
   acknowledges nothing is dropped by the kernel (TCP_USER_TIMEOUT, `servers/stacks/listener.py`), which the socket
   reports as ETIMEDOUT. A transport extends this class with `open`, `farewell` and, where it differs, `put`. */

import { BEGAN_AGAIN } from "./channel.js";

export class Subscriber {
  #hub;
  #over = false;
  #leave = () => {};
  #patience;

  constructor(hub, channel, socket) {
    this.#hub = hub;
    this.channel = channel;
    this.socket = socket;
    socket.on("error", this.#failed);
    socket.on("end", this.#detach); // a write after it would be an error
    socket.on("close", this.#detach);
  }

  /** Whether the protocol still allows a message. */
  get open() {
    return this.socket.writable;
  }

  /** Hand bytes to the socket. `taken` is called when the kernel has them, or the connection is over. */
  put(data, taken) {
    this.socket.write(data, taken);
  }

  /** Write one message, or drop the subscriber that would hold too much. What fits an empty buffer is always taken. */
  write(data) {
    const held = this.socket.writableLength;
    if (held > 0 && held + data.length > this.#hub.limits.buffer_bytes) this.#drop("it would hold too much");
    else if (this.open) this.put(data);
  }

  /** Replay what follows the cursor; then live, in the same step, so that nothing is published in between. */
  replay(cursor) {
    const { encoder, limits, stopping } = this.#hub;
    // The replay takes half of the buffer; the other half is for messages published before it has gone out.
    const half = limits.buffer_bytes / 2;
    const { at, gap } = this.channel.start(cursor);
    if (gap !== null) this.write(encoder.control("gap", gap));
    for (const { seq, data } of stopping ? [] : this.channel.ring.after(at)) {
      if (this.#over || !this.open) return;
      if (this.socket.writableLength + data.length >= half) {
        this.#await(data, seq);
        return;
      }
      this.put(data);
    }
    this.#live();
  }

  /** Replay on from the id `seq` once the socket has taken it. */
  #await(data, seq) {
    const patience_ms = 2000 * this.#hub.limits.heartbeat_s;
    this.#patience = setTimeout(() => this.#drop("it did not take its replay"), patience_ms);
    this.put(data, (error) => {
      clearTimeout(this.#patience);
      if (!error && !this.#over) this.#resume(seq);
    });
  }

  #resume(seq) {
    const channel = this.#hub.find(this.channel.stream, this.channel.index);
    if (channel === this.channel) {
      this.replay(seq);
    } else if (channel === undefined) {
      this.finish("stop");
    } else {
      this.channel = channel; // of another run of the publisher
      this.write(this.#hub.encoder.control("gap", { from: 1, to: seq, reason: BEGAN_AGAIN }));
      this.replay(0);
    }
  }

  #live() {
    const { channel } = this;
    const { encoder, stopping } = this.#hub;
    if (this.#over || !this.open) return;
    if (stopping) {
      this.finish("stop");
    } else if (channel.final !== null) {
      this.write(encoder.control(channel.final.kind, channel.final.fields));
      this.finish(channel.final.kind);
    } else {
      if (channel.advice !== null) this.write(encoder.control("retry", channel.advice));
      this.#leave = this.#hub.admit(this);
    }
  }

  /** No more messages: "end", "failure" or "stop". Says the transport's farewell. */
  finish(why) {
    if (this.#over) return;
    this.#detach();
    if (this.open) this.farewell(why);
  }

  #drop(why) {
    const held = this.socket.writableLength;
    this.#detach();
    this.#hub.dropped(this.channel, why, held);
    this.socket.destroy();
  }

  #failed = ({ code }) => {
    if (code === "ETIMEDOUT") this.#drop("it acknowledged nothing for too long");
  };

  #detach = () => {
    this.#over = true;
    clearTimeout(this.#patience);
    this.#leave();
    this.socket.off("error", this.#failed).off("end", this.#detach).off("close", this.#detach);
  };
}
