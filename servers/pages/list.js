/* The article's live list: an EventSource, the newest fifty messages, and the state of the connection.

   A server without Server-Sent Events shows its own transport instead. */

import { Audit } from "./audit.js";
import { subscribe } from "./subscribe.js";
import { NAMES, server, whenLeft } from "./wire.js";
import { clock, duration, element, put, stateName } from "./words.js";

const NEWEST = 50, EVENTS = 8;
const $ = (id) => document.getElementById(id);

let subscription, audit, lostSince, opened, held = [];

function start(stream) {
  subscription?.close();
  audit = new Audit();
  lostSince = null;
  opened = 0;
  held = [];
  $("list").replaceChildren();
  $("log").replaceChildren();
  count();
  subscription = subscribe(transport, stream, { state, message, notice });
}

function state(name, wait_ms) {
  if (name === $("state").dataset.state && name !== "waiting") return;
  $("state").dataset.state = name;
  put($("state"), stateName(name, wait_ms));
  if (name === "open") {
    opened += 1;
    const after = audit.newest === null ? "" : `, continues after ${audit.newest}`;
    note(lostSince === null ? `open${after}` : `open again after ${duration(Date.now() - lostSince)}${after}`);
    lostSince = null;
    count();
  } else if (name === "waiting" && lostSince === null) {
    lostSince = Date.now();
    note("connection lost; reconnecting");
  } else if (name === "ended") {
    note(`ended by the server after ${audit.newest ?? 0}`);
  }
}

function message(id, text) {
  audit.take(id);
  const item = element("li");
  item.dataset.id = id;
  item.append(element("span", "id", `${id}`), element("time", "", clock(Date.now(), true)), element("code", "", text));
  held.push(item);
  if (held.length > NEWEST) held.shift();
  if (!holding()) show();
  count();
}

function notice(kind, fields) {
  if (kind === "gap") audit.gap(fields);
  if (kind === "gap") note(`${fields.from} to ${fields.to}: ${fields.reason}`);
  if (kind === "retry") note(`the stream’s source failed; the server advises a retry after ${duration(fields.after_ms)}`);
  if (kind === "failure") note(`the stream’s source failed for good${fields.error ? `: ${fields.error}` : ""}`);
}

function show() {
  $("list").prepend(...held.reverse());
  held = [];
  while ($("list").childElementCount > NEWEST) $("list").lastChild.remove();
}

function count() {
  put($("messages"), `${audit.messages}`);
  put($("lost"), `${audit.lost}`);
  put($("repeated"), `${audit.repeated}`);
  put($("reconnects"), `${Math.max(0, opened - 1)}`);
}

function note(text) {
  const item = element("li");
  item.append(element("time", "", clock(Date.now())), element("span", "", text));
  $("log").prepend(item);
  while ($("log").childElementCount > EVENTS) $("log").lastChild.remove();
}

const holding = () => $("hold").getAttribute("aria-pressed") === "true";

$("hold").addEventListener("click", () => {
  $("hold").setAttribute("aria-pressed", `${!holding()}`);
  if (!holding()) show();
});
$("tools").addEventListener("submit", (event) => event.preventDefault());
whenLeft(() => subscription?.close());
$("stream").addEventListener("change", () => start($("stream").value));

const about = await server();
const transport = about.transports[0];
put($("transport"), transport === "sse" ? "EventSource" : NAMES[transport]);
$("stream").append(...about.streams.map(({ name }) => new Option(name, name, false, name === "stocks")));
start($("stream").value);
