// A click on a heading sorts its table: the better end first, then the other; empty cells stay last.
"use strict";

function value(row, place) {
  const cell = row.cells[place];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return one.localeCompare(other, "en", { numeric: true });
}

function sort(heading) {
  const table = heading.closest("table");
  const place = heading.cellIndex;
  const before = heading.getAttribute("aria-sort");
  const first = heading.dataset.better === "higher" ? "descending" : "ascending";
  const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
  for (const other of heading.parentElement.cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const numeric = heading.dataset.kind === "number";
  const rank = (row) => (numeric ? typeof value(row, place) !== "number" : value(row, place) === "");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => rank(a) - rank(b) || sign * compare(value(a, place), value(b, place)));
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
