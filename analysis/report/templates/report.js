// What a reader may do beyond reading: choose the theme and a preset, highlight a row, sort tables, read values under the
// pointer. What is chosen stands in the URL's hash, so that a view can be sent. The page is whole without all that; every
// control that needs it is hidden in the HTML until this runs. No network, no storage. Report and comparison share it.
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

  // The view: #show=PRESET&row=SUBJECT&with=SUBJECT&sort=TABLE.COLUMN.up&at=SECTION. A plain #SECTION is a link.
  let view = {};
  const hash = () => decodeURIComponent(location.hash.slice(1));
  const keep = (changed) => {
    view = Object.fromEntries(Object.entries({ ...view, ...changed }).filter(([, value]) => value));
    const text = new URLSearchParams(view).toString();
    history.replaceState(null, "", text ? `#${text}` : location.href.split("#")[0]);
  };
  const to = (id) => {
    const place = document.getElementById(id);
    if (!place) return;
    const fold = place.closest("details");
    if (fold) fold.open = true;
    place.scrollIntoView();
  };

  // One rule for all that carries a subject's name, in tables and in figures.
  // Constructed sheets: the page's policy takes no style element but its own.
  const sheet = () => {
    const made = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, made];
    return made;
  };
  const rule = sheet(), picked = sheet(), dim = sheet();
  const of = (name) => `[data-subject=${CSS.escape(name)}]`;
  const along = (name) => `[data-with=${CSS.escape(name)}]`;
  const buttons = [...document.querySelectorAll("#presets button")];
  const names = (button) => JSON.parse(button.dataset.names);
  let hidden = new Set();
  // An arm's heading stands while its rows are below it: some are shown, and the table is in its own order.
  const armed = () => {
    for (const arm of document.querySelectorAll("tr.arm")) {
      const rows = [...arm.parentNode.rows].slice(1);
      arm.hidden = rows.every((row) => hidden.has(row.dataset.subject)) || Boolean(arm.closest("table").querySelector("[aria-sort]"));
    }
  };
  const show = (key) => {
    const chosen = buttons.find((button) => button.dataset.show === key) || buttons[0];
    if (!chosen) return;
    for (const button of buttons) button.setAttribute("aria-pressed", button === chosen);
    const on = new Set(names(chosen));
    const off = names(buttons[0]).filter((name) => !on.has(name));
    rule.replaceSync(off.map((name) => `${of(name)}, ${along(name)} { display: none !important; }`).join("\n"));
    hidden = new Set(off);
    armed();
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      show(button.dataset.show);
      keep({ show: button === buttons[0] ? "" : button.dataset.show });
    });
  }

  // A row: a click, or its name's button. In figures, the other subjects step back.
  const heads = [...document.querySelectorAll("tr[data-subject] > th[scope=row]")];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pick";
    button.append(...[...head.childNodes].filter((node) => node.nodeName !== "A"));
    head.prepend(button);
  }
  const others = (keep_) => `figure [data-subject]${keep_.map((name) => `:not(${of(name)})`).join("")} { opacity: 0.22; }`;
  const pick = (row, other) => {
    const rows = row && `tr${of(row)}${other ? along(other) : ":not([data-with])"}`;
    picked.replaceSync(row ? `${rows} > * { background: var(--pick) !important; }\n${others([row, other].filter(Boolean))}` : "");
    for (const head of heads) head.firstChild.setAttribute("aria-pressed", Boolean(row) && head.parentNode.matches(rows));
  };
  const turn = (row, other) => {
    const again = view.row === row && (view.with || "") === other;
    keep({ row: again ? "" : row, with: again ? "" : other });
    pick(view.row, view.with);
  };
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-subject]");
    if (!row || event.target.closest("a, summary, button:not(.pick)") || String(getSelection())) return;
    turn(row.dataset.subject, row.dataset.with || "");
  });

  // Tables: a heading sorts by its column, then the other way round. Units are told apart: 900 µs is less than 1 ms.
  const units = { ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, KiB: 1024, MiB: 1048576, GiB: 1073741824 };
  const key = (cell) => {
    const text = cell ? cell.textContent.trim() : "";
    const found = /^([↓↑≈?]\s*)?([+-]?[\d,]*\.?\d+)\s*([a-zµA-Z]+)?/.exec(text);
    return found ? Number(found[2].replaceAll(",", "")) * (units[found[3]] || 1) : text;
  };
  const sort = (table, column, up) => {
    const titles = [...table.tHead.rows[0].cells];
    for (const title of titles) title.removeAttribute("aria-sort");
    titles[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !row.classList.contains("arm"));
    const order = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
    rows.sort((a, b) => {
      const one = key(a.cells[column]), other = key(b.cells[column]);
      // what has no number stays last, whichever way round
      return order(one, other) * (up || typeof one !== typeof other ? 1 : -1);
    });
    // sorted rows leave their arm's heading; each still says its arm by its swatch (hollow: not controlled)
    table.tBodies[0].append(...rows);
    armed();
  };
  const tables = [...document.querySelectorAll("table.sortable")];
  tables.forEach((table, place) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        sort(table, column, up);
        keep({ sort: `${place}.${column}.${up ? "up" : "down"}` });
      });
    });
  });

  // The hash, when the page opens and when it changes.
  const follow = () => {
    if (!hash().includes("=")) {
      to(hash());
      if (Object.keys(view).length) keep({ at: hash() });
      return;
    }
    view = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    show(view.show);
    pick(view.row, view.with || "");
    const [place, column, way] = (view.sort || "").split(".");
    if (tables[place] && tables[place].tHead.rows[0].cells[column]) sort(tables[place], Number(column), way !== "down");
    to(view.at);
  };
  addEventListener("hashchange", follow);
  if (location.hash) follow();

  // A table or figure that is wider than its place says so.
  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const over = target.scrollWidth > target.clientWidth + 1;
      target.classList.toggle("wide", over);
      if (over) target.tabIndex = 0; else target.removeAttribute("tabindex"); // one stop less for the keyboard
    }
  });
  for (const part of document.querySelectorAll(".scroll, .drawing")) wide.observe(part);

  // Values: the mark nearest to the pointer says what it is, and the other subjects step back.
  const tip = document.body.appendChild(document.createElement("div"));
  tip.id = "tip";
  tip.hidden = true;
  for (const title of document.querySelectorAll("figure svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const around = [[0, 0], [3, 0], [-3, 0], [0, 3], [0, -3], [6, 0], [-6, 0], [0, 6], [0, -6]];
  const away = () => { tip.hidden = true; dim.replaceSync(""); };
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
      dim.replaceSync(all ? `#${CSS.escape(id)} [data-subject]:not(${of(found.dataset.subject)}) { opacity: 0.22; }` : "");
    });
    svg.addEventListener("pointerleave", away);
  }
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    away();
    if (view.row) turn(view.row, view.with || "");
  });

  // Paper has no folds.
  const folds = document.getElementsByTagName("details");
  let shut = [];
  addEventListener("beforeprint", () => {
    shut = [...folds].filter((fold) => !fold.open);
    for (const fold of shut) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of shut) fold.open = false; });
})();
