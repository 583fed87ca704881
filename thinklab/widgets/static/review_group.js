// The other answers to the question, and the effect of a decision on all advantages.
import { make } from "thinklab/element.js";
import { fill } from "thinklab/rich_text.js";

export const signed = v => `${v > 0.005 ? "+" : v < -0.005 ? "−" : ""}${Math.abs(v).toFixed(2)}`;
const colored = (parent, v) => make(parent, "span", v > 0.005 ? "tl-good" : v < -0.005 ? "tl-bad" : "tl-soft", signed(v));
const worth = v => String(+v.toFixed(4));

/** One or two lines: this answer's advantage if it is accepted, and if it is rejected. */
export function drawAdvantage(place, effect, here) {
  place.replaceChildren();
  if (!effect) { make(place, "div", "tl-soft", effect === null ? "unknown here" : "…"); return; }
  if (effect.imitates) { make(place, "div", "tl-soft", "this method imitates accepted texts with weight 1, regardless of their reward"); return; }
  for (const [what, values] of [["accepted", effect.accepted], ["rejected", effect.rejected]]) {
    const line = make(place, "div", `tl-if-${what}`, `if ${what}: `);
    colored(line, values[here]);
    if (values.every(v => v === 0)) make(line, "span", "tl-soft", " (all rewards are equal, so there is no gradient)");
  }
}

/** The table of the group. `rows` come from Python once per item, `effect` for the text in the box. */
export function drawGroup(place, rows, effect, words) {
  const open = new Set([...place.querySelectorAll("details[open]")].map(d => d.dataset.id));
  place.replaceChildren();
  if (!rows || rows.length < 2) { make(place, "p", "tl-soft", rows ? "This is the only answer to this question." : "…"); return; }
  const table = make(place, "table", "tl-group-table"), head = make(make(table, "thead"), "tr");
  for (const name of ["answer", "reward", "if accepted", "if rejected"]) make(head, "th", "", name);
  const body = make(table, "tbody");
  rows.forEach((row, k) => {
    const line = make(body, "tr", row.this ? "tl-this" : ""), answer = make(line, "td", "tl-group-answer");
    const whole = make(answer, "details");
    whole.dataset.id = row.id;
    whole.open = open.has(row.id);
    const short = make(whole, "summary");
    make(short, "span", "tl-soft", `${row.this ? "this answer" : row.id}${row.state ? `, ${words[row.state]}` : ", not guided"}${row.correct === null ? "" : row.correct ? ", right" : ", wrong"}`);
    const end = row.text.trim().slice(-140);
    make(short, "span", "tl-end", (end.length < row.text.trim().length ? "… " : "") + end);
    const text = make(whole, "div", "tl-text");
    const draw = () => { if (whole.open && !text.firstChild) fill(text, row.text, row.rich); };
    whole.addEventListener("toggle", draw);
    draw();
    make(line, "td", "", effect ? worth(effect.rewards[k]) : "…");
    for (const values of [effect?.accepted, effect?.rejected]) {
      const cell = make(line, "td");
      if (values) colored(cell, values[k]); else make(cell, "span", "tl-soft", effect === null ? "unknown" : "…");
    }
  });
  make(place, "p", "tl-soft", "Advantages as training would compute them, with every other answer in its current state: undecided guidance counts as the "
    + "teacher wrote it. Rewards of this answer are with the text in the box; judges are not included.");
}
