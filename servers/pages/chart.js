/* A small chart: one line over time, its grid, and events as bands behind it. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 100; // of the drawing; the style stretches it

function make(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

export class Chart {
  /** Draws the last `seconds` into the <svg> `svg`. */
  constructor(svg, seconds) {
    this.svg = svg;
    this.span_ms = 1000 * seconds;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    this.bands = make("g", { class: "bands" }, svg);
    for (const share of [0.25, 0.5, 0.75]) make("path", { class: "grid", d: `M0 ${HEIGHT * share}H${WIDTH}` }, svg);
    this.area = make("path", { class: "area" }, svg);
    this.line = make("path", { class: "line" }, svg);
  }

  /** Describes the chart in words. */
  say(text) {
    if (this.svg.getAttribute("aria-label") !== text) this.svg.setAttribute("aria-label", text);
  }

  /** `points`: [time in ms, value], by time; `until`: the time at the right edge; `bands`: [{from, to, kind}]. */
  draw(points, top, until, bands = []) {
    const x = (at) => Math.max(0, Math.min(WIDTH, WIDTH * (1 - (until - at) / this.span_ms)));
    const y = (value) => HEIGHT * (1 - Math.max(0, Math.min(1, value / top)));
    const text = points.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(2)}`).join("L");
    this.line.setAttribute("d", text && `M${text}`);
    this.area.setAttribute("d", text && `M${x(points[0][0])} ${HEIGHT}L${text}L${x(points.at(-1)[0])} ${HEIGHT}Z`);
    while (this.bands.childElementCount < bands.length) make("rect", { y: 0, height: HEIGHT }, this.bands);
    while (this.bands.childElementCount > bands.length) this.bands.lastChild.remove();
    bands.forEach(({ from, to, kind }, index) => {
      const band = this.bands.children[index];
      band.setAttribute("class", kind);
      band.setAttribute("x", x(from).toFixed(1));
      band.setAttribute("width", Math.max(0, x(to ?? until) - x(from)).toFixed(1));
    });
  }
}
