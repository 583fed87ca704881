// Guidance as written by the teacher, and as trained on.
import { chip, el, field, notice, searchBox, select } from "thinklab/dom.js";
import { get } from "thinklab/api.js";
import { pager } from "thinklab/pager.js";
import { diff } from "thinklab/text_diff.js";

/** What was taken away and what was added between two texts. */
export function changes(before, after) {
  return el("p", { class: "tl-text tl-diff" }, diff(before, after).map(([kind, text]) => kind === "=" ? text : el(kind === "+" ? "ins" : "del", {}, text)));
}

const SIZE = 15;

export async function guidanceTab(body, { id, at, params, whenChanged }) {
  let first = 0, turn = 0;
  const wanted = { text: "", status: params.get("status") ?? "" }, list = el("div", { class: "tl-cards" }), problem = el("div");
  const foot = pager(SIZE, to => { first = to; load(); });
  const status = select("status", [["", "any"], ["edited", "edited"], ["accepted", "accepted"], ["rejected", "rejected"]], wanted.status, v => { wanted.status = v; first = 0; load(); });
  body.append(el("p", { class: "tl-soft" }, "Newest first. Left: the student's answer and the teacher's raw reply. Right: the text that was appended and trained on; edits by a person are marked."),
    el("div", { class: "tl-tools" }, field("Search", searchBox("question, answer …", "", v => { wanted.text = v; first = 0; load(); })), field("Outcome", status)), problem, list, foot.node);

  async function load() {
    const mine = ++turn, { rows, total, complete } = await get("rollouts", { run: id, text: wanted.text, status: wanted.status || "guided", first, count: SIZE });
    const full = await Promise.all(rows.map(r => get("rollout", { run: id, id: r.id }).then(x => x.rollout)));
    if (mine !== turn) return;
    problem.replaceChildren(...(total ? [] : [notice(complete ? "No guidance matches the filters." : "Reading …")]));
    list.replaceChildren(...full.map(card));
    foot.show(first, rows.length, total, complete ? "" : " so far");
    body.dataset.loaded = "yes";
    if (!complete) setTimeout(() => { if (mine === turn) load(); }, 400);
  }
  function card(r) {
    const g = r.guidance, used = g.edited ?? g.text, edited = g.edited !== null && g.edited !== undefined;
    return el("article", { class: "tl-card" }, el("header", {}, el("a", { href: `${at}/rollout/${encodeURIComponent(r.id)}` }, `rollout ${r.id}`), el("span", { class: "tl-soft" }, `step ${r.step}, ${g.behavior}`), chip(g.status), g.verdict === null ? null : el("span", { class: "tl-soft" }, `teacher: ${g.verdict ? "correct" : "incorrect"}`),
      g.verdict === null || r.checks?.student_correct === undefined ? null : el("span", { class: g.verdict === r.checks.student_correct ? "tl-good" : "tl-bad" }, g.verdict === r.checks.student_correct ? "✓ the teacher is right" : "✗ the teacher is wrong")),
    el("div", { class: "tl-halves" }, el("div", {}, el("span", { class: "tl-label" }, "Question"), el("p", { class: "tl-text" }, r.example.question), el("span", { class: "tl-label" }, "The student's answer"), el("p", { class: "tl-text tl-quote" }, r.student_text), el("span", { class: "tl-label" }, "The raw reply"), el("p", { class: "tl-text tl-raw" }, g.raw || "(empty)")),
      el("div", {}, el("span", { class: "tl-label" }, g.status === "rejected" ? "Not used" : edited ? "As edited" : "As trained on"), g.status === "rejected" ? el("p", { class: "tl-bad tl-text" }, `${g.reason}: ${g.detail}`) : edited ? [changes(g.text ?? "", used), el("span", { class: "tl-label" }, "Trained on"), el("p", { class: "tl-text tl-quote tl-taught" }, used)] : el("p", { class: "tl-text tl-quote tl-taught" }, used))));
  }
  await load();
  whenChanged(() => first === 0 ? load() : null);
}
