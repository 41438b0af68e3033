/* The first page: the streams and transports of this server. */

import { inWords, server, where } from "./wire.js";
import { element, put } from "./words.js";

const about = await server();
const transports = about.transports.map(inWords).join(", ");
const name = about.demo ? "The demo" : about.subject;
put(document.querySelector("#about"), `${name}, on ${about.stack}: ${transports}.`);

for (const { name, description } of about.streams) {
  const row = document.createElement("tr");
  const head = element("th", "", name);
  head.scope = "row";
  row.append(head, element("td", "text", description));
  document.querySelector("#streams").append(row);
}

const http = about.transports.find((name) => name !== "websocket");
if (http) {
  const curl = document.querySelector("#curl");
  curl.querySelector("code").textContent = `curl -N ${location.origin}${where(http, "stocks")}`;
  curl.hidden = false;
}
