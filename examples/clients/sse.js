// Server-Sent Events with the browser's EventSource, which reconnects and resumes by itself.

export function listen(url, hear) {
  const source = new EventSource(`${url}?since=0`);
  source.onmessage = (event) => hear(Number(event.lastEventId), JSON.parse(event.data));
  source.addEventListener("gap", (event) => console.warn("lost:", event.data));
  for (const over of ["end", "failure"]) source.addEventListener(over, () => source.close());
}
