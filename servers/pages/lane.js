/* One lane of the race: messages, their arrival times, the age of the data. It uses neither page nor connection. */

import { Audit } from "./audit.js";

const KEEP_MS = 60_000;
const SAME_MS = 30; // closer steps are merged: less than a pixel

export class Lane {
  constructor(transport) {
    this.transport = transport;
    this.restart();
  }

  /** Clears everything. */
  restart() {
    this.audit = new Audit();
    this.reconnects = 0;
    this.away = null; // the current disconnection: {at, newest}
    this.bands = []; // times without a connection or without writes: {from, to, kind}
    this.cost = { down: NaN, up: NaN, requests: NaN };
    this.forget();
  }

  /** Ids begin again: drops the known due times. */
  forget() {
    this.unresolved = []; // [id, arrival] of messages without a due time yet
    this.steps = []; // [arrival, due time] of the newest message held from then on
    this.ages = []; // [arrival, age]
  }

  message(id, at) {
    this.audit.take(id);
    this.unresolved.push([id, at]);
  }

  /** Gives messages their due times. `dues`: due time by id. */
  resolve(dues, now) {
    this.unresolved = this.unresolved.filter(([id, at]) => {
      const due = dues.get(id);
      if (due === undefined) return at > now - KEEP_MS;
      this.ages.push([at, at - due]);
      const last = this.steps.at(-1);
      if (last && due <= last[1]) return false;
      if (last && at - last[0] < SAME_MS) last[1] = due;
      else this.steps.push([at, due]);
      return false;
    });
    const from = now - KEEP_MS;
    while (this.steps.length > 1 && this.steps[1][0] < from) this.steps.shift();
    while (this.ages.length && this.ages[0][0] < from) this.ages.shift();
    while (this.bands.length && this.bands[0].to < from) this.bands.shift();
  }

  /** The age of the newest message held at `now`, in ms. */
  age(now) {
    const step = this.steps.at(-1);
    return step ? Math.max(0, now - step[1]) : NaN;
  }

  /** The age over time as [time, age]: it grows with time and falls with each message. */
  points(now, span_ms) {
    const from = now - span_ms;
    const points = [];
    let held = null;
    for (const [at, due] of this.steps) {
      if (at >= from) {
        if (held !== null) points.push([at, at - held]);
        points.push([at, at - due]);
      } else {
        points.length = 0;
        points.push([from, from - due]);
      }
      held = due;
    }
    if (held !== null) points.push([now, Math.max(0, now - held)]);
    return points;
  }

  /** The highest age since `since`, in ms. */
  oldest(since, now) {
    return Math.max(0, ...this.points(now, now - since).map(([, age]) => age));
  }

  /** The median age on arrival within the last minute, in ms. */
  median() {
    if (!this.ages.length) return NaN;
    const sorted = this.ages.map(([, age]) => age).sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /** Begins a band of that kind, or ends the open one. */
  band(kind, open, at) {
    const last = this.bands.findLast((band) => band.kind === kind);
    const running = last !== undefined && last.to === undefined;
    if (open && !running) this.bands.push({ from: at, to: undefined, kind });
    if (!open && running) last.to = at;
  }
}
