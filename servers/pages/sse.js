/* Server-Sent Events. The browser reconnects by itself and sends its cursor (Last-Event-ID). */

import { backoff } from "./backoff.js";
import { where } from "./wire.js";

export function sse(stream, hears, { since, page } = {}) {
  let source, timer;
  let at = since;
  const pause = backoff();

  function connect() {
    hears.state("connecting");
    source = new EventSource(where("sse", stream, { since: at, page }));
    source.onopen = () => {
      pause.reset();
      hears.state("open");
    };
    source.onmessage = (event) => {
      at = Number(event.lastEventId);
      hears.message(at, event.data);
    };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        hears.state("waiting");
        return;
      }
      // Any answer but an event stream ends an EventSource for good (WHATWG 9.2.2): the page opens a new one.
      const wait_ms = pause.next();
      hears.state("waiting", wait_ms);
      timer = setTimeout(connect, wait_ms);
    };
    for (const kind of ["gap", "retry", "end", "failure"]) {
      source.addEventListener(kind, (event) => {
        hears.notice(kind, JSON.parse(event.data));
        if (kind === "end" || kind === "failure") {
          source.close(); // an EventSource would reconnect
          hears.state(kind === "end" ? "ended" : "failed");
        }
      });
    }
  }

  connect();
  return {
    close() {
      clearTimeout(timer);
      source.close();
    },
  };
}
