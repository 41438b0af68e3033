/* WebSocket. The page itself keeps the cursor, reconnects and backs off. */

import { backoff } from "./backoff.js";
import { socketUrl, where } from "./wire.js";

const ENDED = 1000, FAILED = 1011; // RFC 6455 §7.4.1

export function websocket(stream, hears, { since, page } = {}) {
  let socket, timer;
  let at = since;
  let closed = false;
  const pause = backoff();

  function connect() {
    hears.state("connecting");
    socket = new WebSocket(socketUrl(where("websocket", stream, { since: at, page })));
    socket.onopen = () => {
      pause.reset();
      hears.state("open");
    };
    socket.onmessage = (event) => {
      const { id, data, control, ...fields } = JSON.parse(event.data);
      if (control !== undefined) {
        hears.notice(control, fields);
        return;
      }
      at = id;
      hears.message(id, typeof data === "string" ? data : JSON.stringify(data));
    };
    socket.onclose = (event) => {
      if (closed) return;
      if (event.code === ENDED || event.code === FAILED) {
        hears.state(event.code === ENDED ? "ended" : "failed");
        return;
      }
      const wait_ms = pause.next();
      hears.state("waiting", wait_ms);
      timer = setTimeout(connect, wait_ms);
    };
  }

  connect();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      socket.close();
    },
  };
}
