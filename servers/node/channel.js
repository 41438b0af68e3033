/* One channel of the workload: its ring, its subscribers, and the polls that wait for its next message. */

export const BEGAN_AGAIN = "the publisher began again";

export class Channel {
  /** Its retry advice, while it stands: the source failed, and no message came since. */
  advice = null;
  /** Its end or failure, `{kind, fields}`, once the stream is over. */
  final = null;
  /** The last id of the publisher's previous run: clients may still have cursors up to it. */
  void = 0;
  subscribers = new Set();
  #waiters = new Set();

  constructor(stream, index, kind, ring) {
    this.stream = stream;
    this.index = index;
    this.kind = kind;
    this.ring = ring;
  }

  /** How the wire names it. */
  get query() {
    return this.index === 0 ? this.stream : `${this.stream}?channel=${this.index}`;
  }

  /** Why the stream failed for good, if it did. */
  get failure() {
    return this.final?.kind === "failure" ? this.final.fields : null;
  }

  /** Where a subscriber with this cursor begins, `{at, gap}`: the gap is what it asks for and cannot have. */
  start(cursor) {
    const { ring } = this;
    if (cursor === null) {
      const whole = ring.finite && (this.kind.from_start || this.final !== null);
      return { at: whole ? 0 : ring.last, gap: null };
    }
    if (cursor > ring.last && cursor <= this.void) {
      // A cursor of the publisher's previous run: every message of this run is new to the client.
      const at = ring.first - 1;
      return { at, gap: { from: 1, to: Math.max(cursor, at), reason: BEGAN_AGAIN } };
    }
    if (cursor > ring.last) {
      return { at: ring.last, gap: { from: ring.last + 1, to: cursor, reason: "this cursor is from the future" } };
    }
    if (cursor + 1 < ring.first) {
      const at = ring.first - 1;
      return { at, gap: { from: cursor + 1, to: at, reason: "no longer held" } };
    }
    return { at: cursor, gap: null };
  }

  /** Call `waiter` once, at the next change. Returns what takes that back. */
  wait(waiter) {
    this.#waiters.add(waiter);
    return () => this.#waiters.delete(waiter);
  }

  /** Wake the waiters: for a new message, a notice or the end. */
  wake() {
    if (this.#waiters.size === 0) return;
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const waiter of waiters) waiter();
  }

  /** Take over the clients of this channel in the publisher's previous run. */
  inherit(before) {
    this.subscribers = before.subscribers;
    this.void = Math.max(before.ring.last, before.void);
    this.#waiters = before.#waiters;
    for (const subscriber of this.subscribers) subscriber.channel = this;
  }
}
