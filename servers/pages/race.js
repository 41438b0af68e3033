/* The race: every transport of this server on one workload, drawn on one scale; lanes can be stopped and cut. */

import { Chart } from "./chart.js";
import { compare } from "./clock.js";
import { Lane } from "./lane.js";
import { followPlan } from "./plan.js";
import { openUntilOneWaits } from "./six.js";
import { subscribe } from "./subscribe.js";
import { NAMES, inWords, server, whenLeft } from "./wire.js";
import { age as old, bytes, clock, duration, element, put, stateName } from "./words.js";

const SPAN_S = matchMedia("(max-width: 46rem)").matches ? 15 : 30; // what a reader can resolve
const TOPS_MS = [2000, 5000, 10_000, 20_000, 60_000];
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const EVENTS = 12;
const FIGURES = [
  ["Messages", (lane) => `${lane.audit.messages}`],
  ["Lost", (lane) => `${lane.audit.lost}`],
  ["Repeated", (lane) => `${lane.audit.repeated}`],
  ["Age on arrival, median", (lane) => old(lane.median())],
  ["Reconnects", (lane) => `${lane.reconnects}`],
  ["Requests", (lane) => `${lane.cost.requests}`],
  ["Bytes down", (lane) => bytes(lane.cost.down)],
  ["Bytes up", (lane) => bytes(lane.cost.up)],
  ["Bytes a message", (lane) => bytes((lane.cost.down + lane.cost.up) / (lane.audit.messages || NaN))],
];
const FROM_SERVER = 4; // the last ones, which only the demo counts

const $ = (id) => document.getElementById(id);
const page = Math.random().toString(36).slice(2, 8);
const about = await server();
const clocks = await compare();
const lanes = about.transports.map((transport) => new Lane(transport));
const views = new Map(lanes.map((lane) => [lane, build(lane)]));
const figures = table();
let subscriptions = [], plan, dues, horizon = 0, drawn = 0;

const now = () => Date.now() + 0.5 + clocks.offset_ms; // Date.now() truncates to milliseconds

// The page

function build(lane) {
  const name = NAMES[lane.transport];
  const section = $("lane").content.firstElementChild.cloneNode(true);
  section.dataset.transport = lane.transport;
  const title = section.querySelector("h2");
  title.id = `lane-${lane.transport}`;
  section.setAttribute("aria-labelledby", title.id);
  put(title.querySelector("span"), name);
  for (const button of section.querySelectorAll("button")) {
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    button.addEventListener("click", () => steer(lane, button.dataset.do));
  }
  $("lanes").append(section);
  return {
    section,
    state: section.querySelector(".state"),
    age: section.querySelector(".age b"),
    top: section.querySelector(".top"),
    chart: new Chart(section.querySelector("svg"), SPAN_S),
  };
}

function table() {
  const head = document.querySelector(".figures thead tr");
  for (const { transport } of lanes) {
    const cell = element("th", "");
    cell.scope = "col";
    cell.append(element("i", "key"), element("span", "", NAMES[transport]));
    cell.dataset.transport = transport;
    head.append(cell);
  }
  const shown = about.demo ? FIGURES : FIGURES.slice(0, -FROM_SERVER);
  return shown.map(([name, figure]) => {
    const row = document.createElement("tr");
    const title = element("th", "", name);
    title.scope = "row";
    const cells = lanes.map((lane) => [element("td", ""), lane]);
    row.append(title, ...cells.map(([cell]) => cell));
    row.dataset.figure = name;
    document.querySelector(".figures tbody").append(row);
    return { cells, figure };
  });
}

function note(lane, text) {
  const item = element("li");
  item.append(element("time", "", clock(Date.now())), element("span", "", lane ? `${NAMES[lane.transport]}: ${text}` : text));
  $("log").prepend(item);
  while ($("log").childElementCount > EVENTS) $("log").lastChild.remove();
}

// The race

function start() {
  stop();
  dues = new Map();
  for (const lane of lanes) lane.restart();
  connect();
  plan = followPlan(about.demo, $("stream").value, page, known);
}

function stop() {
  plan?.close();
  for (const subscription of subscriptions) subscription.close();
}

function connect() {
  const interval_ms = () => Number($("interval").value);
  subscriptions = lanes.map((lane) => subscribe(lane.transport, $("stream").value, hears(lane), { page, interval_ms }));
}

function hears(lane) {
  const view = views.get(lane);
  return {
    state(name, wait_ms) {
      view.section.dataset.state = name;
      put(view.state, stateName(name, wait_ms));
      if (name === "waiting" && !lane.away) {
        lane.away = { at: now(), newest: lane.audit.newest, lost: lane.audit.lost };
        lane.band("away", true, now());
        note(lane, "connection lost");
      } else if (name === "open" && lane.away && !lane.away.back_ms) {
        lane.away.back_ms = now() - lane.away.at;
        lane.reconnects += 1;
        lane.band("away", false, now());
      }
    },
    message(id) {
      lane.message(id, now());
      lane.resolve(dues, now()); // a poll's messages arrive after their due times
      if (lane.away?.back_ms) back(lane);
    },
    notice(kind, fields) {
      if (kind === "gap") lane.audit.gap(fields);
      note(lane, kind === "gap" ? `${fields.from} to ${fields.to}: ${fields.reason}` : kind);
    },
  };
}

/** Notes a reconnection in one line, after the missed messages have come. */
function back(lane) {
  const { away } = lane;
  lane.away = null;
  setTimeout(() => {
    const caught = lane.audit.newest - away.newest;
    const lost = lane.audit.lost - away.lost;
    note(lane, `back after ${duration(away.back_ms)}, ${caught} missed messages replayed, ${lost ? `${lost} lost` : "none lost"}`);
  }, 100);
}

function known({ ticks, began, lanes: states }) {
  if (began && dues.size) {
    note(null, "the server’s publisher restarted");
    dues.clear();
    for (const lane of lanes) lane.forget();
  }
  for (const [id, due] of ticks) dues.set(id, due);
  for (const id of dues.keys()) {
    if (dues.size <= 5000) break;
    dues.delete(id);
  }
  horizon = now();
  for (const lane of lanes) {
    lane.resolve(dues, horizon);
    if (states) hear(lane, states[lane.transport]);
  }
}

/** Takes a lane's state from the server: its cost, and how long the server does not write. */
function hear(lane, { down, up, requests, paused_ms }) {
  const view = views.get(lane);
  lane.cost = { down, up, requests };
  const paused = paused_ms > 0;
  if (paused !== (view.section.dataset.paused === "true")) {
    view.section.dataset.paused = paused;
    note(lane, paused ? `the server stops writing for ${Math.round(paused_ms / 1000)} s` : "the server writes again");
    lane.band("paused", paused, horizon);
    if (!paused) put(view.state, stateName(view.section.dataset.state));
  }
  if (paused) put(view.state, `stopped, ${Math.ceil(paused_ms / 1000)} s left`);
}

async function steer(lane, what) {
  const query = what === "pause" ? `?seconds=${$("seconds").value}` : "";
  if (what === "cut") note(lane, "cut by the server");
  const response = await fetch(`/demo/lanes/${lane.transport}/${what}${query}`, { method: "POST" });
  if (!response.ok) note(lane, (await response.json()).error);
}

// The picture: at most 15 times a second, with reduced motion once a second

function draw(time) {
  requestAnimationFrame(draw);
  if (time - drawn < (CALM.matches ? 1000 : 66) || $("hold").getAttribute("aria-pressed") === "true" || !horizon) return;
  const slow = Math.floor(time / 250) !== Math.floor(drawn / 250);
  const spoken = Math.floor(time / 5000) !== Math.floor(drawn / 5000);
  drawn = time;
  // The demo sends the plan as it is played; other servers' plans are known up to the last request only.
  const until = about.demo ? Math.min(now(), horizon + 500) : horizon;
  const lines = new Map(lanes.map((lane) => [lane, lane.points(until, 1000 * SPAN_S)]));
  const highest = Math.max(0, ...[...lines.values()].flat().map(([, age]) => age));
  const top = TOPS_MS.find((each) => each >= highest) ?? TOPS_MS.at(-1);
  for (const [lane, points] of lines) {
    const { chart, age, top: label } = views.get(lane);
    chart.draw(points, top, until, lane.bands);
    put(label, `${top / 1000} s`);
    if (slow) put(age, old(lane.age(until)));
    if (spoken && points.length) {
      const worst = Math.max(...points.map(([, each]) => each));
      chart.say(`Age of the data: ${old(lane.age(until))} now, at most ${old(worst)} in the last ${SPAN_S} seconds`);
    }
  }
  if (slow) {
    for (const { cells, figure } of figures) for (const [cell, lane] of cells) put(cell, figure(lane));
  }
}

$("hold").addEventListener("click", () => {
  $("hold").setAttribute("aria-pressed", `${$("hold").getAttribute("aria-pressed") !== "true"}`);
});
$("tools").addEventListener("submit", (event) => event.preventDefault());
$("stream").addEventListener("change", start);
whenLeft(stop);
$("open").addEventListener("click", async () => {
  if ($("open").getAttribute("aria-disabled") === "true") return;
  $("open").setAttribute("aria-disabled", "true"); // not `disabled`, which would take the focus away
  put($("outcome"), await showSix((text) => put($("outcome"), text)));
  $("open").setAttribute("aria-disabled", "false");
});

/** Opens EventSources until one has to wait. Returns the outcome in words. */
async function showSix(say) {
  const lane = lanes.find(({ transport }) => transport === "sse");
  if (views.get(lane).section.dataset.state !== "open") return "The page’s own EventSource is not open: try again when it is.";
  if (about.demo) await steer(lane, "resume"); // a stopped lane would look like a full browser
  say("");
  note(null, "the page opens EventSources until one has to wait");
  const began = now();
  const { opened, after_ms } = await openUntilOneWaits($("stream").value, 1, $("slots"), say);
  if (Number.isNaN(after_ms)) return `${opened} EventSources were open together: this browser has another limit.`;
  const polls = lanes.filter(({ transport }) => transport.endsWith("poll"));
  const grew = polls.map((each) => `${old(each.oldest(began, now()))} old in ${inWords(each.transport)}`);
  return [
    `${opened} were open together.`,
    `Number ${opened + 1} opened ${duration(after_ms)} after one of them was closed.`,
    opened < 6 ? "Connections of other tabs count, too." : "",
    grew.length ? `Without a connection, the data grew ${grew.join(" and ")}.` : "",
  ].filter(Boolean).join(" ");
}

document.body.classList.toggle("demo", about.demo);
put($("ago"), `${SPAN_S} s ago`);
$("alone").hidden = about.demo;
$("polls").hidden = !about.transports.includes("short-poll");
$("six").hidden = !about.transports.includes("sse");
const endless = about.streams.filter(({ finite }) => !finite).map(({ name }) => name);
$("stream").append(...endless.map((name) => new Option(name, name, false, name === "fanout")));
put($("clocks"), clocks.same
  ? `Ages are measured from the server’s plan. Its clock and this browser’s agree within a round trip (${duration(2 * clocks.within_ms)}), so nothing is corrected.`
  : `Ages are measured from the server’s plan. Its clock differs from this browser’s by ${duration(clocks.offset_ms)} (± ${duration(clocks.within_ms)}), which is corrected.`);
start();
requestAnimationFrame(draw);
