/* Long polling on node:http: a request waits for a new message, or until its time is up. */

import { bare, send } from "./answer.js";
import { answer, encoder, position } from "./poll.js";
import { seconds } from "./request.js";

const DEFAULT_S = "25";
const LONGEST_S = 300;

export { encoder };
export const prefix = "long-poll";

export function subscribe(hub, request, response, target) {
  const channel = target.channel(hub, target.stream);
  const cursor = position(request, target);
  const timeout_s = seconds(target.query.get("timeout") ?? DEFAULT_S, "timeout", LONGEST_S);
  // Without a cursor, answer at once with the current one; with a cursor, wait for messages newer than it.
  // Retry advice ends a wait but does not prevent it: a client that asks again at once would spin.
  const now = answer(channel, cursor, { advise: false });
  if (now !== null) send(response, now);
  else wait(hub, channel, cursor, timeout_s, response);
}

/** Answer when something is new, or when the time is up; never when the client has left. */
function wait(hub, channel, cursor, timeout_s, response) {
  const timer = setTimeout(over, 1000 * timeout_s);
  const forget = channel.wait(over);
  response.on("close", leave);
  if (hub.stopping) over();

  function leave() {
    clearTimeout(timer);
    forget();
  }

  function over() {
    const { socket } = response;
    leave();
    if (hub.stopping) response.on("finish", () => socket.end());
    const current = hub.find(channel.stream, channel.index) ?? channel; // of the publisher's present run
    send(response, answer(current, cursor) ?? bare(204));
  }
}
