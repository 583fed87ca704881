import { make } from "thinklab/element.js";
import { button, testButtons } from "thinklab/studio_dom.js";
import { makeEditor } from "thinklab/studio_editor.js";
import { runSection } from "thinklab/studio_run.js";
import { trainSection } from "thinklab/studio_train.js";

// The behavior studio: an editor, and what Python says about its content.
const PAUSE = 300; // ms without typing before Python is called

function render({ model, el }) {
  let report = model.get("report"), sent = 0, heardOf = 0, timer = 0, unsaved = false;
  const root = make(el, "div", "tl tl-studio"), top = make(root, "div", "tl-top");
  make(top, "h3", "", "Behavior");
  make(top, "code", "tl-file", model.get("file"));
  const state = make(top, "span", "tl-state"), tools = make(top, "span", "tl-tools");
  const wrap = make(make(tools, "label", "tl-check"), "input"), find = button(tools, "Find and replace", () => editor.find());
  wrap.type = "checkbox"; wrap.checked = true; wrap.parentElement.append(" wrap lines");
  wrap.addEventListener("change", () => editor.wrap(wrap.checked));
  make(find, "kbd", "", "Ctrl F");
  make(button(tools, "Save", () => ask("save"), "tl-primary"), "kbd", "", "Ctrl S");
  const say = make(root, "p", "tl-say");
  say.setAttribute("aria-live", "polite");
  const body = make(root, "div", "tl-body"), left = make(body, "div"), right = make(body, "div", "tl-right");
  const editor = makeEditor(make(left, "div", "tl-editor"), model.get("text"), () => {
    unsaved = true;
    say.textContent = "";
    status();
    later();
  });
  const findings = make(left, "div", "tl-findings");
  const tests = section("The file's tests"), detector = section("Detector on your own answers"), samples = make(detector, "div");
  button(detector, "Add an answer", () => { addSample(""); ask(); });
  const prompt = section("Prompt for the teacher");
  const question = field(prompt, "question", model.get("question")), answer = field(prompt, "student's answer", model.get("answer"));
  const size = make(prompt, "p", "tl-soft"), messages = make(prompt, "div");
  const addTest = (sample, shows) => ask("add_test", { sample, shows });
  const training = trainSection(root, { phrase: model.get("phrase"), reason: model.get("reason") }, { ask, again: () => model.send({ kind: "progress" }) });
  const run = runSection(root, model.get("runs"), { choose: (folder, more) => ask("run", { folder, more }), add: addTest });
  model.get("samples").forEach(addSample);

  function section(title) {
    const part = make(right, "section");
    make(part, "h4", "", title);
    return part;
  }
  function field(parent, label, value) {
    const holder = make(parent, "label", "tl-field");
    make(holder, "span", "tl-label", label);
    const input = make(holder, "textarea", "tl-small");
    input.value = value; input.rows = 1; input.spellcheck = false;
    input.addEventListener("input", later);
    return input;
  }
  function addSample(text) {
    const card = make(samples, "div", "tl-sample"), input = make(card, "textarea", "tl-small");
    input.value = text; input.rows = 2; input.spellcheck = false; input.setAttribute("aria-label", "an answer to test the detector on");
    input.addEventListener("input", later);
    const remove = button(card, "✕", () => { card.remove(); ask(); }, "tl-remove");
    remove.title = "remove this answer"; remove.setAttribute("aria-label", "remove this answer");
    make(card, "p", "tl-verdict");
    testButtons(card, () => input.value, addTest);
  }

  function draw() {
    editor.show(report.findings);
    findings.replaceChildren();
    if (!report.findings.length) make(findings, "p", "tl-good", "✓ no problems");
    for (const f of report.findings) {
      const b = make(findings, "button", f.level === "error" ? "tl-bad" : "tl-warn", `${f.line ? `line ${f.line}` : "another file"}: ${f.message}`);
      b.type = "button";
      b.addEventListener("click", () => { if (f.line) editor.goTo(f.line, f.column); });
    }
    tests.querySelectorAll("p").forEach(p => p.remove());
    for (const part of [samples, messages]) part.classList.toggle("tl-stale", !report.tests);
    if (!report.tests) { make(tests, "p", "tl-soft", "The file is not valid yet; the last valid results are below."); return; }
    make(tests, "p", report.tests.failed.length ? "tl-bad" : "tl-good",
      `${report.tests.failed.length ? "✗" : "✓"} ${report.tests.passed} passed, ${report.tests.failed.length} failed`
      + (report.tests.not_run ? `, ${report.tests.not_run} not run (they need a judge)` : ""));
    for (const text of report.tests.failed) make(tests, "p", "tl-text", text);
    [...samples.children].forEach((card, k) => {
      const d = report.samples[k], out = card.querySelector(".tl-verdict"), text = card.querySelector("textarea").value;
      out.replaceChildren();
      if (!d) return;
      make(out, "span", d.found === null ? "tl-warn" : d.found ? "tl-good" : "tl-bad", d.found === null ? "? " : d.found ? "✓ shown " : "✗ not shown ");
      make(out, "span", "tl-soft", d.why + " ");
      for (const [a, b] of d.spans) { make(out, "mark", "", text.slice(a, b)); out.append(" "); }
    });
    size.textContent = `one call: about ${report.tokens[0]} tokens in, ${report.tokens[1]} out; hash ${report.hash}`;
    const open = messages.querySelector("details")?.open;
    messages.replaceChildren();
    const shots = make(null, "details"), last = report.messages.length - 1;
    shots.open = open ?? false;
    make(shots, "summary", "", `${(last - 1) / 2} examples before the final turn`);
    report.messages.forEach((m, k) => {
      if (k === 1 && last > 1) messages.append(shots);
      const holder = k > 0 && k < last ? shots : messages;
      make(holder, "span", "tl-label", m.role);
      make(holder, "p", "tl-text tl-message", m.content);
    });
    run.draw(report.run);
  }
  function ask(kind = "check", more = {}) {
    clearTimeout(timer);
    model.send({ kind, n: ++sent, text: editor.text, samples: [...samples.querySelectorAll("textarea")].map(t => t.value),
      question: question.value, answer: answer.value, ...more });
    status();
  }
  function status() {
    state.textContent = sent > heardOf ? "checking …" : unsaved ? "not saved" : "";
    state.className = `tl-state ${unsaved ? "tl-warn" : "tl-soft"}`;
  }
  function later() { clearTimeout(timer); timer = setTimeout(ask, PAUSE); }
  const heard = message => {
    if (message.training) training.draw(message.training);
    if (message.kind === "progress") return;
    heardOf = Math.max(heardOf, message.n);
    training.fits(message.sentence);
    if (message.text !== undefined && message.n === sent) { editor.text = message.text; clearTimeout(timer); }
    if (message.saved) unsaved = false;
    if (message.said || message.error) { say.textContent = message.error ?? message.said; say.className = `tl-say ${message.error ? "tl-bad" : "tl-good"}`; }
    if (message.n === sent) report = message.report;
    status();
    draw();
  };
  root.addEventListener("keydown", event => {
    event.stopPropagation();
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask("save"); }
  });
  for (const kind of ["keyup", "keypress", "copy", "cut", "paste"]) root.addEventListener(kind, event => event.stopPropagation());
  // JupyterLab's shortcuts do not apply in the boxes; see review_pane.js
  const guard = event => { if (root.contains(event.target)) event.target.setAttribute("data-lm-suppress-shortcuts", ""); };
  window.addEventListener("keydown", guard, true);
  model.on("msg:custom", heard);
  training.draw(model.get("training"));
  status();
  draw();
  return () => {
    clearTimeout(timer);
    training.stop();
    editor.destroy();
    window.removeEventListener("keydown", guard, true);
    model.off("msg:custom", heard);
  };
}

export default { render };
