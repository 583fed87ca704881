// One run: its head, and the tabs below it.
import { ago, chip, el, notice, number } from "thinklab/dom.js";
import { exported, get } from "thinklab/api.js";
import { draw } from "thinklab/plot.js";
import { rolloutsTab } from "thinklab/rollouts.js";
import { rolloutTab } from "thinklab/rollout.js";
import { guidanceTab } from "thinklab/guidance.js";
import { probeTab } from "thinklab/probe.js";

const TABS = { curves: ["Curves", curvesTab], rollouts: ["Rollouts", rolloutsTab], guidance: ["Guidance", guidanceTab], probe: ["Probe", probeTab], config: ["Config", configTab] };
const LIVE = 3000;

export async function runPage(place, [id, tab = "curves", detail], params) {
  const run = await get("run", { run: id }), at = `#/run/${encodeURIComponent(id)}`, s = run.summary;
  const facts = [s.method, s.behaviors?.join(", "), s.student && `student ${s.student}`, s.teacher && s.method !== "grpo" && `teacher ${s.teacher}`, s.task && `task ${s.task}`, s.seed !== null && s.seed !== undefined && `seed ${s.seed}`].filter(Boolean);
  const status = el("span", { class: "tl-status" });
  place.append(el("nav", { class: "tl-crumbs", "aria-label": "where this is" }, el("a", { href: "#/" }, "Runs"), " / "),
    el("div", { class: "tl-title" }, el("h1", {}, id === "." ? s.name : id), status), el("p", { class: "tl-soft tl-facts-line" }, facts.join("  ·  ")));
  place.append(el("nav", { class: "tl-tabs", "aria-label": "views of this run" }, Object.entries(TABS).map(([key, [name]]) => el("a", { href: `${at}/${key}`, "aria-current": key === tab || (key === "rollouts" && tab === "rollout") ? "page" : undefined }, name))));
  const body = el("div", { class: "tl-tab" });
  place.append(body);
  let timer = 0, gone = false, changed = () => {}, version = s.version;
  const shown = summary => status.replaceChildren(chip(summary.status), " ", el("span", { class: "tl-soft" }, `step ${summary.step}${summary.steps ? ` of ${summary.steps}` : ""}`, summary.seconds ? `, ${number(summary.seconds / 60, 2)} min` : "", summary.changed ? `, ${ago(summary.changed)}` : ""), summary.review ? [" ", el("a", { class: "tl-to-review", href: summary.review }, "open review")] : "");
  if (s.error) { place.append(notice(s.error, "tl-bad")); return; }
  shown(s);
  const left = await (tab === "rollout" ? rolloutTab : (TABS[tab] ?? TABS.curves)[1])(body, { id, at, run, params, detail, whenChanged: f => { changed = f; } });
  async function look() {
    try {
      const now = (await get("run", { run: id })).summary;
      if (gone) return;
      shown(now);
      if (now.version !== version) { version = now.version; await changed(); }
    } catch { /* the next look may do better */ }
    if (!gone) timer = setTimeout(look, LIVE);
  }
  if (!exported) timer = setTimeout(look, LIVE);
  return () => { gone = true; clearTimeout(timer); left?.(); };
}

async function curvesTab(body, { id, run, whenChanged }) {
  const alarms = el("div"), figures = el("div", { class: "tl-figures" });
  body.append(alarms, figures);
  alarms.replaceChildren(...(run.alarms.length ? [el("details", { class: "tl-alarms", open: run.alarms.length < 3 }, el("summary", {}, `${run.alarms.length} alarm${run.alarms.length > 1 ? "s" : ""} of the guards`),
    el("ul", {}, run.alarms.map(a => el("li", {}, el("b", {}, `Step ${a.step}: ${a.seen}. `), `${a.cause ?? ""} `, el("span", { class: "tl-soft" }, a.mend ?? "")))))] : []));
  let found = [];
  const paint = () => draw(figures, found);
  const read = async () => {
    found = await get("figures", { run: id });
    if (!found.length) figures.replaceChildren(notice("No step has been trained yet."));
    else { if (figures.querySelector(".tl-notice")) figures.replaceChildren(); await paint(); }
  };
  await read();
  whenChanged(read);
  addEventListener("thinklab-theme", paint);
  return () => removeEventListener("thinklab-theme", paint);
}

async function configTab(body, { run }) {
  const flat = (value, place = "") => value && typeof value === "object" && Object.keys(value).length ? Object.entries(value).flatMap(([k, v]) => flat(v, place ? `${place}.${k}` : k)) : [[place, Array.isArray(value) || (value && typeof value === "object") ? JSON.stringify(value) : value === null ? "null" : String(value)]];
  const table = rows => el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-config" }, el("tbody", {}, rows.map(([k, v]) => el("tr", {}, el("th", { scope: "row" }, k), el("td", { class: "tl-text" }, v))))));
  body.append(el("h2", {}, "Config"), table(flat(run.config)), el("h2", {}, "Hashes of the behaviors and own files"), table(flat(run.hashes)), el("h2", {}, "Versions"), table(flat(run.versions)));
}
