/* Heartbeats: a fiftieth of the subscribers at a time, since 10,000 at once would delay messages.

   Invariant: a late timer does not delay the turns after it: a round takes its period, however busy the machine. */

const TURNS = 50;

/** The subscribers whose heartbeat has one period. */
export class Round {
  #turns = Array.from({ length: TURNS }, () => new Set());
  #next = 0;
  #now = 0;

  constructor(seconds, data) {
    const step = (1000 * seconds) / TURNS;
    let due = performance.now() + step;
    setInterval(() => {
      const now = performance.now();
      due = Math.max(due, now - 1000 * seconds); // after a standstill one round, not all that were missed
      for (; due <= now; due += step) this.#beat(data);
    }, step);
  }

  #beat(data) {
    for (const subscriber of this.#turns[this.#now]) subscriber.write(data);
    this.#now = (this.#now + 1) % TURNS;
  }

  /** Give a subscriber its turn. Returns what takes it away. */
  join(subscriber) {
    const turn = this.#turns[this.#next];
    this.#next = (this.#next + 1) % TURNS;
    turn.add(subscriber);
    return () => turn.delete(subscriber);
  }
}
