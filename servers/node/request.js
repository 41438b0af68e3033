/* What a request asks for: its path, its parameters, its method. What is wrong is refused (docs/interface.md). */

import { Refusal } from "./answer.js";

/** A request's path and parameters. Throws Refusal. */
export class Target {
  constructor({ url }) {
    const mark = url.indexOf("?");
    this.query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    try {
      [, ...this.parts] = (mark < 0 ? url : url.slice(0, mark)).split("/").map(decodeURIComponent);
    } catch {
      throw new Refusal(400, "the path is not UTF-8");
    }
  }

  /** Whether it is `/prefix/STREAM`. */
  names(prefix) {
    return this.parts.length === 2 && this.parts[0] === prefix;
  }

  /** Whether it is `/STREAM`, as the article's routes are. */
  get isAlias() {
    return this.parts.length === 1 && this.parts[0] !== "";
  }

  get stream() {
    return this.parts.at(-1);
  }

  /** The channel of a stream: `?channel=`, else its first. */
  channel(hub, stream) {
    if (!hub.has(stream)) {
      throw new Refusal(404, `unknown stream '${stream.slice(0, 40)}'; choose one of ${hub.names.join(", ")}`);
    }
    const index = number(this.query.get("channel") ?? "0", "channel");
    const channel = hub.find(stream, index);
    if (channel === undefined) throw new Refusal(404, `${stream} has no channel ${index}`);
    return channel;
  }

  /** `?since=`; null without. */
  get since() {
    const text = this.query.get("since");
    return text === null ? null : number(text, "since");
  }
}

/** A decimal number from 0. */
export function number(text, name) {
  if (!/^\d{1,18}$/.test(text)) {
    throw new Refusal(400, `${name} must be a whole number from 0, not '${text.slice(0, 40)}'`);
  }
  return Number(text);
}

/** A number of seconds from 0 to `most`. */
export function seconds(text, name, most) {
  const value = /^\d*\.?\d+(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(value <= most)) {
    throw new Refusal(400, `${name} must be a number of seconds from 0 to ${most}, not '${text.slice(0, 40)}'`);
  }
  return value;
}

export function onlyGet({ method }) {
  if (method !== "GET") throw new Refusal(405, `${method} is not allowed here`, { Allow: "GET" });
}
