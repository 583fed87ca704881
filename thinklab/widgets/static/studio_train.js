import { make } from "thinklab/element.js";
import { button } from "thinklab/studio_dom.js";

// "Train this on the embedded student": a sentence, a button, how it goes, and what came of it. Python is asked again while it runs.

const ASK_AGAIN = 1000, WIDTH = 360, HEIGHT = 64; // ms, px

export function trainSection(parent, { phrase, reason }, { ask, again }) {
  const part = make(parent, "section", "tl-train");
  make(part, "h4", "", "Train this on the embedded student");
  make(part, "p", "tl-soft", "On this machine, without a key: a teacher adds one sentence to a quarter of the student's answers, and the student learns from that. "
    + "{gold} is the right answer; {question} and {answer}, the student's own, can be used, too.");
  const row = make(part, "div", "tl-row");
  const field = (text, className) => { const l = make(row, "label", `tl-field ${className}`); make(l, "span", "tl-label", text); return make(l, "input"); };
  const why = field("before it, the reason", "tl-grow"), sentence = field("the teacher's sentence", "tl-grow"), steps = field("steps", "tl-narrow");
  why.value = reason; why.spellcheck = false; why.parentElement.hidden = !reason; // most behaviors splice the sentence alone
  sentence.value = phrase; sentence.placeholder = "I check: {gold}."; sentence.spellcheck = false;
  Object.assign(steps, { type: "number", min: 1, max: 2000, value: 60 });
  const go = button(row, "Train this on the embedded student", () => ask("train", { ...said(), steps: Number(steps.value) }), "tl-primary tl-bottom");
  const halt = button(row, "Stop", () => ask("stop"), "tl-bottom");
  const fits = make(part, "p", "tl-fits"), out = make(part, "div", "tl-train-out");
  out.setAttribute("aria-live", "polite");
  let pause = 0, timer = 0;
  function said() { return { phrase: sentence.value, reason: why.parentElement.hidden ? "" : why.value }; }
  for (const box of [sentence, why]) box.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(() => ask("sentence", said()), 300); });

  function draw(state) {
    clearTimeout(timer);
    const running = state.phase === "running";
    if (running) timer = setTimeout(again, ASK_AGAIN);
    go.disabled = running;
    halt.hidden = !running;
    out.replaceChildren();
    if (!state.phase) return;
    if (running) {
      const bar = make(out, "progress");
      bar.max = state.steps; bar.value = state.step;
      bar.setAttribute("aria-label", "steps trained");
      make(out, "p", "", `${state.say}: step ${state.step} of ${state.steps}`);
    } else make(out, "p", { done: state.learned ? "tl-good" : "tl-warn", stopped: "tl-warn", failed: "tl-bad" }[state.phase], state.say);
    if (state.behavior?.length > 1) curve(make(out, "figure"), state.behavior, state.steps);
    if (state.result) results(out, state);
    if (state.run && !running) make(out, "p", "tl-soft", `The run is in ${state.run}: thinklab view, thinklab probe and thinklab report read it. Again from a terminal: thinklab train ${state.run}.yaml --out ANOTHER-FOLDER`);
  }
  return { draw, fits(said) { if (said) { fits.textContent = `${said.ok ? "✓" : "✗"} ${said.say}`; fits.className = `tl-fits ${said.ok ? "tl-good" : "tl-bad"}`; } },
    stop() { clearTimeout(timer); clearTimeout(pause); } };
}

function curve(figure, shares, steps) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), line = document.createElementNS(ns, "polyline");
  svg.setAttribute("viewBox", `-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `behavior in unguided answers, now ${Math.round(100 * shares.at(-1))} %`);
  line.setAttribute("points", shares.map((y, k) => `${(WIDTH * k / Math.max(1, steps - 1)).toFixed(1)},${(HEIGHT * (1 - y)).toFixed(1)}`).join(" "));
  svg.append(line);
  figure.append(svg);
  make(figure, "figcaption", "tl-soft", `behavior in unguided answers, step by step; now ${Math.round(100 * shares.at(-1))} %`);
}

function results(out, { result, answers }) {
  const table = make(out, "table"), percent = r => `${(100 * r.value).toFixed(0)} % [${(100 * r.low).toFixed(0)}, ${(100 * r.high).toFixed(0)}]`;
  const line = (cells, tag) => { const tr = make(table, "tr"); cells.forEach((c, k) => make(tr, k ? tag : "th", "", c)); };
  line(["held-out questions, no guidance", "behavior", "accuracy"], "th");
  for (const stage of ["before", "after"]) line([`${stage} training`, percent(result[stage].behavior), percent(result[stage].accuracy)], "td");
  const pairs = make(out, "table", "tl-before-after"), head = make(pairs, "tr");
  for (const text of ["question", "before", "after"]) make(head, "th", "", text);
  for (const pair of answers) {
    const tr = make(pairs, "tr");
    make(tr, "td", "", pair.question);
    for (const stage of ["before", "after"]) {
      const td = make(tr, "td");
      make(td, "span", pair[stage].shows ? "tl-good" : "tl-soft", pair[stage].shows ? "✓ " : "");
      td.append(pair[stage].text);
    }
  }
}
