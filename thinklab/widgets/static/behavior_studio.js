// The behavior studio: a text box with line numbers, and what Python says about its content. Model and file text only ever goes
// through textContent and the value of a box.
const PAUSE = 300; // ms without typing before Python is asked

function make(parent, tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

function render({ model, el }) {
  let report = model.get("report"), sent = 0, heardOf = 0, timer = 0, unsaved = false;
  const root = make(el, "div", "tl tl-studio"), top = make(root, "div", "tl-top");
  make(top, "h3", "", "Behavior");
  make(top, "code", "tl-file", model.get("file"));
  const state = make(top, "span", "tl-state"), save = button(top, "Save", () => ask("save"), "tl-primary");
  make(save, "kbd", "", "Ctrl S");
  const say = make(root, "p", "tl-say");
  say.setAttribute("aria-live", "polite");
  const body = make(root, "div", "tl-body"), left = make(body, "div"), right = make(body, "div", "tl-right");
  const editor = make(left, "div", "tl-editor"), gutter = make(editor, "div", "tl-gutter"), box = make(editor, "textarea", "tl-yaml");
  gutter.setAttribute("aria-hidden", "true");
  box.value = model.get("text"); box.spellcheck = false; box.wrap = "off"; box.setAttribute("aria-label", "behavior file, YAML");
  const findings = make(left, "div", "tl-findings");
  const tests = section("Its own tests");
  const detector = section("Detector on answers of yours"), samples = make(detector, "div");
  button(detector, "Add an answer", () => { addSample(""); ask(); });
  const prompt = section("What the teacher gets");
  const question = field(prompt, "question", model.get("question")), answer = field(prompt, "student's answer", model.get("answer"));
  const size = make(prompt, "p", "tl-soft"), messages = make(prompt, "div");
  model.get("samples").forEach(addSample);

  function section(title) {
    const part = make(right, "section");
    make(part, "h4", "", title);
    return part;
  }
  function button(parent, text, action, className = "") {
    const node = make(parent, "button", className);
    node.type = "button";
    make(node, "span", "", text);
    node.addEventListener("click", action);
    return node;
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
    input.value = text; input.rows = 2; input.spellcheck = false; input.setAttribute("aria-label", "an answer to try the detector on");
    input.addEventListener("input", later);
    make(card, "p", "tl-verdict");
    const remove = button(card, "✕", () => { card.remove(); ask(); }, "tl-remove");
    remove.title = "remove this answer"; remove.setAttribute("aria-label", "remove this answer");
  }

  function draw() {
    const lines = box.value.split("\n").length, at = new Map();
    for (const f of report.findings) if (!at.has(f.line)) at.set(f.line, f);
    gutter.replaceChildren(...Array.from({ length: lines }, (_, k) => {
      const f = at.get(k + 1), line = make(null, "div", f ? f.level : "", String(k + 1));
      if (f) line.title = f.message;
      return line;
    }));
    gutter.scrollTop = box.scrollTop;
    findings.replaceChildren();
    if (!report.findings.length) make(findings, "p", "tl-good", "✓ no problems");
    for (const f of report.findings) {
      const b = make(findings, "button", f.level === "error" ? "tl-bad" : "tl-warn", `${f.line ? `line ${f.line}` : "another file"}: ${f.message}`);
      b.type = "button";
      b.addEventListener("click", () => goTo(f.line, f.column));
    }
    tests.querySelectorAll("p").forEach(p => p.remove());
    samples.classList.toggle("tl-stale", !report.tests);
    messages.classList.toggle("tl-stale", !report.tests);
    if (!report.tests) { make(tests, "p", "tl-soft", "The file cannot be used yet; below is what it last did."); return; }
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
    make(shots, "summary", "", `${(last - 1) / 2} examples before the turn to answer`);
    report.messages.forEach((m, k) => {
      if (k === 1 && last > 1) messages.append(shots);
      const holder = k > 0 && k < last ? shots : messages;
      make(holder, "span", "tl-label", m.role);
      make(holder, "p", "tl-text tl-message", m.content);
    });
  }
  function goTo(line, column) {
    if (!line) return;
    const at = box.value.split("\n").slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0) + Math.max(0, column - 1);
    box.focus();
    box.setSelectionRange(at, at);
    box.scrollTop = Math.max(0, (line - 5) * parseFloat(getComputedStyle(box).lineHeight));
    gutter.scrollTop = box.scrollTop;
  }
  function ask(kind = "check") {
    clearTimeout(timer);
    model.send({ kind, n: ++sent, text: box.value, samples: [...samples.querySelectorAll("textarea")].map(t => t.value),
      question: question.value, answer: answer.value });
    status();
  }
  function status() {
    state.textContent = sent > heardOf ? "checking …" : unsaved ? "not saved" : "";
    state.className = `tl-state ${unsaved ? "tl-warn" : "tl-soft"}`;
  }
  function later() { clearTimeout(timer); timer = setTimeout(ask, PAUSE); }
  const heard = message => {
    heardOf = Math.max(heardOf, message.n);
    if (message.kind === "save" && !message.error) unsaved = false;
    if (message.said || message.error) { say.textContent = message.error ?? message.said; say.className = `tl-say ${message.error ? "tl-bad" : "tl-good"}`; }
    if (message.n === sent) report = message.report;
    status();
    draw();
  };
  box.addEventListener("input", () => { unsaved = true; say.textContent = ""; status(); draw(); later(); });
  box.addEventListener("scroll", () => { gutter.scrollTop = box.scrollTop; });
  box.addEventListener("keydown", event => {
    if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey) { // two spaces, as YAML wants; Escape, then Tab, leaves the box
      if (box.dataset.leave) return;
      event.preventDefault();
      box.setRangeText("  ", box.selectionStart, box.selectionEnd, "end");
      box.dispatchEvent(new Event("input"));
    }
    if (event.key === "Escape") box.dataset.leave = "yes"; else delete box.dataset.leave;
  });
  root.addEventListener("keydown", event => {
    event.stopPropagation();
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask("save"); }
  });
  for (const kind of ["keyup", "keypress", "copy", "cut", "paste"]) root.addEventListener(kind, event => event.stopPropagation());
  // JupyterLab's own shortcuts stay out of the boxes; see review_pane.js
  const guard = event => { if (root.contains(event.target)) event.target.setAttribute("data-lm-suppress-shortcuts", ""); };
  window.addEventListener("keydown", guard, true);
  model.on("msg:custom", heard);
  status();
  draw();
  return () => { clearTimeout(timer); window.removeEventListener("keydown", guard, true); model.off("msg:custom", heard); };
}

export default { render };
