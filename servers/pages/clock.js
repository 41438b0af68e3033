/* Compares this browser's clock with the server's. An age is the browser's time minus the server's due time. On one
   machine both are one clock, and a correction would only add the error of the comparison. */

import { server } from "./wire.js";

const TRIES = 6;
const GRAIN_MS = 1; // of Date.now()

/** `{offset_ms, within_ms, same}`: add `offset_ms` to Date.now() to get the server's time; 0 if the clocks may be one. */
export async function compare() {
  let best = { within_ms: Infinity };
  for (let n = 0; n < TRIES; n += 1) {
    const asked = Date.now(), began = performance.now();
    const { now_ns } = await server();
    const took = performance.now() - began;
    // The server read its clock between question and answer: the middle is right to within half of the round trip.
    if (took / 2 < best.within_ms) best = { offset_ms: now_ns / 1e6 - (asked + took / 2), within_ms: took / 2 };
  }
  const same = Math.abs(best.offset_ms) <= best.within_ms + GRAIN_MS;
  return same ? { ...best, offset_ms: 0, same } : { ...best, same };
}
