// Short polling with fetch.

export async function listen(url, hear, interval_ms = 1000) {
  for (let since = 0; ; ) {
    try {
      const response = await fetch(`${url}?since=${since}`, { signal: AbortSignal.timeout(10_000) });
      if (response.status === 503) return; // failed for good
      if (response.status < 500) {
        const { messages, next, gap, end } = await response.json();
        if (gap) console.warn("lost:", gap);
        for (const { id, data } of messages) hear(id, data);
        since = next;
        if (end) return;
      }
    } catch {} // no answer
    await new Promise((resolve) => setTimeout(resolve, interval_ms));
  }
}
