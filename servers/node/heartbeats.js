/* Heartbeats: a fiftieth of the subscribers at a time, since 10,000 at once would delay messages. */

const TURNS = 50;

/** The subscribers whose heartbeat has one period. */
export class Round {
  #turns = Array.from({ length: TURNS }, () => new Set());
  #next = 0;
  #now = 0;

  constructor(seconds, data) {
    setInterval(() => {
      for (const subscriber of this.#turns[this.#now]) subscriber.write(data);
      this.#now = (this.#now + 1) % TURNS;
    }, (1000 * seconds) / TURNS);
  }

  /** Give a subscriber its turn. Returns what takes it away. */
  join(subscriber) {
    const turn = this.#turns[this.#next];
    this.#next = (this.#next + 1) % TURNS;
    turn.add(subscriber);
    return () => turn.delete(subscriber);
  }
}
