/* How long to wait before trying again: twice as long each time, half of it by chance, so that a thousand clients that
   lost one server do not come back together. An EventSource does without: its pause is fixed (`retry:`, else 3 s). */

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
