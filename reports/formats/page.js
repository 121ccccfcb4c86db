// Tables: a click on a heading sorts, buttons group by family, hide published rows and copy. Trade-offs: the pointer
// shows all that is known of a point; a slider and boxes choose the points between which the frontier is drawn.
"use strict";

const FAMILIES = JSON.parse(document.querySelector("main").dataset.families);
const OTHER = "other methods";

function value(row, column, numeric) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace("(", "")); // what follows the number, such as its deviation, is left out
  return numeric && !Number.isNaN(number) ? number : text;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return one.localeCompare(other, "en", { numeric: true });
}

// The better end first, then the other; empty cells stay last.
function sort(heading) {
  const { kind, better } = heading.querySelector("button").dataset;
  const numeric = kind === "number";
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const before = heading.getAttribute("aria-sort") ?? "none";
  const first = better === "higher" ? "descending" : "ascending";
  const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
  for (const other of heading.parentElement.cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const rank = (row) => (numeric ? typeof value(row, column, numeric) !== "number" : value(row, column, numeric) === "");
  const rows = [...table.tBodies[0].rows].filter((row) => !row.matches(".family"));
  rows.sort((a, b) => rank(a) - rank(b) || sign * compare(value(a, column, numeric), value(b, column, numeric)));
  table.tBodies[0].append(...rows);
  if (table.classList.contains("grouped")) group(table);
}

// Rows below the name of their family, in the order that they have.
function group(table) {
  const body = table.tBodies[0];
  ungroup(table);
  for (const family of [...new Set(Object.values(FAMILIES)), OTHER]) {
    const rows = [...body.rows].filter((row) => row.dataset.family === family);
    if (!rows.length) continue;
    const title = body.insertRow();
    title.className = "family";
    title.innerHTML = "<th></th>" + "<td></td>".repeat(rows[0].cells.length - 1);
    title.cells[0].textContent = family;
    body.append(title, ...rows);
  }
  table.classList.add("grouped");
}

function ungroup(table) {
  for (const title of table.querySelectorAll("tr.family")) title.remove();
  table.classList.remove("grouped");
}

function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return Promise.resolve();
}

function tabulate(figure) {
  const table = figure.querySelector("table");
  let family = OTHER;
  for (const row of table.tBodies[0].rows) {
    const name = row.cells[0].textContent.trim();
    row.classList.toggle("published", name.startsWith("- ")); // and how ours differs from it
    if (!row.matches(".published")) family = FAMILIES[name.split(/[: (,]/)[0]] ?? OTHER;
    row.dataset.family = family;
  }
  const before = [...table.tBodies[0].rows];
  const known = new Set(before.map((row) => row.dataset.family));
  for (const button of table.querySelectorAll("thead button")) {
    button.closest("th").setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(button.closest("th")));
  }
  for (const button of figure.querySelectorAll(".tools button")) {
    const { act } = button.dataset;
    button.hidden = (act === "published" && !table.querySelector(".published")) || (act === "group" && known.size < 2);
    button.addEventListener("click", async () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      if (act) button.setAttribute("aria-pressed", pressed);
      if (act === "published") table.classList.toggle("ours", !pressed);
      if (act === "group" && pressed) group(table);
      if (act === "group" && !pressed) ungroup(table);
      if (act) return;
      const label = button.textContent;
      await copy(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), 1500);
    });
  }
}

function plot(box) {
  const points = new Map(JSON.parse(box.dataset.points).map((point) => [point.name, point]));
  const tip = box.querySelector(".tip");
  const slider = box.querySelector("[type=range]");
  const boxes = [...box.querySelectorAll("[type=checkbox]")];
  const budgets = [...new Set([...points.values()].map((point) => point.memory).filter(Boolean))].sort((a, b) => a - b);
  const panels = [...box.querySelectorAll("svg")].map((svg) => ({
    svg,
    line: svg.querySelector("[data-frontier] path"),
    dots: [...svg.querySelectorAll("[data-dot]")].map((dot) => {
      const { x, y, width, height } = dot.getBBox();
      return { name: dot.dataset.point, x: x + width / 2, y: y + height / 2 };
    }),
  }));
  const shown = (name) => !points.get(name).out;
  const mib = (bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(0)} MiB`);

  // Right, then up: at each cost the best that is to be had, among the points that are shown; on to the right end.
  function frontier({ svg, line, dots, end }) {
    const best = [];
    for (const dot of dots.filter((one) => shown(one.name)).sort((a, b) => a.x - b.x || a.y - b.y)) {
      if (!best.length || dot.y < best.at(-1).y) best.push(dot);
    }
    const path = best.map(({ x, y }, place) => (place ? `H${x}V${y}` : `M${x} ${y}`)).join("");
    line.setAttribute("d", path && `${path}H${end}`);
    const names = new Set(best.map((dot) => dot.name));
    for (const part of svg.querySelectorAll("[data-point]")) part.classList.toggle("best", names.has(part.dataset.point));
  }

  function choose() {
    const budget = budgets[slider.value] ?? Infinity;
    const families = new Set(boxes.filter((one) => one.checked).map((one) => one.value));
    for (const point of points.values()) point.out = point.memory > budget || !families.has(point.family);
    for (const part of box.querySelectorAll("[data-point]")) part.classList.toggle("out", !shown(part.dataset.point));
    panels.forEach(frontier);
    const count = [...points.keys()].filter(shown).length;
    box.querySelector("output").textContent = `${mib(budget)}: ${count} of ${points.size}`;
    point(null);
  }

  function point(name, event) {
    for (const part of box.querySelectorAll("[data-point]")) part.classList.toggle("at", part.dataset.point === name);
    tip.hidden = !name;
    if (!name) return;
    const list = document.createElement("dl");
    for (const pair of points.get(name).numbers) {
      list.append(...["dt", "dd"].map((tag, index) => Object.assign(document.createElement(tag), { textContent: pair[index] })));
    }
    const title = Object.assign(document.createElement("b"), { textContent: name });
    tip.replaceChildren(title, ` ${points.get(name).family}`, list);
    const frame = box.getBoundingClientRect();
    const left = event.clientX - frame.left + 16;
    const fits = left + tip.offsetWidth <= frame.width;
    tip.style.left = `${fits ? left : Math.max(0, left - tip.offsetWidth - 32)}px`;
    const lowest = Math.max(document.documentElement.clientHeight - tip.offsetHeight - 8, 8); // on the screen, if it fits
    tip.style.top = `${Math.min(event.clientY + 16, lowest) - frame.top}px`;
  }

  function nearest(event, { svg, dots }) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const far = (dot) => Math.hypot(dot.x - at.x, dot.y - at.y);
    const near = dots.filter((dot) => shown(dot.name) && far(dot) < 12).sort((a, b) => far(a) - far(b));
    return near[0]?.name ?? null;
  }

  for (const panel of panels) {
    panel.end = parseFloat(panel.line.getAttribute("d").match(/([\d.]+)\s+[\d.]+\s*$/)[1]);
    for (const kind of ["pointermove", "pointerdown"]) {
      panel.svg.addEventListener(kind, (event) => point(nearest(event, panel), event));
    }
    panel.svg.addEventListener("pointerleave", () => point(null));
  }
  slider.max = slider.value = budgets.length - 1;
  slider.closest("label").hidden = budgets.length < 2;
  for (const control of [slider, ...boxes]) control.addEventListener("input", choose);
  choose();
}

for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
for (const table of document.querySelectorAll("figure table")) tabulate(table.closest("figure"));
document.querySelectorAll(".plot").forEach(plot);
