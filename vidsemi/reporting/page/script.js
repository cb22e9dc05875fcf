"use strict";
// Plots are drawn when they come near the window; tables are sorted and searched. Without JavaScript the page shows the
// static pictures and the tables as they are.

const dark = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const LONG = 24; // rows of a table from which on it scrolls by itself and has a search

// Plots

function themed(panel, narrow) {
  const { data, layout } = structuredClone(panel);
  const ink = (part) => { if (part && part.color === "ink") part.color = css("--text"); };
  for (const trace of data) [trace.line, trace.marker, trace.error_y].forEach(ink);
  for (const shape of layout.shapes) shape.line.color = css("--strong");
  for (const axis of [layout.xaxis, layout.yaxis]) {
    Object.assign(axis, { gridcolor: css("--line"), zeroline: false, linecolor: css("--strong"), automargin: true });
    Object.assign(axis, { exponentformat: "none", separatethousands: true });
    if (narrow) axis.title.text = axis.title.text.replace(" (", "<br>("); // else it is cut
  }
  for (const trace of data.filter((one) => one.type === "heatmap")) {
    trace.colorscale = [[0, css("--page")], [1, trace.colorscale[1][1]]];
    layout.xaxis.showgrid = layout.yaxis.showgrid = false;
  }
  Object.assign(layout, {
    autosize: true, showlegend: false, hovermode: "closest", dragmode: "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 10, r: 12, t: layout.annotations.length ? 26 : 12, b: 10 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--text") },
    font: { family: "inherit", size: 13, color: css("--text") },
    hoverlabel: { bgcolor: css("--box"), bordercolor: css("--strong"), align: "left", font: { color: css("--text"), size: 13 } },
  });
  return { data, layout };
}

function draw(element) {
  const panel = (element.panel ??= JSON.parse(element.querySelector("script").textContent));
  const { data, layout } = themed(panel, element.clientWidth < 480);
  const off = [...element.closest("figure").querySelectorAll('.legend [aria-pressed="false"]')];
  const hidden = new Set(off.map((button) => Number(button.dataset.entry)));
  for (const trace of data) if (hidden.has(trace.meta)) trace.visible = false;
  const buttons = ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "pan2d", "zoom2d"];
  const config = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: buttons, showTips: false };
  Plotly.react(element, data, layout, config).then(() => { element.dataset.drawn = "true"; });
}

const drawn = () => document.querySelectorAll(".live[data-drawn]");
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) { observer.unobserve(target); draw(target); }
  }
}, { rootMargin: "600px" });
document.querySelectorAll(".live").forEach((element) => observer.observe(element));
dark.addEventListener("change", () => drawn().forEach(draw));

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    button.closest("figure").querySelectorAll(".live[data-drawn]").forEach(draw);
  });
}

// Tables

const number = (text) => Number.parseFloat(text.replace(/,/g, "").replace("−", "-"));

function compare(one, other) {
  const [a, b] = [number(one), number(other)];
  if (Number.isNaN(a) || Number.isNaN(b)) {
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
    return one.localeCompare(other, undefined, { numeric: true });
  }
  return a - b;
}

function sort(table, column, descending) {
  const text = (row) => row.cells[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].map((row) => [text(row), row]);
  const [known, empty] = [rows.filter(([own]) => own), rows.filter(([own]) => !own)]; // no value: always last
  known.sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...[...known, ...empty].map(([, row]) => row));
}

function search(table, box) {
  const label = document.createElement("label");
  label.className = "search";
  const input = Object.assign(document.createElement("input"), { type: "search" });
  const count = Object.assign(document.createElement("span"), { ariaLive: "polite" });
  label.append("Search ", input, count);
  box.before(label);
  const rows = [...table.tBodies[0].rows];
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().trim();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    count.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
}

for (const table of document.querySelectorAll(".wide > table")) {
  const headers = [...table.tHead.rows[0].cells];
  if (table.tBodies[0].rows.length > 1) {
    headers.forEach((header, column) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const first = header.classList.contains("number") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = header.getAttribute("aria-sort") === first ? other : first;
        headers.forEach((one) => one.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", order);
        sort(table, column, order === "descending");
      });
    });
  }
  if (table.tBodies[0].rows.length > LONG) {
    table.parentElement.classList.add("long");
    search(table, table.parentElement);
  }
}

// Contents

const contents = document.querySelector("nav details");
if (contents) {
  const wide = matchMedia("(min-width: 68rem)");
  const show = () => { contents.open = wide.matches; };
  wide.addEventListener("change", show);
  show();
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const spy = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  document.querySelectorAll("main > section").forEach((section) => spy.observe(section));
}
