// All runs in one table: sorted, filtered, and updated while they train.
import { ago, chip, el, field, notice, number, percent, rate, searchBox, select, spark } from "thinklab/dom.js";
import { exported, get } from "thinklab/api.js";

const LIVE = 2000; // ms between updates
const last = (v, curve, label) => v === null || v === undefined ? null : el("span", { class: "tl-now" }, percent(v), " ", spark(curve, label));
const COLUMNS = [
  ["Run", r => r.id, r => el("span", {}, el("a", { href: `#/run/${encodeURIComponent(r.id)}`, class: "tl-name" }, r.id === "." ? r.name : r.id), r.review && el("a", { class: "tl-to-review", href: r.review }, "open review"), el("small", { class: "tl-block" }, [...(r.behaviors ?? []), r.student].filter(Boolean).join(", ")))],
  ["Status", r => r.status, r => chip(r.status)],
  ["Steps", r => r.step ?? 0, r => r.error ? null : el("span", { class: "tl-steps-done" }, el("span", { class: "tl-progress-bar" }, el("i", { style: { width: `${100 * Math.min(1, r.steps ? r.step / r.steps : 1)}%` } })), ` ${r.step}${r.steps ? ` / ${r.steps}` : ""}`)],
  ["Method", r => r.method ?? "", r => r.method],
  ["Accuracy", r => r.accuracy?.value ?? r.last_accuracy ?? -1, r => r.accuracy ? el("span", { class: "tl-now" }, rate(r.accuracy), spark(r.curve, "accuracy of unguided answers, by step")) : last(r.last_accuracy, r.curve, "accuracy of unguided answers, by step")],
  ["Behavior", r => r.behavior?.value ?? r.last_behavior ?? -1, r => r.behavior ? el("span", { class: "tl-now" }, rate(r.behavior), spark(r.curve_behavior, "unguided answers that show the behavior, by step")) : last(r.last_behavior, r.curve_behavior, "unguided answers that show the behavior, by step")],
  ["KL", r => r.kl ?? -1, r => number(r.kl, 2)],
  ["Alarms", r => r.alarms ?? 0, r => r.alarms ? el("span", { class: "tl-warn" }, String(r.alarms)) : ""],
  ["Changed", r => r.changed ?? 0, r => r.changed ? ago(r.changed) : ""],
];
const TITLES = { Run: "its folder, behaviors, and student", Accuracy: "after training, with its 95 % interval; of unguided answers during training", "Behavior": "answers that show the behavior, with its 95 % interval", KL: "to the base on neutral text, nats per token" };

export async function runsPage(place) {
  let runs = [], sort = { column: "Changed", down: true }, text = "", status = "", method = "", timer = 0, gone = false;
  const chosen = new Set(), body = el("tbody"), heads = el("tr"), said = el("span", { class: "tl-soft" });
  const compare = el("button", { type: "button", disabled: true, onclick: () => { const [a, b] = [...chosen]; location.hash = `#/compare?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}`; } }, "Compare two runs");
  const statuses = select("status", [["", "any status"]], "", v => { status = v; draw(); }), methods = select("method", [["", "any method"]], "", v => { method = v; draw(); });
  const title = el("h1", {}, "Runs"), problem = el("div");
  place.append(el("div", { class: "tl-title" }, title, said), problem,
    el("div", { class: "tl-tools" }, field("Find", searchBox("name, student, behavior", "", v => { text = v.toLowerCase(); draw(); })), field("Status", statuses), field("Method", methods), el("span", { class: "tl-grow" }), compare),
    el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-runs" }, el("thead", {}, heads), body)));

  function options(node, any, values) {
    const known = [...node.options].map(o => o.value).join(), now = ["", ...values].join();
    if (known !== now) { const value = node.value; node.replaceChildren(...["", ...values].map(v => el("option", { value: v }, v || any))); node.value = values.includes(value) ? value : ""; }
  }
  function draw() {
    options(statuses, "any status", [...new Set(runs.map(r => r.status))].sort());
    options(methods, "any method", [...new Set(runs.map(r => r.method).filter(Boolean))].sort());
    const [, key] = COLUMNS.find(c => c[0] === sort.column), way = sort.down ? -1 : 1;
    const seen = runs.filter(r => (!status || r.status === status) && (!method || r.method === method) && (!text || [r.id, r.name, r.student, r.method, ...(r.behaviors ?? [])].join(" ").toLowerCase().includes(text)))
      .sort((x, y) => { const a = key(x), b = key(y); return way * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b); });
    heads.replaceChildren(el("th", { class: "tl-pick" }, el("span", { class: "tl-hidden" }, "compare")), ...COLUMNS.map(([name]) => el("th", { "aria-sort": sort.column === name ? (sort.down ? "descending" : "ascending") : "none", title: TITLES[name] ?? "" },
      el("button", { type: "button", onclick: () => { sort = { column: name, down: sort.column === name ? !sort.down : !["Run", "Status", "Method"].includes(name) }; draw(); } }, name, el("span", { "aria-hidden": "true" }, sort.column === name ? (sort.down ? " ↓" : " ↑") : "")))));
    body.replaceChildren(...seen.map(r => el("tr", { "data-run": r.id },
      el("td", { class: "tl-pick" }, r.error ? null : el("input", { type: "checkbox", "aria-label": `compare ${r.id}`, checked: chosen.has(r.id), onchange: e => { if (e.target.checked) { if (chosen.size === 2) chosen.delete([...chosen][0]); chosen.add(r.id); } else chosen.delete(r.id); draw(); } })),
      r.error ? [...COLUMNS.slice(0, 2).map(([, , cell]) => el("td", {}, cell(r))), el("td", { colSpan: COLUMNS.length - 2, class: "tl-bad tl-text" }, r.error)] : COLUMNS.map(([, , cell]) => el("td", {}, cell(r))))));
    compare.disabled = chosen.size !== 2;
    const busy = runs.filter(r => ["running", "in review"].includes(r.status)).length;
    said.textContent = `${seen.length === runs.length ? "" : `${seen.length} of `}${runs.length} run${runs.length === 1 ? "" : "s"}${busy ? `, ${busy} at work` : ""}`;
  }
  async function look() {
    try {
      const found = await get("runs");
      if (gone) return;
      const same = JSON.stringify(found.runs) === JSON.stringify(runs);
      runs = found.runs;
      title.textContent = found.root === "runs" ? "Runs" : `Runs in ${found.root}`;
      problem.replaceChildren(...(runs.length ? [] : [notice("There is no run here yet. Start one with `thinklab train` or `thinklab demo`.")]));
      if (!same) draw();
    } catch (error) { if (!runs.length) throw error; problem.replaceChildren(notice(error.message, "tl-bad")); }
    if (!gone && !exported) timer = setTimeout(look, LIVE);
  }
  await look();
  return () => { gone = true; clearTimeout(timer); };
}
