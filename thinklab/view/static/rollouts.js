// The rollouts of one run, page by page: search, filters, sort. The server knows where each line begins; a page is a short read.
import { chip, count, el, field, notice, number, searchBox, select } from "thinklab/dom.js";
import { get, query } from "thinklab/api.js";
import { pager } from "thinklab/pager.js";

const SIZE = 50, AGAIN = 350;
export const sign = (value, yes, no) => value === null || value === undefined ? null : el("span", { class: value ? "tl-good" : "tl-bad" }, value ? `✓ ${yes}` : `✗ ${no}`);

export async function rolloutsTab(body, { id, at, params, whenChanged }, fixed = {}) {
  const wanted = { text: "", behavior: "", status: "", verdict: "", answer: "", shows: "", least: "", most: "", sort: "newest", ...Object.fromEntries(params) };
  let first = +(params.get("first") ?? 0), turn = 0, timer = 0, gone = false, facets = {};
  const rows = el("tbody"), state = el("span", { class: "tl-soft" }), problem = el("div"), foot = pager(SIZE, to => { first = to; load(); body.scrollIntoView({ block: "start" }); });
  const set = key => value => { wanted[key] = value; first = 0; load(); };
  const pick = (key, label, options) => select(label, options, wanted[key], set(key));
  const behavior = pick("behavior", "behavior", [["", "any"]]), status = pick("status", "status", [["", "any"]]);
  const bound = (key, label) => el("input", { type: "number", step: "0.05", class: "tl-bound", "aria-label": label, value: wanted[key], placeholder: key === "least" ? "min" : "max", onchange: e => set(key)(e.target.value) });
  const tools = [field("Search", searchBox("question, answer …", wanted.text, set("text"))), field("Behavior", behavior), field("Guidance", status),
    field("Verdict", pick("verdict", "verdict", [["", "any"], ["correct", "teacher: correct"], ["incorrect", "teacher: incorrect"], ["agrees", "teacher is right"], ["disagrees", "teacher is wrong"], ["none", "none"]])),
    field("Answer", pick("answer", "student's answer", [["", "any"], ["right", "right"], ["wrong", "wrong"]])), field("Detector", pick("shows", "detector", [["", "any"], ["yes", "shows it"], ["no", "does not"]])),
    el("div", { class: "tl-field" }, el("span", { class: "tl-label" }, "Reward"), el("span", { class: "tl-bounds" }, bound("least", "least reward"), bound("most", "most reward"))),
    field("Order", pick("sort", "order", [["newest", "newest"], ["oldest", "oldest"], ["-reward", "reward, high"], ["reward", "reward, low"], ["-advantage", "advantage, high"], ["advantage", "advantage, low"]]))];
  body.append(el("div", { class: "tl-tools" }, tools), problem, el("div", { class: "tl-scroll" }, el("table", { class: "tl-table tl-rollouts" },
    el("thead", {}, el("tr", {}, ["Step", "Question", "Student's answer", "Guidance", "", "Reward", "Adv."].map(h => el("th", {}, h)))), rows)), el("div", { class: "tl-foot" }, foot.node, state));

  function fill(node, values) {
    if (node.options.length === values.length + 1) return;
    const value = node.value || wanted[node.ariaLabel];
    node.replaceChildren(el("option", { value: "" }, "any"), ...values.map(v => el("option", { value: v }, v || "none")));
    node.value = value;
  }
  async function load() {
    const mine = ++turn, begin = performance.now();
    clearTimeout(timer);
    let page;
    try { page = await get("rollouts", { run: id, ...wanted, ...fixed, first, count: SIZE }); }
    catch (error) { if (mine === turn) problem.replaceChildren(notice(error.message, "tl-bad")); return; }
    if (mine !== turn || gone) return;
    facets = page.facets;
    const kinds = facets.status ?? [], rejected = kinds.filter(s => s.startsWith("rejected: "));
    fill(behavior, (facets.behavior ?? []).filter(Boolean));
    fill(status, [...kinds.filter(s => !s.startsWith("rejected: ")), ...(rejected.length ? ["rejected", ...rejected] : [])]);
    problem.replaceChildren(...(page.damaged.length ? [notice(`rollouts.jsonl: line ${page.damaged.join(", ")} is unreadable and not shown`, "tl-bad")] : []),
      ...(page.cut ? [notice(`This export contains the newest ${count(page.all)} of ${count(page.cut)} rollouts.`)] : []));
    rows.replaceChildren(...page.rows.map(r => el("tr", { class: "tl-open", "data-id": r.id, onclick: e => { if (!e.target.closest("a")) location.hash = `${at.slice(1)}/rollout/${encodeURIComponent(r.id)}`; } },
      el("td", {}, el("a", { href: `${at}/rollout/${encodeURIComponent(r.id)}` }, r.step, el("small", { class: "tl-block" }, r.id))),
      el("td", { class: "tl-text" }, r.question, el("small", { class: "tl-block" }, `answer: ${r.gold}`)),
      el("td", { class: "tl-text" }, r.student, el("small", { class: "tl-block" }, sign(r.right, "right", "wrong"))),
      el("td", { class: "tl-text tl-cell-guidance" }, r.status === "rejected" ? el("span", { class: "tl-soft" }, r.guidance) : r.guidance),
      el("td", {}, el("span", { class: "tl-chips" }, r.status === "unguided" ? null : chip(r.status), r.status === "rejected" ? el("small", {}, r.reason) : null, r.verdict === null || r.verdict === undefined ? null : el("small", {}, `teacher: ${r.verdict ? "correct" : "incorrect"}`), r.shows ? el("small", { class: "tl-good" }, "shows it") : null)),
      el("td", { class: "tl-num" }, number(r.reward)), el("td", { class: "tl-num" }, r.advantage === null ? "" : (+r.advantage).toFixed(2)))));
    const share = page.size ? page.known / page.size : 1;
    foot.show(first, page.rows.length, page.total, page.complete ? "" : " so far");
    state.textContent = page.complete ? `${count(page.all)} rollouts in all, this page in ${Math.round(performance.now() - begin)} ms` : `reading, ${Math.round(100 * share)} % of the file`;
    body.dataset.complete = String(page.complete);
    if (!page.complete) timer = setTimeout(load, AGAIN);
    const kept = Object.fromEntries(Object.entries({ ...wanted, first: first || "" }).filter(([k, v]) => v && !(k === "sort" && v === "newest")));
    history.replaceState(null, "", `${location.hash.split("?")[0]}${Object.keys(kept).length ? `?${query(kept)}` : ""}`);
  }
  await load();
  whenChanged(() => { if (first === 0 && wanted.sort === "newest") return load(); });
  return () => { gone = true; clearTimeout(timer); };
}
