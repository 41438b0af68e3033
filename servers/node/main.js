/* Node as a subject of rtbench: `node --expose-gc main.js OPTIONS`, where OPTIONS is one JSON object.

   Invariant: the line on standard output (`{"url", "uses"}`) is printed when the server accepts and its ring is
   refilled; after SIGTERM or SIGINT the process is gone within two seconds. One process, one thread of JavaScript. */

import { once } from "node:events";
import { writeSync } from "node:fs";
import { createRequire } from "node:module";

import { follow } from "./feed.js";
import { Guard } from "./guard.js";
import { Hub } from "./hub.js";
import { listen, serverOf, USES } from "./server.js";

const TRANSPORTS = ["sse", "websocket", "short-poll", "long-poll"];
const FAREWELL_MS = 1200;

const options = parse(process.argv[2]);
const { limits } = options;
const transport = await import(`./${options.transport}.js`);
const hub = new Hub(transport.encoder, limits, options.streams ?? {});
const guard = new Guard(options.bounds, options.allow_origin ?? []);
const server = serverOf(hub, transport, guard, options.tls);

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
process.on("SIGUSR2", () => globalThis.gc?.()); // memory is read in a declared state (R4); SIGUSR1 is Node's own
follow(options.ingest, hub);
await once(hub, "live");
const url = await listen(server, options).catch(({ code }) => {
  refuse(`cannot listen on ${options.host}:${options.port} (${code}): free that port or take --port 0`);
});
process.on("exit", () => {
  try {
    writeSync(1, `${JSON.stringify({ refused: guard.refused })}\n`);
  } catch {} // the process that started it is away
});
process.stdout.write(`${JSON.stringify({ url, uses: uses() })}\n`);

function parse(text) {
  let found;
  try {
    found = JSON.parse(text ?? "");
  } catch (error) {
    refuse(`the options are missing or wrong (${error.message}): give one JSON object`);
  }
  if (!TRANSPORTS.includes(found.transport)) refuse(`transport must be one of ${TRANSPORTS.join(", ")}`);
  for (const name of ["host", "port", "ingest", "limits", "bounds"]) {
    if (found[name] === undefined) refuse(`the options lack ${name}`);
  }
  return found;
}

/** What the user can correct: one line, exit code 2. */
function refuse(message) {
  process.stderr.write(`rtbench: ${message}\n`);
  process.exit(2);
}

/** What this process uses (R11), for the trial's manifest. */
function uses() {
  const { node, v8, uv } = process.versions;
  const ws = createRequire(import.meta.url)("ws/package.json").version;
  return {
    loop: `libuv ${uv}`,
    stack: `node ${node}${options.transport === "websocket" ? `, ws ${ws}` : ""}`,
    v8,
    technique: "encode-once",
    ...USES,
    access_log: false,
    compression: "none",
    slow_consumer: "drop",
    ...limits,
    ...options.bounds,
    allow_origin: guard.pages,
  };
}

function stop() {
  setTimeout(() => process.exit(0), FAREWELL_MS);
  hub.stop();
  server.close(() => process.exit(0)); // once every connection is closed
  server.closeIdleConnections();
}
