// Long polling with fetch.

export async function listen(url, hear) {
  for (let since = 0; ; ) {
    try {
      const response = await fetch(`${url}?since=${since}&timeout=25`, { signal: AbortSignal.timeout(45_000) });
      if (response.status === 204) continue; // nothing new
      if (response.status === 503) return; // failed for good
      if (response.status < 500) {
        const { messages, next, gap, end } = await response.json();
        if (gap) console.warn("lost:", gap);
        for (const { id, data } of messages) hear(id, data);
        since = next;
        if (end) return;
        continue;
      }
    } catch {} // no answer
    await new Promise((resolve) => setTimeout(resolve, 500 + 1000 * Math.random()));
  }
}
