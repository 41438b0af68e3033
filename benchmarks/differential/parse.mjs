// Event streams through npm's eventsource-parser: lines of {"pieces": [base64]} in, lines of [[type, data, id]] out.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { createParser } = await import(pathToFileURL(process.argv[2]).href);
for await (const line of createInterface({ input: process.stdin })) {
  const events = [];
  let last = "";
  const parser = createParser({
    onId: (id) => (last = id),
    onEvent: (event) => events.push([event.event ?? "message", event.data, last]),
  });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const piece of JSON.parse(line).pieces) parser.feed(decoder.decode(Buffer.from(piece, "base64"), { stream: true }));
  parser.feed(decoder.decode());
  process.stdout.write(JSON.stringify(events) + "\n");
}
