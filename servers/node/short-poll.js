/* Short polling on node:http: answered at once with the new messages, or with 304. */

import { send } from "./answer.js";
import { answer, encoder, nothing, position } from "./poll.js";

export { encoder };
export const prefix = "poll";

export function subscribe(hub, request, response, target) {
  const channel = target.channel(hub, target.stream);
  const cursor = position(request, target);
  const known = request.headers["if-none-match"];
  send(response, answer(channel, cursor, { known }) ?? nothing(cursor));
}
