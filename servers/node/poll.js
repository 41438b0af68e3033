/* How polls are answered: one JSON object with everything since the cursor; 304 or 204 when nothing is new. */

import { bare, json } from "./answer.js";
import { wrap } from "./envelope.js";

const RETRY_AFTER_S = 5;

/** Messages are held as text, a member of `messages` each. Notices go into the next answers: `control` writes none. */
export const encoder = {
  heartbeat: "",

  message(seq, payload) {
    return wrap(seq, payload).toString();
  },

  control() {
    return "";
  },
};

/** The cursor: `?since`, else the client's ETag. */
export function position(request, target) {
  const since = target.since;
  const known = request.headers["if-none-match"];
  if (since !== null || known === undefined) return since;
  const found = /^(?:W\/)?"(\d{1,18})"$/.exec(known);
  return found === null ? null : Number(found[1]);
}

/** What a poll gets; null to wait for news. After a failure 503.

    `known` is the client's ETag. `advise`: retry advice alone makes an answer. */
export function answer(channel, cursor, { known, advise = true } = {}) {
  const { at, gap } = channel.start(cursor);
  const held = channel.ring.after(at);
  const next = held.length > 0 ? held.at(-1).seq : at;
  const tag = `"${next}"`;
  const over = channel.final !== null;
  if (held.length === 0 && gap === null) {
    if (channel.failure !== null) return json(503, JSON.stringify(channel.failure), { "Retry-After": RETRY_AFTER_S });
    // A client that has every message may not know yet that the stream ended or that its source is failing.
    const news = over || (advise && channel.advice !== null);
    if (known === tag && !news) return bare(304, { ETag: tag });
    if (cursor !== null && !news) return null;
  }
  return found(tag, body(held, next, gap, over && channel.failure === null, channel.advice));
}

/** The answer without a message. */
export function nothing(cursor) {
  return found(`"${cursor}"`, body([], cursor, null, false, null));
}

function found(tag, text) {
  return json(200, text, { "ETag": tag, "Cache-Control": "no-cache" });
}

function body(held, next, gap, end, advice) {
  const messages = held.map(({ data }) => data).join();
  const retry = advice === null ? "" : `,"retry":${JSON.stringify(advice)}`;
  return `{"messages":[${messages}],"next":${next},"gap":${JSON.stringify(gap)},"end":${end}${retry}}`;
}
