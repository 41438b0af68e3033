/* The server's paths, and its description. */

const PREFIX = { "sse": "/sse", "websocket": "/ws", "short-poll": "/poll", "long-poll": "/long-poll" };

export const NAMES = {
  "sse": "Server-Sent Events",
  "websocket": "WebSocket",
  "short-poll": "Short polling",
  "long-poll": "Long polling",
};

/** The name within a sentence. */
export function inWords(transport) {
  return NAMES[transport].replace(/^(Short|Long)/, (word) => word.toLowerCase());
}

/** A path with those members of `query` that have a value. */
export function path(base, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given).toString();
  return text ? `${base}?${text}` : base;
}

/** The path of a subscription over one transport. */
export function where(transport, stream, query) {
  return path(`${PREFIX[transport]}/${stream}`, query);
}

/** The same host and port, for a WebSocket. */
export function socketUrl(target) {
  const url = new URL(target, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** The description of this server: `{subject, transports, streams, demo, now_ns}`. */
export async function server() {
  const response = await fetch("/pages/server.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

/** Calls `close` when the page is left: a browser keeps a page for its back button, together with its connections, and
    has only six. A page from the back button reloads. */
export function whenLeft(close) {
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}
