// Two runs side by side: config differences, overlaid curves, probes and answers side by side.
import { chip, el } from "thinklab/dom.js";
import { get } from "thinklab/api.js";
import { draw } from "thinklab/plot.js";
import { answersList, rates } from "thinklab/probe.js";

export async function comparePage(place, _, params) {
  const pair = [params.get("a"), params.get("b")], found = await get("compare", { a: pair[0], b: pair[1] }), kinds = ["one", "two"];
  place.append(el("nav", { class: "tl-crumbs", "aria-label": "where this is" }, el("a", { href: "#/" }, "Runs"), " / "), el("div", { class: "tl-title" }, el("h1", {}, "Two runs side by side")),
    el("div", { class: "tl-halves tl-pair" }, pair.map((id, k) => el("div", { class: "tl-panel" }, el("div", {}, el("i", { class: `tl-key ${kinds[k]}` }), el("a", { class: "tl-name", href: `#/run/${encodeURIComponent(id)}` }, found.names[k]), " ", chip(found.summaries[k].status)), el("p", { class: "tl-soft" }, [found.summaries[k].method, (found.summaries[k].behaviors ?? []).join(", "), `step ${found.summaries[k].step}`].filter(Boolean).join("  ·  "))))));
  const differ = found.config.filter(([key]) => key !== "name");
  place.append(el("h2", {}, "Config differences"), differ.length ? el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-config" }, el("thead", {}, el("tr", {}, el("th", {}, "key"), found.names.map(n => el("th", {}, n)))), el("tbody", {}, differ.map(([key, a, b]) => el("tr", {}, el("th", { scope: "row" }, key), [a, b].map(v => el("td", { class: "tl-text" }, v === null ? "–" : typeof v === "string" ? v : JSON.stringify(v)))))))) : el("p", { class: "tl-soft" }, "Only the name."));
  const probes = ["T=1", "greedy"].map(d => [d, found.probes.map((p, k) => ({ p: p.rows.find(r => r.stage === "after" && r.decoding === d), k })).filter(x => x.p)]).filter(([, c]) => c.length);
  for (const [d, columns] of probes) place.append(el("h2", {}, d === "T=1" ? "After training, sampled at T=1" : "After training, greedy"), rates(columns.map(({ p, k }) => ({ name: found.names[k], kind: kinds[k], rates: p.rates, tokens: p.tokens }))));
  const figures = el("div", { class: "tl-figures" }), list = el("div");
  place.append(el("h2", {}, "Curves"), figures, list);
  const data = await get("figures", { run: pair }), paint = () => draw(figures, data);
  if (data.length) await paint();
  await answersList(list, pair);
  addEventListener("thinklab-theme", paint);
  return () => removeEventListener("thinklab-theme", paint);
}
