/* Short and long polling: the same answers, requested at a set interval or again after each answer.
   The page itself keeps the cursor, backs off after failures and limits the time of an answer. */

import { backoff } from "./backoff.js";
import { where } from "./wire.js";

const LONG_S = 25; // how long a long poll may wait for a new message
const PATIENCE_MS = 10_000; // how long an answer may take beyond that

/** `interval_ms()` gives the interval of short polls; it is called before each. */
export function shortPoll(stream, hears, options = {}) {
  return poll("short-poll", stream, hears, options);
}

export function longPoll(stream, hears, options = {}) {
  return poll("long-poll", stream, hears, { ...options, interval_ms: () => 0, timeout: LONG_S });
}

function poll(transport, stream, hears, { since, page, timeout, interval_ms = () => 1000 }) {
  const over = new AbortController();
  const pause = backoff();
  let at = since;

  /** Sends one poll and passes its answer on. Returns whether more may follow. */
  async function ask() {
    const late = AbortSignal.timeout(PATIENCE_MS + 1000 * (timeout ?? 0));
    const response = await fetch(where(transport, stream, { since: at, timeout, page }), {
      cache: "no-store",
      headers: at === undefined ? {} : { "If-None-Match": `"${at}"` },
      signal: AbortSignal.any([over.signal, late]),
    });
    if (response.status === 503 || (response.status >= 400 && response.status < 500)) {
      hears.notice("failure", await response.json());
      hears.state("failed");
      return false;
    }
    if (response.status >= 500) throw new Error(`the server answered ${response.status}`);
    const news = response.status === 200 ? await response.json() : { messages: [] };
    hears.state("open");
    if (news.gap) hears.notice("gap", news.gap);
    for (const { id, data } of news.messages) hears.message(id, typeof data === "string" ? data : JSON.stringify(data));
    at = news.next ?? at;
    if (news.retry) hears.notice("retry", news.retry);
    if (news.end) {
      hears.notice("end", { last: at });
      hears.state("ended");
    }
    return !news.end;
  }

  async function run() {
    hears.state("connecting");
    let due = performance.now();
    for (;;) {
      let wait_ms;
      try {
        if (!(await ask())) return;
        pause.reset();
        // Polls keep their timetable: a slow answer does not move the polls after it.
        due = Math.max(due + interval_ms(), performance.now());
        wait_ms = due - performance.now();
      } catch {
        if (over.signal.aborted) return;
        wait_ms = pause.next();
        due = performance.now() + wait_ms;
        hears.state("waiting", wait_ms);
      }
      if (wait_ms > 0 && !(await slept(wait_ms, over.signal))) return;
    }
  }

  run();
  return { close: () => over.abort() };
}

/** Resolves to true after `wait_ms`, or to false at once when `signal` aborts. */
function slept(wait_ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(true), wait_ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(false); }, { once: true });
  });
}
