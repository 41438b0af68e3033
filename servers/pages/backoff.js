/* The wait before the next attempt: it doubles each time, and half of it is random, so that a thousand clients of one
   server do not reconnect together. An EventSource has no backoff: its pause is fixed (`retry:`, else 3 s). */

export function backoff(least_ms = 250, most_ms = 8000) {
  let tries = 0;
  return {
    next() {
      const top = Math.min(most_ms, least_ms * 2 ** tries);
      tries += 1;
      return Math.round(top * (0.5 + Math.random() / 2));
    },
    reset() {
      tries = 0;
    },
  };
}
