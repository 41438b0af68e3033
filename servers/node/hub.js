/* The hub: channels, their rings and their subscribers (servers/kit/hub.py).

   Invariant: a message is encoded once, kept in the ring, and written to each of its channel's subscribers in one
   write. Everything happens on one thread, and a subscriber that catches up reads from the ring, so no message is lost
   between replay and live. */

import { EventEmitter } from "node:events";

import { BEGAN_AGAIN, Channel } from "./channel.js";
import { offsetNs } from "./clock.js";
import { Round } from "./heartbeats.js";
import { Budget, Ring } from "./ring.js";

/** Emits "live" when the publisher has refilled the rings. */
export class Hub extends EventEmitter {
  channels = [];
  stopping = false;
  #streams = new Map();
  #run = "";
  #rounds = new Map();
  #dropped = 0;

  /** `kinds`: what is known of each stream (rtbench/streams). */
  constructor(encoder, limits, kinds) {
    super();
    this.encoder = encoder;
    this.limits = limits;
    this.kinds = kinds;
  }

  // The feed

  /** The publisher (re)connected. Another epoch is another run of it: ids begin again, and subscribers get a gap. */
  hello(text) {
    const { epoch, boot_id, workload } = JSON.parse(text);
    const seed = /"seed":\s*(-?\d+)/.exec(text)[1]; // of any size: not a Number
    const run = `"seed":${seed},"epoch":${JSON.stringify(epoch)},"boot_id":${JSON.stringify(boot_id)}`;
    if (run === this.#run) return;
    this.#run = run;
    const before = this.channels;
    this.#open(workload);
    for (const old of before) {
      const channel = this.find(old.stream, old.index);
      if (channel === undefined) {
        for (const subscriber of [...old.subscribers]) subscriber.finish("stop");
        old.wake();
        continue;
      }
      channel.inherit(old);
      if (channel.void > 0) this.#tell(channel, "gap", { from: 1, to: channel.void, reason: BEGAN_AGAIN });
      channel.wake();
    }
  }

  /** Broadcast: a channel each stream. Unicast: one each subscriber, streams in turn (rtbench/workload.py). */
  #open({ streams, subscribers, pace: [channels] }) {
    const budget = new Budget(this.limits.ring_bytes);
    const count = channels === "unicast" ? Math.max(subscribers, streams.length) : streams.length;
    this.channels = [];
    this.#streams = new Map(streams.map((name) => [name, []]));
    for (let number = 0; number < count; number++) {
      const name = streams[number % streams.length];
      const kind = this.kinds[name] ?? {};
      const ring = new Ring(budget, this.limits.ring_messages, kind.finite ?? false);
      const siblings = this.#streams.get(name);
      const channel = new Channel(name, siblings.length, kind, ring);
      siblings.push(channel);
      this.channels.push(channel);
    }
  }

  /** The ticks and notices of one feed frame: encode once, keep, write to all. Polls wake once a frame and channel. */
  publish(ticks) {
    let current = null;
    for (const { channel: number, seq, dueNs, payload } of ticks) {
      const channel = this.channels[number];
      if (channel === undefined) throw new RangeError(`unknown channel ${number}`);
      if (channel !== current) {
        current?.wake();
        current = channel;
      }
      const { last } = channel.ring;
      if (seq === 0) {
        this.#say(channel, JSON.parse(payload));
      } else if (seq > last) {
        if (last > 0 && seq > last + 1) this.#miss(channel, { from: last + 1, to: seq - 1, reason: "no longer held" });
        const data = this.encoder.message(seq, payload);
        channel.ring.append(seq, dueNs, data);
        channel.advice = null;
        for (const subscriber of channel.subscribers) subscriber.write(data);
      } // else the ring has it: the refill repeats it
    }
    current?.wake();
  }

  /** A notice of the stream; a repetition after a refill changes nothing. */
  #say(channel, { control: kind, ...fields }) {
    const again = kind === "retry" && JSON.stringify(fields) === JSON.stringify(channel.advice);
    if (channel.final !== null || again) return;
    const over = kind !== "retry";
    if (over) channel.final = { kind, fields };
    channel.advice = over ? null : fields;
    this.#tell(channel, kind, fields);
    if (over) for (const subscriber of [...channel.subscribers]) subscriber.finish(kind);
  }

  /** The feed was away for longer than the publisher's ring holds. */
  #miss(channel, gap) {
    channel.ring.clear();
    this.#tell(channel, "gap", gap);
  }

  #tell(channel, kind, fields) {
    if (channel.subscribers.size === 0) return;
    const data = this.encoder.control(kind, fields);
    for (const subscriber of channel.subscribers) subscriber.write(data);
  }

  // Subscribers

  get names() {
    return [...this.#streams.keys()];
  }

  has(stream) {
    return this.#streams.has(stream);
  }

  find(stream, index) {
    return this.#streams.get(stream)?.[index];
  }

  /** From now on this subscriber gets messages and heartbeats. Returns what ends that. */
  admit(subscriber) {
    const seconds = subscriber.channel.kind.heartbeat_s ?? this.limits.heartbeat_s;
    if (!this.#rounds.has(seconds)) this.#rounds.set(seconds, new Round(seconds, this.encoder.heartbeat));
    const leave = this.#rounds.get(seconds).join(subscriber);
    subscriber.channel.subscribers.add(subscriber);
    return () => {
      subscriber.channel.subscribers.delete(subscriber);
      leave();
    };
  }

  /** Log a slow consumer that was cut off. */
  dropped(channel, why, held) {
    this.#dropped += 1;
    console.error(`dropped a slow consumer of ${channel.query}: ${why}; it held ${held} bytes (number ${this.#dropped})`);
  }

  /** Shut down: subscribers get the transport's farewell, waiting polls an answer. */
  stop() {
    this.stopping = true;
    for (const channel of this.channels) {
      for (const subscriber of [...channel.subscribers]) subscriber.finish("stop");
      channel.wake();
    }
  }

  /** The answer to GET /plan/STREAM: when each held message was due, in Unix time. */
  plan(channel, since) {
    const offset = offsetNs();
    const ticks = channel.ring.after(since).map(({ seq, dueNs }) => `[${seq},${dueNs + offset}]`);
    return `{${this.#run},"ticks":[${ticks.join(",")}]}`;
  }
}
