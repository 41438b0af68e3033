/* Formats values, and puts them into the page: as text, and only where they changed. */

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with a class and a text. */
export function element(name, className, text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (Math.abs(ms) < 10) return `${ms.toFixed(1)} ms`;
  return Math.abs(ms) < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** An age: Date.now() has whole milliseconds only. */
export function age(ms) {
  return ms < 1 ? "under 1 ms" : duration(ms < 10 ? Math.round(ms) : ms).replace(".0 ms", " ms");
}

export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  if (count < 1000) return `${Math.round(count)} B`;
  return count < 1e6 ? `${(count / 1000).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}

/** Time of day, to the second or to the millisecond. */
export function clock(at_ms, fine = false) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  return new Date(at_ms).toLocaleTimeString("en-GB", fine ? { ...options, fractionalSecondDigits: 3 } : options);
}

/** The text of a state. */
export function stateName(name, wait_ms) {
  if (name === "waiting") return wait_ms === undefined ? "reconnecting" : `again in ${duration(wait_ms)}`;
  return name;
}
