/* The replay ring: the newest messages of each channel, bounded in messages a channel and in bytes over all
   (servers/kit/ring.py).

   Invariant: a channel's held messages are consecutive ids that end with its last; the oldest are dropped first.
   A finite stream is kept whole. */

import { Queue } from "./queue.js";

/** One channel's messages: `{seq, dueNs, data, bytes}`. */
export class Ring {
  last = 0;
  #held = new Queue();

  constructor(budget, most, finite) {
    this.budget = budget;
    this.most = most;
    this.finite = finite;
  }

  /** The oldest id held; one past the last when the ring is empty. */
  get first() {
    return this.#held.length > 0 ? this.#held.first.seq : this.last + 1;
  }

  get length() {
    return this.#held.length;
  }

  append(seq, dueNs, data) {
    const bytes = Buffer.byteLength(data);
    this.#held.push({ seq, dueNs, data, bytes });
    this.last = seq;
    if (this.finite) return;
    if (this.#held.length > this.most) this.budget.changed(bytes - this.drop());
    else this.budget.grew(this, bytes);
  }

  /** Drop the oldest message. Returns its bytes. */
  drop() {
    return this.#held.shift().bytes;
  }

  /** Drop everything; the next message may have any higher id. */
  clear() {
    while (this.#held.length > 0) {
      const bytes = this.drop();
      if (!this.finite) this.budget.used -= bytes;
    }
  }

  /** The held messages with a higher id than `cursor`, the oldest first. */
  after(cursor) {
    return cursor < this.last ? this.#held.newest(this.last - cursor) : [];
  }
}

/** The limit of bytes over all rings. Over it, the ring that grew longest ago drops a message first. */
export class Budget {
  used = 0;
  #order = new Queue();

  constructor(most) {
    this.most = most;
  }

  /** A ring holds one message of `bytes` more. */
  grew(ring, bytes) {
    this.#order.push(ring);
    this.changed(bytes);
  }

  /** Count `bytes` more; drop what is over the limit. */
  changed(bytes) {
    this.used += bytes;
    while (this.used > this.most && this.#order.length > 0) {
      const oldest = this.#order.shift();
      if (oldest.length > 1) this.used -= oldest.drop();
    }
  }
}
