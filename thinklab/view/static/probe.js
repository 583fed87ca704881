// The probe before and after training: rates with their intervals, and the answers behind them.
import { el, field, interval, notice, rate, searchBox } from "thinklab/dom.js";
import { get } from "thinklab/api.js";
import { pager } from "thinklab/pager.js";

/** A table of rates: one line per rate, one mark per column. `columns`: [{ name, kind, rates, tokens }]. */
export function rates(columns) {
  const names = [...new Set(columns.flatMap(c => Object.keys(c.rates)))];
  return el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-rates" }, el("thead", {}, el("tr", {}, el("th", {}, ""), columns.map(c => el("th", {}, el("i", { class: `tl-key ${c.kind}` }), c.name)), el("th", { class: "tl-axis" }, el("span", {}, "0 %"), el("span", {}, "50 %"), el("span", {}, "100 %")))),
    el("tbody", {}, names.map(n => el("tr", {}, el("th", { scope: "row" }, n), columns.map(c => el("td", {}, rate(c.rates[n]))), el("td", { class: "tl-wide" }, interval(columns.filter(c => c.rates[n]?.total).map(c => ({ rate: c.rates[n], kind: c.kind, label: c.name })))))),
      el("tr", {}, el("th", { scope: "row" }, "tokens per answer"), columns.map(c => el("td", {}, c.tokens?.toFixed(1) ?? "")), el("td")))));
}

export async function probeTab(body, { id, whenChanged }) {
  const top = el("div"), list = el("div");
  body.append(top, list);
  async function load() {
    const found = await get("probe", { run: id });
    const total = found.rows[0]?.rates.accuracy.total;
    top.replaceChildren(...(found.rows.length ? [el("p", { class: "tl-soft" }, `${total} answers to held-out questions, without guidance or hint. Bars are 95 % Wilson intervals.${found.steps ? ` After ${found.steps} steps.` : ""}`),
      found.stopped ? notice(`The run ended early: ${found.stopped}`, "tl-warn") : null, el("ul", { class: "tl-sentences" }, found.sentences.map(s => el("li", {}, s))),
      ...[...new Set(found.rows.map(r => r.decoding))].map(d => el("section", {}, el("h2", {}, d === "T=1" ? "Sampled at T=1" : "Greedy"), rates(found.rows.filter(r => r.decoding === d).map(r => ({ name: `${r.stage} training`, kind: r.stage, rates: r.rates, tokens: r.tokens })))))]
      : [notice("This run has not been probed yet: a run is probed before and after training; `thinklab probe RUN` measures more.")]).filter(Boolean));
  }
  await load();
  const answered = await answersList(list, [id]);
  whenChanged(() => Promise.all([load(), answered()]));
}

/** The same questions with the answers of each column beside each other; returns what loads it again. */
export async function answersList(place, runs) {
  const size = 20, rows = el("tbody"), head = el("tr"), foot = pager(size, to => { first = to; load(); });
  let first = 0, text = "", turn = 0;
  const box = el("section", { hidden: true }, el("h2", {}, "The same questions, side by side"), el("div", { class: "tl-tools" }, field("Search", searchBox("question or answer", "", v => { text = v; first = 0; load(); }))),
    el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-answers" }, el("thead", {}, head), rows)), foot.node);
  place.append(box);
  async function load() {
    const mine = ++turn, found = await get("answers", { run: runs, text, first, count: size });
    if (mine !== turn) return;
    box.hidden = !found.columns.length && !text;
    head.replaceChildren(el("th", {}, "Question"), ...found.columns.map(c => el("th", {}, c)));
    rows.replaceChildren(...found.rows.map(r => el("tr", {}, el("td", { class: "tl-text" }, r.question, el("small", { class: "tl-block" }, `answer: ${r.gold}`)), found.columns.map(c => el("td", { class: "tl-text" }, (r.answers[c] ?? []).map(a => el("div", {}, a.text, el("small", { class: "tl-block" }, el("span", { class: a.correct ? "tl-good" : "tl-bad" }, a.correct ? "✓ right" : "✗ wrong"), a.shows.map(b => [" ", el("span", { class: "tl-chip tl-soft" }, b)])))))))));
    foot.show(first, found.rows.length, found.total);
  }
  await load();
  return load;
}
