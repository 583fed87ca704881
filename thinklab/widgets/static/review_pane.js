// The review pane: one decision at a time, by key. A decision shows at once and is sent to Python, which writes it to disk and
// answers with the items as they now are; until then it counts as "not saved yet". Nothing here ever parses model text as HTML:
// it only goes through textContent and the value of a text box.

const DECIDED = ["accepted", "edited", "rejected"];
const WORDS = {
  open: "open", skipped: "skipped", refused: "reply refused", accepted: "accepted", edited: "accepted, edited", rejected: "rejected",
};
const SIGNS = { accepted: "✓", edited: "✎", rejected: "✗", skipped: "→", open: "·", refused: "!" };
const HELP = [
  ["a", "accept the text as it stands in the box"], ["x", "reject: the answer stays as it was sampled"], ["e", "edit the text"],
  ["w", "write it yourself, from an empty box"], ["space", "skip, leave for later"], ["⌫", "undo the last decision"],
  ["r", "ask the teacher again"], ["j n ↓ →", "next"], ["k p ↑ ←", "previous"], ["/", "search in the questions"], ["?", "this help"],
  ["Ctrl ⏎", "in the box: accept what you wrote"], ["Esc", "leave the box; the text is kept as a draft"],
];
const growsByItself = CSS.supports("field-sizing", "content");
const PAUSE = 300; // ms without typing before Python is asked for a preview

/** Words, spaces and signs of `before` and `after` as [kind, text], kind "=", "-" or "+". */
export function diff(before, after) {
  const cut = text => text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];
  const a = cut(before), b = cut(after), out = [];
  const add = (kind, text) => {
    if (!text) return;
    if (out.length && out.at(-1)[0] === kind) out.at(-1)[1] += text; else out.push([kind, text]);
  };
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  add("=", a.slice(0, start).join(""));
  const x = a.slice(start, a.length - end), y = b.slice(start, b.length - end), width = y.length + 1;
  if (x.length * y.length > 250000) { // a long text replaced as a whole: no use in looking for common words
    add("-", x.join("")); add("+", y.join(""));
  } else {
    const table = new Uint16Array((x.length + 1) * width); // longest common subsequence of x[i:], y[j:]
    for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--)
      table[i * width + j] = x[i] === y[j] ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    let i = 0, j = 0;
    while (i < x.length || j < y.length) {
      if (i < x.length && j < y.length && x[i] === y[j]) { add("=", x[i]); i++; j++; }
      else if (i < x.length && (j === y.length || table[(i + 1) * width + j] >= table[i * width + j + 1])) add("-", x[i++]);
      else add("+", y[j++]);
    }
  }
  add("=", a.slice(a.length - end).join(""));
  return out;
}

function make(parent, tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

function render({ model, el }) {
  let items = [...model.get("items")], recent = [...model.get("recent")], history = [], current = null, writing = false, helped = false;
  let sent = 0, timer = 0, asked = null; // asked: the number of the preview that is on its way
  const waiting = new Map(), previews = new Map();
  const maxTokens = model.get("max_tokens"), canAsk = model.get("can_ask");

  // ---- the page, built once

  const root = make(el, "div", "tl tl-review");
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Review of the teacher's guidance");
  const top = make(root, "div", "tl-top");
  make(top, "h3", "", "Review");
  const progress = make(top, "span", "tl-soft tl-progress"), bar = make(top, "span", "tl-bar");
  const saved = make(top, "span", "tl-soft tl-saved");
  const bulk = button(top, "", "", acceptAll, "tl-bulk"), helpButton = button(top, "Help", "?", help);
  const filters = make(root, "div", "tl-filters");
  const filter = {
    verdict: choice("verdict", [["", "any verdict"], ["agrees", "verdict is right"], ["disagrees", "verdict is wrong"],
      ["correct", "teacher: correct"], ["incorrect", "teacher: incorrect"]]),
    behavior: choice("behavior", [["", "any behavior"], ...[...new Set(items.map(i => i.behavior))].map(b => [b, b])]),
    found: choice("detector", [["", "any detection"], ["yes", "detected"], ["no", "not detected"]]),
    state: choice("decision", [["", "any decision"], ["todo", "undecided"], ...Object.entries(WORDS)]),
  };
  const search = make(filters, "input", "tl-search");
  search.type = "search"; search.placeholder = "search questions"; search.setAttribute("aria-label", "search in the questions");
  const helpBox = make(root, "div", "tl-help");
  helpBox.hidden = true;
  for (const [key, what] of HELP) { const p = make(helpBox, "p"); make(p, "kbd", "", key); p.append(what); }

  const body = make(root, "div", "tl-body"), main = make(body, "div", "tl-main"), side = make(body, "div", "tl-side");
  const where = make(main, "div", "tl-where"), place = make(where, "span", "tl-soft"), chip = make(where, "span", "tl-chip");
  const steps = make(where, "span", "tl-steps");
  const question = section("Question", "tl-text tl-question"), student = section("The student's answer", "tl-text tl-quote");
  const boxLabel = make(make(main, "div"), "label", "tl-label"), box = make(boxLabel.parentNode, "textarea", "tl-box");
  boxLabel.htmlFor = box.id = `tl-box-${Math.random().toString(36).slice(2)}`;
  box.spellcheck = false;
  const changes = section("", "tl-text tl-diff"), changesLabel = changes.previousSibling;
  const facts = make(side, "div", "tl-facts"), fact = {}; // no dl: notebooks have rules of their own for dt
  for (const [key, name] of [["verdict", "Verdict on the student's answer"], ["behavior", "Behavior asked for"],
    ["detector", "Detector, with this text"], ["reward", "Reward"], ["tokens", "Tokens"]]) {
    const row = make(facts, "div");
    make(row, "span", "tl-label", name);
    fact[key] = make(row, "div", `tl-${key}`);
  }
  const say = make(root, "p", "tl-say");
  say.setAttribute("aria-live", "polite");
  const keys = make(root, "div", "tl-keys");
  const buttons = {
    a: button(keys, "Accept", "a", accept, "tl-primary"), x: button(keys, "Reject", "x", () => settle("reject")),
    e: button(keys, "Edit", "e", edit), w: button(keys, "Write it", "w", write), space: button(keys, "Skip", "space", () => settle("skip")),
    r: button(keys, "Ask again", "r", askAgain), undo: button(keys, "Undo", "⌫", undo, "tl-push"),
    k: button(steps, "Previous", "k", () => move(-1)), j: button(steps, "Next", "j", () => move(1)),
  };
  const log = make(root, "div", "tl-log");
  make(log, "span", "tl-soft", "Last decisions");
  const recentList = make(log, "span", "tl-recent");
  buttons.r.title = canAsk ? "" : "this teacher cannot be asked again";

  function section(label, className) {
    const part = make(main, "div");
    make(part, "span", "tl-label", label);
    return make(part, "p", className);
  }
  function choice(label, options) {
    const select = make(filters, "select", `tl-filter-${label}`);
    select.setAttribute("aria-label", label);
    for (const [value, text] of options) make(select, "option", "", text).value = value;
    select.addEventListener("change", refilter);
    return select;
  }
  function button(parent, text, key, action, className = "") {
    const node = make(parent, "button", className);
    node.type = "button";
    make(node, "span", "", text);
    if (key) make(node, "kbd", "", key);
    node.addEventListener("click", event => { // after a click the keys work; who came by keyboard stays where he is
      action();
      if (event.detail && document.activeElement !== box) root.focus({ preventScroll: true });
    });
    return node;
  }

  // ---- what is shown

  const get = id => items.find(i => i.id === id);
  const todo = i => !DECIDED.includes(i.state);
  const textOf = i => i.draft ?? i.text;
  const typed = () => box.value.replace(/\r\n?/g, "\n").trim();
  const previewOf = (i, text) => previews.get(`${i.id}\n${text}`) ?? (text === i.quick?.text ? i.quick : null);
  function fits(i) {
    const needle = search.value.toLowerCase(), v = filter.verdict.value, s = filter.state.value, f = filter.found.value;
    return (!needle || i.question.toLowerCase().includes(needle)) && (!filter.behavior.value || i.behavior === filter.behavior.value)
      && (!s || (s === "todo" ? todo(i) : i.state === s)) && (!f || (previewOf(i, textOf(i))?.found === (f === "yes")))
      && (!v || { agrees: i.agrees === true, disagrees: i.agrees === false, correct: i.verdict === true, incorrect: i.verdict === false }[v]);
  }
  const visible = () => items.filter(fits);
  const passing = () => items.filter(i => {
    const p = todo(i) && i.agrees === true && fits(i) && previewOf(i, textOf(i));
    return p && p.found === true && p.fits;
  });

  function draw() { // everything but the text in the box
    const n = state => items.filter(i => i.state === state).length;
    const done = items.filter(i => !todo(i)).length;
    progress.textContent = `${done} of ${items.length} decided`;
    bar.replaceChildren(...["accepted", "edited", "rejected"].map(state => {
      const part = make(null, "i", state);
      part.style.width = `${100 * n(state) / Math.max(1, items.length)}%`;
      part.title = `${n(state)} ${WORDS[state]}`;
      return part;
    }));
    saved.textContent = waiting.size ? `${waiting.size} not saved yet` : "all saved";
    saved.className = `tl-saved ${waiting.size ? "tl-warn" : "tl-soft"}`;
    const seen = visible(), good = passing().length;
    bulk.firstChild.textContent = `Accept all that pass (${good})`;
    bulk.title = "undecided ones that the detector finds and whose verdict is right; one undo takes all of it back";
    bulk.disabled = !good;
    recentList.replaceChildren(...recent.slice(0, 10).map(get).filter(Boolean).map(i => {
      const b = make(null, "button", "", `${SIGNS[i.state]} ${i.id}`);
      b.type = "button"; b.title = `${WORDS[i.state]}: ${i.question}`;
      b.setAttribute("aria-current", i.id === current);
      b.addEventListener("click", () => { show(i.id); root.focus({ preventScroll: true }); });
      return b;
    }));
    if (!recent.length) make(recentList, "span", "tl-soft", "none yet");
    buttons.undo.disabled = !history.length && !recent.length;
    buttons.r.disabled = !canAsk || !get(current);
    body.hidden = !get(current);
    for (const key of "axewkj") buttons[key].disabled = !get(current);
    buttons.space.disabled = !get(current);
    const item = get(current);
    if (!item) { tell(items.length ? "Nothing fits these filters." : "There is no guidance to review."); return; }
    const at = seen.findIndex(i => i.id === current);
    const filtered = seen.length < items.length ? ` shown, ${items.length} in all` : "";
    place.textContent = `${at < 0 ? "not one" : at + 1} of ${seen.length}${filtered}  ·  rollout ${item.id}`;
    chip.textContent = WORDS[item.state] + (model.get("several") && item.who && !todo(item) ? ` by ${item.who}` : "");
    chip.className = `tl-chip ${{ accepted: "tl-good", edited: "tl-good", rejected: "tl-bad", refused: "tl-bad" }[item.state] ?? "tl-soft"}`;
    drawText();
  }

  function drawText() { // what hangs on the text in the box
    const item = get(current);
    if (!item) return;
    const text = typed(), p = previewOf(item, text), same = text === item.said;
    boxLabel.textContent = item.said ? "The teacher's guidance, as it would be trained on" : "Guidance, written by you";
    changesLabel.textContent = !todo(item) && text !== item.text ? `Changed since it was ${item.state}: accept again to use it`
      : !item.said ? "What the detector matched is marked"
      : same ? "As the teacher said it; what the detector matched is marked" : "What you changed";
    changes.replaceChildren();
    let at = 0;
    for (const [kind, piece] of diff(item.said, text)) {
      const holder = kind === "=" ? changes : make(changes, kind === "+" ? "ins" : "del");
      if (kind === "-") { holder.textContent = piece; continue; }
      marked(holder, piece, at, p?.spans ?? []);
      at += piece.length;
    }
    if (!text) make(changes, "span", "tl-soft", item.state === "refused" ? `The reply was refused: ${item.refusal}.` : "There is no text.");
    const verdict = { true: "correct", false: "incorrect", null: "no verdict" }, truth = { true: "correct", false: "incorrect", null: "not known" };
    put(fact.verdict, ["", `teacher: ${verdict[item.verdict]}`], ["", `rule: ${truth[item.truth]} (answer ${item.gold})`],
      item.agrees === null ? null : item.agrees ? ["tl-good", "✓ the teacher is right"] : ["tl-bad", "✗ the teacher is wrong"]);
    put(fact.behavior, ["", item.behavior]);
    put(fact.detector, !p ? ["tl-soft", "…"] : p.found === null ? ["tl-warn", "? not decided here"]
      : p.found ? ["tl-good", "✓ found"] : ["tl-bad", "✗ not found"], p && ["tl-soft", p.why], p?.warning ? ["tl-warn", p.warning] : null);
    const parts = r => Object.entries(r).map(([k, v]) => `${k} ${v}`).join(", ");
    const sum = r => +Object.values(r).reduce((a, b) => a + b, 0).toFixed(4);
    put(fact.reward, p?.rewards ? ["", `${sum(p.rewards_before)} alone, ${sum(p.rewards)} with it`] : ["tl-soft", p && p.rewards === null
      && p.found === null ? "not known" : "…"], p?.rewards ? ["tl-soft", `with it: ${parts(p.rewards)}`] : null);
    put(fact.tokens, !p ? ["tl-soft", `… of ${maxTokens}`] : p.left < 0 ? ["tl-bad", `${p.tokens} of ${maxTokens}, ${-p.left} too many`]
      : ["", `${p.tokens} of ${maxTokens}, ${p.left} left`], p?.problem && p.left >= 0 && text ? ["tl-bad", p.problem] : null);
    const meter = make(fact.tokens, "div", `tl-meter${p && p.left < 0 ? " over" : ""}`);
    make(meter, "i").style.width = `${Math.min(100, 100 * (p?.tokens ?? 0) / maxTokens)}%`;
    if (!growsByItself) { // asking for the height makes the browser lay out the whole notebook
      box.style.height = "auto";
      box.style.height = `${box.scrollHeight + 2}px`;
    }
  }
  function put(node, ...lines) {
    node.replaceChildren();
    for (const line of lines) if (line) make(node, "div", line[0], line[1]);
  }
  function marked(parent, piece, offset, spans) { // piece begins at `offset` of the text; spans count in it
    let done = 0;
    for (const [from, to] of spans) {
      const a = Math.max(from - offset, done), b = Math.min(to - offset, piece.length);
      if (a >= b) continue;
      parent.append(piece.slice(done, a));
      make(parent, "mark", "", piece.slice(a, b));
      done = b;
    }
    parent.append(piece.slice(done));
  }
  function tell(text, bad) { say.textContent = text; say.className = `tl-say ${bad ? "tl-bad" : "tl-soft"}`; }

  function show(id) {
    keepDraft();
    current = id; writing = false;
    const item = get(id);
    if (item) {
      question.textContent = item.question;
      student.textContent = item.student;
      box.value = textOf(item);
    }
    tell("");
    draw();
    if (item) wish();
  }

  // ---- talking to Python

  function send(message) {
    message.n = ++sent;
    if (message.kind !== "preview") waiting.set(message.n, message);
    model.send(message);
  }
  function wish() { // a preview of the text in the box, one question at a time
    const item = get(current), text = typed();
    if (!item || asked || previews.has(`${item.id}\n${text}`)) return;
    asked = sent + 1;
    send({ kind: "preview", id: item.id, text });
  }
  function keepDraft() {
    clearTimeout(timer);
    const item = get(current), text = typed();
    if (!item || text === textOf(item)) return;
    replace({ ...item, draft: text });
    send({ kind: "draft", id: item.id, text });
  }
  function heard(message) {
    if (message.kind === "preview") {
      previews.set(`${message.id}\n${message.preview.text}`, message.preview);
      asked = null;
      if (message.id === current) { if (message.preview.text === typed()) draw(); }
      wish();
      return;
    }
    waiting.delete(message.n);
    if (asked === message.n) asked = null;
    const behind = new Set([...waiting.values()].flatMap(m => m.ids ?? [m.id])); // newer decisions about these are on their way
    for (const item of message.items) if (!behind.has(item.id)) replace(item, document.activeElement === box && item.id === current);
    if (!waiting.size) recent = message.recent;
    if (message.error) {
      history = history.filter(h => h.n !== message.n);
      tell(message.error, true);
      if (message.items.length && message.items[0].id !== current) { show(message.items[0].id); tell(message.error, true); }
    } else if (message.said) tell(message.said);
    if (message.goto && message.goto !== current) show(message.goto);
    draw();
    wish();
  }
  function replace(item, keepBox = true) {
    items = items.map(i => i.id === item.id ? item : i);
    model.set("items", items); // another view of the same pane begins here; never sent to Python
    if (item.id === current && !keepBox) box.value = textOf(item);
  }

  // ---- decisions

  const remember = before => history.push({ n: sent + 1, before }); // before `send`, which counts up
  function settle(kind, text) {
    const item = get(current);
    if (!item) return;
    clearTimeout(timer);
    const state = { reject: "rejected", skip: "skipped" }[kind] ?? (text === item.said && item.said ? "accepted" : "edited");
    if (kind === "skip") keepDraft();
    const { draft } = get(item.id);
    remember([item]);
    recent = [item.id, ...recent.filter(id => id !== item.id)];
    replace({ ...item, state, draft: kind === "skip" ? draft : null, text: text ?? item.text });
    send({ kind, id: item.id, text });
    onward(`${WORDS[state][0].toUpperCase()}${WORDS[state].slice(1)}.`);
  }
  function accept() {
    const item = get(current), text = typed();
    if (!item) return;
    const p = previewOf(item, text);
    if (!text) { tell(item.said ? "There is no text; reject it instead, or write one." : "There is nothing to accept; write it yourself or ask again.", true); return; }
    if (p && !p.fits) { tell(`This cannot be used: ${p.problem}.`, true); return; }
    settle(writing ? "write" : text === item.said ? "accept" : "edit", text);
  }
  function onward(said) { // to the next undecided item that is shown, round the corner if need be
    const at = items.findIndex(i => i.id === current), order = [...items.slice(at + 1), ...items.slice(0, at)];
    const next = order.find(i => todo(i) && i.state !== "skipped" && fits(i)) ?? order.find(i => todo(i) && fits(i));
    current = null;
    show(next?.id ?? items[at].id);
    if (items.every(i => !todo(i))) tell(`${said} Everything is decided; undo and changes still work.`);
    else tell(next ? said : `${said} Nothing undecided is left among the shown.`);
  }
  function move(by) {
    const seen = visible(), at = seen.findIndex(i => i.id === current);
    const next = seen[at < 0 ? 0 : at + by];
    if (next) show(next.id); else tell(by > 0 ? "This is the last one." : "This is the first one.");
  }
  function edit() { box.focus(); box.setSelectionRange(box.value.length, box.value.length); }
  function write() { writing = true; box.value = ""; drawText(); box.focus(); tell("Write the guidance in the student's own voice; Ctrl ⏎ accepts it."); }
  function undo() {
    const before = history.pop()?.before;
    clearTimeout(timer);
    if (before) {
      for (const item of before) replace(item, false);
      recent = recent.filter(id => !before.some(i => i.id === id) || !todo(before.find(i => i.id === id)));
      current = null;
      show(before[0].id);
      tell(before.length > 1 ? `Took back ${before.length} decisions.` : "Took the last decision back.");
    }
    send({ kind: "undo", ids: before?.map(i => i.id) ?? [] });
    draw();
  }
  function acceptAll() {
    const good = passing();
    if (!good.length) return;
    keepDraft();
    remember(good);
    for (const item of good) replace({ ...item, state: item.draft === null || item.draft === item.said ? "accepted" : "edited", text: textOf(item), draft: null });
    recent = [...good.map(i => i.id).reverse(), ...recent.filter(id => !good.some(i => i.id === id))];
    send({ kind: "accept_all", ids: good.map(i => i.id) });
    onward(`Accepted ${good.length}; one undo takes all of them back.`);
  }
  function askAgain() {
    const item = get(current);
    if (!item || !canAsk) { tell("This teacher cannot be asked again; write the guidance yourself.", true); return; }
    tell("Asking the teacher again …");
    remember([item]);
    send({ kind: "ask", id: item.id });
    draw();
  }
  function help() { helped = !helped; helpBox.hidden = !helped; helpButton.setAttribute("aria-expanded", helped); }
  function refilter() {
    const seen = visible();
    if (!seen.some(i => i.id === current)) show((seen.find(todo) ?? seen[0])?.id ?? null); else draw();
  }

  // ---- keys

  const actions = {
    a: accept, x: () => settle("reject"), e: edit, w: write, " ": () => settle("skip"), Backspace: undo, r: askAgain, "?": help,
    j: () => move(1), n: () => move(1), p: () => move(-1), ArrowDown: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowUp: () => move(-1), ArrowLeft: () => move(-1),
    "/": () => search.focus(), Escape: () => { if (helped) help(); },
  };
  const moves = ["j", "k", "n", "p", "ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"];
  root.addEventListener("keydown", event => {
    event.stopPropagation();
    const target = event.target, field = target.matches("textarea, input, select");
    if (event.isComposing) return;
    if (target === box && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); root.focus(); accept(); return; }
    if (field && event.key === "Escape") { event.preventDefault(); root.focus({ preventScroll: true }); keepDraft(); draw(); return; }
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("button") && (event.key === " " || event.key === "Enter")) return; // presses the button
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    if (event.repeat && !moves.includes(event.key)) return;
    action();
  });
  for (const kind of ["keyup", "keypress", "copy", "cut", "paste"]) root.addEventListener(kind, event => event.stopPropagation());
  // JupyterLab looks for shortcuts before any listener of ours, from the focused element upwards, and stops at this attribute.
  // Shortcuts with Ctrl, Cmd or Alt stay its own (save, for instance), except Ctrl Enter, which the box needs.
  const guard = event => {
    if (!root.contains(event.target)) return;
    const theirs = (event.ctrlKey || event.metaKey || event.altKey) && event.key !== "Enter";
    for (const node of [event.target, root]) node.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
  };
  root.setAttribute("data-lm-suppress-shortcuts", "");
  window.addEventListener("keydown", guard, true);
  box.addEventListener("input", () => {
    drawText();
    clearTimeout(timer);
    timer = setTimeout(() => { keepDraft(); wish(); }, PAUSE);
  });
  search.addEventListener("input", refilter);
  model.on("msg:custom", heard);
  const fresh = () => { // another view, or somebody else who decides with us
    if (model.get("items") === items) return;
    const before = get(current), untouched = before && typed() === textOf(before);
    items = [...model.get("items")];
    if (untouched && get(current)) box.value = textOf(get(current));
    draw();
  };
  model.on("change:items", fresh);

  show((items.find(todo) ?? items[0])?.id ?? null);
  if (items.length) tell("Click into the pane, then use the keys; ? lists them. Every decision is on disk at once.");
  return () => {
    keepDraft();
    clearTimeout(timer);
    window.removeEventListener("keydown", guard, true);
    model.off("msg:custom", heard);
    model.off("change:items", fresh);
  };
}

export default { render };
