/* An answer, `{status, headers, body}`, and how it is sent: small JSON with its length. */

import { STATUS_CODES } from "node:http";

/** Thrown where a request is answered otherwise than it asked for: `{"error": …}`. */
export class Refusal extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    this.answer = json(status, JSON.stringify({ error: message }), headers);
  }
}

/** An answer whose body is this JSON text. */
export function json(status, body, headers = {}) {
  return {
    status,
    headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), ...headers },
    body,
  };
}

/** An answer without a body. */
export function bare(status, headers = {}) {
  return { status, headers, body: "" };
}

export function send(response, { status, headers, body }) {
  response.writeHead(status, headers).end(body);
}

/** Answer on a connection that has no response, and close it. */
export function hangUp(socket, { status, headers, body }) {
  const fields = Object.entries({ Connection: "close", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.on("error", () => {}); // the client has left
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields.join("")}\r\n${body}`);
}
