// A batch of streams through this browser's EventSource: [[path, [types]]] in, [[[type, data, lastEventId]]] out.
const [batch, done] = arguments;
const results = batch.map(() => []);
let next = 0;
let open = 0;

function begin() {
  while (open < 6 && next < batch.length) {
    const number = next++;
    const [path, types] = batch[number];
    const source = new EventSource(path);
    open++;
    const take = (event) => {
      if (event instanceof MessageEvent) results[number].push([event.type, event.data, event.lastEventId]);
    };
    for (const type of types) source.addEventListener(type, take);
    // A stream may have events of the type `error`, too.
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) return;
      source.close();
      open--;
      if (next === batch.length && open === 0) done(results);
      else begin();
    });
  }
}
begin();
