/* One interface to subscribe over any transport.

   `hears` has `state(name, wait_ms)`: connecting, open, waiting (to try again, after wait_ms where the page decides),
   ended or failed; `message(id, text)`; and `notice(kind, fields)`: gap, retry, end or failure. */

import { longPoll, shortPoll } from "./poll.js";
import { sse } from "./sse.js";
import { websocket } from "./websocket.js";

const CLIENTS = { "sse": sse, "websocket": websocket, "short-poll": shortPoll, "long-poll": longPoll };

/** `options`: `since`, the cursor; `page`, its account; `interval_ms()` of short polls. Returns `{close()}`. */
export function subscribe(transport, stream, hears, options) {
  return CLIENTS[transport](stream, hears, options);
}
