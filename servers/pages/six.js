/* The limit of six connections: opens EventSources one after the other until one has to wait, then closes another. The
   waiting one opens at once: the browser held it back, not the server. */

import { where } from "./wire.js";
import { duration, element, put } from "./words.js";

const WAIT_MS = 3000;
const MOST = 12; // a browser that opens so many has another limit, or HTTP/2

/** Returns `{opened, after_ms}`. `held`: the page's other open EventSources. Fills the <ol> `list`. */
export async function openUntilOneWaits(stream, held, list, say) {
  const sources = [];
  list.replaceChildren();
  for (let n = 0; n < held; n += 1) list.append(slot("open", "this page’s lane of Server-Sent Events"));
  try {
    while (sources.length + held < MOST) {
      const item = slot("waiting", "waiting");
      list.append(item);
      const source = new EventSource(where("sse", stream));
      sources.push(source);
      const opened = new Promise((resolve) => { source.onopen = resolve; });
      const began = performance.now();
      const waited = setInterval(() => put(item.lastChild, `waiting ${duration(performance.now() - began)}`), 100);
      const open = await Promise.race([opened.then(() => true), after(WAIT_MS)]);
      clearInterval(waited);
      if (open) {
        mark(item, "open", `open after ${duration(performance.now() - began)}`);
        continue;
      }
      const others = sources.length - 1 + held;
      put(item.lastChild, `has waited ${duration(performance.now() - began)}`);
      say(`${others} are open, number ${others + 1} waits. Now the page closes the last one that opened.`);
      await after(500);
      const freed = performance.now();
      sources.at(-2).close();
      mark(list.children[others - 1], "closed", "closed, to make room");
      const late = await Promise.race([opened.then(() => false), after(WAIT_MS).then(() => true)]);
      if (late) {
        say(`${others} are open; number ${others + 1} waits although one was closed.`);
        return { opened: others, after_ms: NaN };
      }
      const after_ms = performance.now() - freed;
      mark(item, "open", `open ${duration(after_ms)} after another was closed`);
      return { opened: others, after_ms };
    }
    return { opened: sources.length + held, after_ms: NaN };
  } finally {
    await after(1500); // long enough to read
    for (const source of sources) source.close();
  }
}

function slot(state, text) {
  const item = element("li");
  item.append(element("span", "", text));
  item.dataset.state = state;
  return item;
}

function mark(item, state, text) {
  item.dataset.state = state;
  put(item.lastChild, text);
}

function after(ms) {
  return new Promise((resolve) => { setTimeout(() => resolve(false), ms); });
}
