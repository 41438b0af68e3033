// What a reader may do beyond reading: choose the theme, hide subjects, sort tables, read values under the pointer.
// The page is whole without it; every control that needs it is hidden in the HTML until this runs. No network, no storage.
(() => {
  "use strict";
  const root = document.documentElement;
  for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;

  // Theme: what the system says, until the reader chooses.
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const label = () => { theme.textContent = current() === "dark" ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = current() === "dark" ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();

  // Subjects: one rule for all that carries a subject's name, in tables and in figures.
  const rule = document.head.appendChild(document.createElement("style"));
  const dim = document.head.appendChild(document.createElement("style"));
  const boxes = [...document.querySelectorAll("#subjects input")];
  const of = (name) => `[data-subject=${CSS.escape(name)}]`;
  const hide = () => {
    const off = boxes.filter((box) => !box.checked).map((box) => box.value);
    rule.textContent = off.map((name) =>
      `${of(name)}, [data-with=${CSS.escape(name)}] { display: none !important; }`).join("\n");
    document.getElementById("hidden").textContent = off.length ? `${off.length} hidden, in figures and tables` : "";
  };
  for (const box of boxes) box.addEventListener("change", hide);
  hide();

  // Tables: a heading sorts by its column, then the other way round. Units are told apart: 900 µs is less than 1 ms.
  const units = { ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, KiB: 1024, MiB: 1048576, GiB: 1073741824 };
  const key = (cell) => {
    const text = cell ? cell.textContent.trim() : "";
    const found = /^([↓↑≈?]\s*)?([+-]?[\d,]*\.?\d+)\s*([a-zµA-Z]+)?/.exec(text);
    return found ? Number(found[2].replaceAll(",", "")) * (units[found[3]] || 1) : text;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].filter((row) => !row.classList.contains("arm"));
        const order = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
        rows.sort((a, b) => {
          const one = key(a.cells[column]), other = key(b.cells[column]);
          // what has no number stays last, whichever way round
          return order(one, other) * (up || typeof one !== typeof other ? 1 : -1);
        });
        // sorted rows leave their arm's heading; each still says its arm by its swatch (hollow: not controlled)
        for (const row of table.querySelectorAll("tr.arm")) row.hidden = true;
        table.tBodies[0].append(...rows);
      });
    });
  }

  // Values: the mark nearest to the pointer says what it is, and the other subjects step back.
  const tip = document.body.appendChild(document.createElement("div"));
  tip.id = "tip";
  tip.hidden = true;
  for (const title of document.querySelectorAll("figure svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const around = [[0, 0], [3, 0], [-3, 0], [0, 3], [0, -3], [6, 0], [-6, 0], [0, 6], [0, -6]];
  const away = () => { tip.hidden = true; dim.textContent = ""; };
  for (const svg of document.querySelectorAll("figure svg")) {
    svg.addEventListener("pointermove", (event) => {
      let found = null;
      for (const [dx, dy] of around) {
        const under = document.elementFromPoint(event.clientX + dx, event.clientY + dy);
        found = under && svg.contains(under) && under.closest("[data-tip]");
        if (found) break;
      }
      if (!found) { away(); return; }
      tip.textContent = found.dataset.tip;
      tip.hidden = false;
      const box = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 8))}px`;
      tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
      const all = svg.querySelectorAll(of(found.dataset.subject)).length;
      const id = svg.closest("figure").id;
      dim.textContent = all ? `#${CSS.escape(id)} [data-subject]:not(${of(found.dataset.subject)}) { opacity: 0.22; }` : "";
    });
    svg.addEventListener("pointerleave", away);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") away(); });

  // Paper has no folds.
  const folds = document.getElementsByTagName("details");
  let shut = [];
  addEventListener("beforeprint", () => {
    shut = [...folds].filter((fold) => !fold.open);
    for (const fold of shut) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of shut) fold.open = false; });
})();
