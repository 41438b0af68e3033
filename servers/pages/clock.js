/* Whether this browser's clock is the server's. Ages are the server's due times taken from the browser's clock: on one
   machine that is one clock, and correcting it by a measured difference would only add that measurement's error. */

import { server } from "./wire.js";

const TRIES = 6;
const GRAIN_MS = 1; // of Date.now()

/** `{offset_ms, within_ms, same}`: what to add to Date.now() to get the server's time; 0 where one clock explains all. */
export async function compare() {
  let best = { within_ms: Infinity };
  for (let n = 0; n < TRIES; n += 1) {
    const asked = Date.now(), began = performance.now();
    const { now_ns } = await server();
    const took = performance.now() - began;
    // The server looked at its clock somewhere between: the middle is right to within half of what it took.
    if (took / 2 < best.within_ms) best = { offset_ms: now_ns / 1e6 - (asked + took / 2), within_ms: took / 2 };
  }
  const same = Math.abs(best.offset_ms) <= best.within_ms + GRAIN_MS;
  return same ? { ...best, offset_ms: 0, same } : { ...best, same };
}
