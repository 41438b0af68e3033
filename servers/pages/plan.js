/* The server's plan: the due time of each message, as it is played. From the demo also each lane's cost for this page.

   The demo sends both over a WebSocket, which takes none of the browser's six HTTP connections. From other servers the
   page requests `/plan/STREAM` once a second. */

import { backoff } from "./backoff.js";
import { path, socketUrl } from "./wire.js";

/** `take({ticks, began, lanes})`: newly known ticks as [id, due in ms]; `began`: ids began again. Returns `{close()}`. */
export function followPlan(demo, stream, page, take) {
  let epoch, socket, timer;
  let at = 0;
  let closed = false;
  const pause = backoff();

  /** Returns whether the answer starts at the right id. */
  function heard({ plan, lanes }) {
    const began = plan.epoch !== epoch;
    if (began && at > 0) {
      at = 0; // a new run of the publisher has new ids: ask from its first one
      return false;
    }
    epoch = plan.epoch;
    at = plan.ticks.at(-1)?.[0] ?? at;
    // Nanoseconds beyond 2^53 lose a quarter of a microsecond.
    take({ ticks: plan.ticks.map(([id, due_ns]) => [id, due_ns / 1e6]), began, lanes });
    return true;
  }

  function watch() {
    socket = new WebSocket(socketUrl(path(`/demo/watch/${stream}`, { since: at, page })));
    socket.onmessage = (event) => {
      pause.reset();
      if (!heard(JSON.parse(event.data))) socket.close();
    };
    socket.onclose = () => {
      if (!closed) timer = setTimeout(watch, pause.next());
    };
  }

  async function ask() {
    try {
      const response = await fetch(path(`/plan/${stream}`, { since: at }), { cache: "no-store" });
      heard({ plan: await response.json() });
      pause.reset();
      timer = setTimeout(ask, closed ? undefined : 1000);
    } catch {
      timer = setTimeout(ask, pause.next());
    }
    if (closed) clearTimeout(timer);
  }

  if (demo) watch();
  else ask();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      socket?.close();
    },
  };
}
