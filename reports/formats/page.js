// A click on a heading sorts its table: the better end first, then the other; empty cells stay last.
"use strict";

function value(row, place, numeric) {
  const text = row.cells[place].textContent.trim();
  const number = parseFloat(text.replace("(", "")); // what follows the number, such as its deviation, is left out
  return numeric && !Number.isNaN(number) ? number : text;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return one.localeCompare(other, "en", { numeric: true });
}

function sort(heading) {
  const { kind, better } = heading.querySelector("button").dataset;
  const numeric = kind === "number";
  const table = heading.closest("table");
  const place = heading.cellIndex;
  const before = heading.getAttribute("aria-sort") ?? "none";
  const first = better === "higher" ? "descending" : "ascending";
  const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
  for (const other of heading.parentElement.cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const rank = (row) => (numeric ? typeof value(row, place, numeric) !== "number" : value(row, place, numeric) === "");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => rank(a) - rank(b) || sign * compare(value(a, place, numeric), value(b, place, numeric)));
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("thead button")) {
  button.closest("th").setAttribute("aria-sort", "none");
  button.addEventListener("click", () => sort(button.closest("th")));
}
