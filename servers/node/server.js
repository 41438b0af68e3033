/* The node:http server of one transport: its subscriptions, /plan/STREAM, and an answer to everything else.

   Invariant: an idle connection is cut after `idle_s` (node:http's own limit is 5 s), a late head after `head_s`. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

import { hangUp, json, Refusal, send } from "./answer.js";
import { onlyGet, Target } from "./request.js";

const BACKLOG = 4096;
const NO_DELAY = true;

/** The listening socket that the parent handed over, as systemd does (sd_listen_fds(3)); null: none. */
const HANDED_OVER = process.env.LISTEN_PID === String(process.pid) ? { fd: 3 } : null;

/** What the server uses (R11). The kernel's limits on its connections are the parent's doing. */
export const USES = {
  nodelay: NO_DELAY,
  backlog: BACKLOG,
  ...(HANDED_OVER && JSON.parse(process.env.LISTEN_OPTIONS ?? "{}")),
};

/** With what node:tls serves, and its only version; session tickets are as Node ships them. */
function secured({ certificate, key, version }, { headersTimeout }) {
  const only = `TLSv${version}`;
  const files = { cert: readFileSync(certificate), key: readFileSync(key) };
  return { ...files, minVersion: only, maxVersion: only, handshakeTimeout: headersTimeout };
}

export function serverOf(hub, transport, guard, tls) {
  const bounds = guard.httpOptions;
  const made = { ...bounds, noDelay: NO_DELAY, ...(tls && secured(tls, bounds)) };
  const server = (tls ? https : http).createServer(made, (request, response) => {
    try {
      guard.asked(request, response);
      guard.share(request, response);
      const target = new Target(request);
      if (target.names(transport.prefix) || (transport.aliases && target.isAlias)) {
        onlyGet(request);
        transport.subscribe(hub, request, response, target);
      } else if (target.names("plan")) {
        onlyGet(request);
        const channel = target.channel(hub, target.stream);
        send(response, json(200, hub.plan(channel, target.since ?? 0)));
      } else {
        throw new Refusal(404, "there is nothing here");
      }
    } catch (error) {
      send(response, answerOf(error));
    }
  });
  server.on(tls ? "secureConnection" : "connection", (socket) => guard.enter(socket));
  server.on("clientError", (error, socket) => {
    if (!socket.writable || socket.bytesWritten > 0) socket.destroy();
    else hangUp(socket, guard.badHead(error));
  });
  if (transport.upgrade !== undefined) {
    server.on("upgrade", (request, socket, head) => {
      guard.asked(request);
      try {
        const target = new Target(request);
        onlyGet(request);
        if (!target.names(transport.prefix)) throw new Refusal(404, "there is nothing here");
        transport.upgrade(hub, request, socket, head, target, guard);
      } catch (error) {
        hangUp(socket, answerOf(error));
      }
    });
  }
  return server;
}

function answerOf(error) {
  if (error instanceof Refusal) return error.answer;
  console.error(error);
  return new Refusal(500, "the server has a bug; its log says where").answer;
}

/** Listen; resolves to the server's URL. Rejects for a port in use and the like. */
export async function listen(server, { host, port, tls }) {
  server.listen(HANDED_OVER ?? { host, port }, BACKLOG);
  await once(server, "listening");
  const { address, family, port: bound } = server.address();
  return `http${tls ? "s" : ""}://${family === "IPv6" ? `[${address}]` : address}:${bound}`;
}
