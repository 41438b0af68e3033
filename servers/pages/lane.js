/* One lane of the race: what came, when, and how old the data was. Knows no page and no connection. */

import { Audit } from "./audit.js";

const KEEP_MS = 60_000;
const SAME_MS = 30; // steps closer than this are one: less than a pixel

export class Lane {
  constructor(transport) {
    this.transport = transport;
    this.restart();
  }

  /** Everything from the start. */
  restart() {
    this.audit = new Audit();
    this.reconnects = 0;
    this.away = null; // since when it is not connected: {at, newest}
    this.bands = []; // when it was not connected or the server did not write: {from, to, kind}
    this.cost = { down: NaN, up: NaN, requests: NaN };
    this.forget();
  }

  /** Ids begin again: what is known of their due times is void. */
  forget() {
    this.unresolved = []; // [id, when it came], its due time not known yet
    this.steps = []; // [when it came, when that was due]: what the page held from then on
    this.ages = []; // [when it came, how old it was]
  }

  message(id, at) {
    this.audit.take(id);
    this.unresolved.push([id, at]);
  }

  /** `dues`: due time by id. What came before its due time was known gets it now. */
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

  /** The age of the newest message that the page held then, in ms. */
  age(now) {
    const step = this.steps.at(-1);
    return step ? Math.max(0, now - step[1]) : NaN;
  }

  /** The age over time as [time, age]: it grows as time does, and falls with each message. */
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

  /** The highest age since then, in ms. */
  oldest(since, now) {
    return Math.max(0, ...this.points(now, now - since).map(([, age]) => age));
  }

  /** The median age on arrival within the last minute, in ms. */
  median() {
    if (!this.ages.length) return NaN;
    const sorted = this.ages.map(([, age]) => age).sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /** A band of that kind begins, or the one that is open ends. */
  band(kind, open, at) {
    const last = this.bands.findLast((band) => band.kind === kind);
    const running = last !== undefined && last.to === undefined;
    if (open && !running) this.bands.push({ from: at, to: undefined, kind });
    if (!open && running) last.to = at;
  }
}
