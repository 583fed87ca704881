import { make } from "thinklab/element.js";
import { button, testButtons, marked } from "thinklab/studio_dom.js";

// The detector on the answers of a run: how many show the behavior as the file stands, which, and which do not.

export function runSection(parent, runs, { choose, add }) {
  const part = make(parent, "section", "tl-run");
  make(part, "h4", "", "Detector on a run's rollouts");
  const row = make(part, "div", "tl-row"), label = make(row, "label", "tl-field tl-grow");
  make(label, "span", "tl-label", "run folder");
  const folder = make(label, "input"), list = make(part, "datalist");
  folder.placeholder = runs[0] ?? "runs/mine"; folder.spellcheck = false;
  list.id = `tl-runs-${Math.random().toString(36).slice(2)}`;
  folder.setAttribute("list", list.id);
  for (const name of runs) make(list, "option").value = name;
  let more = 1, kind = "fires", last = {};
  const look = () => { more = 1; choose(folder.value || folder.placeholder, more); if (!folder.value) folder.value = folder.placeholder; };
  button(row, "Look", look).classList.add("tl-bottom");
  folder.addEventListener("keydown", event => { if (event.key === "Enter") look(); });
  const out = make(part, "div", "tl-run-out");
  out.setAttribute("aria-live", "polite");

  function draw(report) {
    last = report ?? {};
    out.replaceChildren();
    if (last.error) { make(out, "p", "tl-bad", last.error); return; }
    if (!last.folder) { make(out, "p", "tl-soft", "Choose a run to see which of the student's own answers the detector finds, as you edit it."); return; }
    const share = (100 * last.shown / last.looked).toFixed(1);
    make(out, "p", "", `${last.shown} of ${last.looked} answers show the behavior (${share} %)`
      + (last.looked < last.total ? `; the last ${last.looked} of ${last.total} rollouts were looked at` : ""));
    const tabs = make(out, "div", "tl-tabs");
    for (const [name, text, n] of [["fires", "it fires on", last.shown], ["silent", "it is silent on", last.looked - last.shown]]) {
      const b = button(tabs, `${text} ${n}`, () => { kind = name; draw(last); }, "tl-tiny");
      b.setAttribute("aria-pressed", String(kind === name));
    }
    const found = last[kind], all = kind === "fires" ? last.shown : last.looked - last.shown, cards = make(out, "div", "tl-cards");
    if (!found.length) make(cards, "p", "tl-soft", "none");
    for (const answer of found) {
      const card = make(cards, "details", "tl-answer"), head = make(card, "summary");
      make(head, "span", "tl-soft", `step ${answer.step}${answer.guided ? ", before guidance" : ""} `);
      head.append(answer.text.length > 160 ? `… ${answer.text.slice(-160)}` : answer.text);
      make(card, "p", "tl-soft", answer.question);
      marked(card, "tl-text", answer.text, answer.spans);
      make(card, "p", "tl-soft", answer.why);
      testButtons(card, () => answer.text, add);
    }
    if (found.length < all) button(out, `more (${found.length} of ${all} are listed)`, () => choose(last.folder, ++more), "tl-tiny");
  }
  draw({});
  return { draw };
}
