// Studies (arms against measures) and evaluations (methods against benchmarks), tinted by value.
import { el, notice, number } from "thinklab/dom.js";
import { get } from "thinklab/api.js";

export async function gridsPage(place) {
  const found = await get("grids");
  place.append(el("div", { class: "tl-title" }, el("h1", {}, "Studies and evaluations")), found.length ? el("ul", { class: "tl-list" }, found.map(g => el("li", {}, el("a", { class: "tl-name", href: `#/grid/${encodeURIComponent(g.id)}` }, g.id === "." ? g.name : g.id), " ", el("span", { class: "tl-chip tl-soft" }, g.kind))))
    : notice("There is none here. `thinklab study STUDY` and `thinklab eval` create one; open the folder with their output."));
}

const shown = c => c.unit === "%" ? `${(100 * c.value).toFixed(1)} %` : number(c.value);
const ends = c => c.low === undefined || c.low === null || c.low === c.high ? null : el("small", { class: "tl-block" }, c.unit === "%" ? `${(100 * c.low).toFixed(0)} to ${(100 * c.high).toFixed(0)}` : `${number(c.low)} to ${number(c.high)}`);

export async function gridPage(place, [id]) {
  const g = await get("grid", { id });
  place.append(el("nav", { class: "tl-crumbs", "aria-label": "where this is" }, el("a", { href: "#/grids" }, "Studies and evaluations"), " / "), el("div", { class: "tl-title" }, el("h1", {}, g.name), el("span", { class: "tl-chip tl-soft" }, g.kind)),
    el("p", { class: "tl-soft" }, g.kind === "study" ? "Means over seeds, with the range below. The tint ranges from the lowest to the highest value of a column; hover for each seed." : "With 95 % intervals below. The tint ranges from the lowest to the highest value of a column; hover for the counts."));
  for (const t of g.tables) {
    const extremes = t.columns.map((_, k) => { const v = t.rows.map(r => r.cells[k]?.value).filter(x => x !== undefined && x !== null); return [Math.min(...v), Math.max(...v)]; });
    place.append(el("h2", {}, t.title), el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-grid" }, el("thead", {}, el("tr", {}, el("th", {}, ""), t.columns.map(c => el("th", {}, c)))),
      el("tbody", {}, t.rows.map(r => el("tr", {}, el("th", { scope: "row" }, r.name, r.note ? el("small", { class: "tl-block" }, r.note) : null), r.cells.map((c, k) => {
        if (!c) return el("td", { class: "tl-soft" }, "–");
        const [low, high] = extremes[k], share = high > low ? (c.value - low) / (high - low) : 0;
        return el("td", { class: "tl-tint", style: { "--share": share.toFixed(3) }, title: (c.each ?? []).join("\n") }, el("b", {}, shown(c)), ends(c));
      })))))));
  }
  if (!g.tables.length) place.append(notice("The table is empty."));
}
