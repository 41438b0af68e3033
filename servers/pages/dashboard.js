/* The article's dashboard: cpu %, memory %, the time of the last update, and the last minute of both. */

import { Chart } from "./chart.js";
import { subscribe } from "./subscribe.js";
import { server, whenLeft } from "./wire.js";
import { clock, put, stateName } from "./words.js";

const SECONDS = 60, OLD_MS = 3000;
const $ = (id) => document.getElementById(id);

const gauges = [...document.querySelectorAll(".gauge")].map((figure) => ({
  member: figure.dataset.member,
  name: figure.querySelector("figcaption").textContent,
  output: figure.querySelector(".value b"),
  chart: new Chart(figure.querySelector("svg"), SECONDS),
  points: [],
}));
let newest_ms = 0, heard_ms = 0;

function message(_, text) {
  const sent = JSON.parse(text);
  newest_ms = 1000 * sent.timestamp;
  heard_ms = performance.now();
  for (const gauge of gauges) {
    gauge.points.push([newest_ms, sent[gauge.member]]);
    while (gauge.points[0][0] < newest_ms - 1000 * SECONDS) gauge.points.shift();
  }
  if ($("hold").getAttribute("aria-pressed") === "false") draw();
}

function draw() {
  if (!newest_ms) return;
  $("updated").dateTime = new Date(newest_ms).toISOString();
  put($("updated"), clock(newest_ms));
  for (const { name, output, chart, points } of gauges) {
    const values = points.map(([, value]) => value);
    put(output, values.at(-1).toFixed(1));
    chart.draw(points, 100, newest_ms);
    const range = `between ${Math.min(...values)} and ${Math.max(...values)} % in the last minute`;
    chart.say(`${name}: ${values.at(-1)} %, ${range}`);
  }
}

function state(name, wait_ms) {
  $("state").dataset.state = name;
  put($("state"), stateName(name, wait_ms));
}

setInterval(() => {
  document.body.classList.toggle("old", heard_ms > 0 && performance.now() - heard_ms > OLD_MS);
}, 500);
$("hold").addEventListener("click", () => {
  const held = $("hold").getAttribute("aria-pressed") === "true";
  $("hold").setAttribute("aria-pressed", `${!held}`);
  if (held) draw();
});

const about = await server();
const subscription = subscribe(about.transports[0], "metrics", { state, message, notice() {} });
whenLeft(() => subscription.close());
