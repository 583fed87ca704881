// The review pane: one decision at a time, by key. A decision shows at once and is sent to Python, which writes it to disk and
// replies with the updated items; until then it counts as "not saved yet". Model text is never parsed as HTML: it only goes
// through textContent, the value of a text box, and a tree of known elements (rich_text.js).
import { diff } from "thinklab/text_diff.js";
import { make } from "thinklab/element.js";
import { fill } from "thinklab/rich_text.js";
import { factsColumn } from "thinklab/review_facts.js";
import { filterRow, sorted } from "thinklab/review_filters.js";
import { drawGroup } from "thinklab/review_group.js";
import { helpBox } from "thinklab/review_help.js";
import { decisionsPanel, notesPanel, reasonBar } from "thinklab/review_notes.js";
import { takeFocus, watchKernel } from "thinklab/review_life.js";

const DECIDED = ["accepted", "edited", "rejected"];
const WORDS = {
  open: "open", skipped: "skipped", refused: "reply rejected", accepted: "accepted", edited: "accepted, edited", rejected: "rejected",
};
const SIGNS = { accepted: "✓", edited: "✎", rejected: "✗", skipped: "→", open: "·", refused: "!" };
const READS = ["preview", "view", "table", "agreement", "shown"]; // messages that are not decisions
const growsByItself = CSS.supports("field-sizing", "content");
const PAUSE = 300; // ms without typing before Python is called for a preview

function render({ model, el }) {
  let items = [...model.get("items")], recent = [...model.get("recent")], history = [], current = null, writing = false, helped = false;
  let sent = 0, timer = 0, asked = null; // asked: the number of the pending preview request
  let alive = true, rich = true, whole = false;
  const waiting = new Map(), previews = new Map(), views = new Map();
  const maxTokens = model.get("max_tokens"), canAsk = model.get("can_ask"), me = model.get("me") ?? "", leftOut = model.get("left_out") ?? {};

  // ---- the page, built once

  const root = make(el, "div", "tl tl-review");
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Review of the teacher's guidance");
  const banner = make(root, "div", "tl-banner");
  banner.setAttribute("role", "alert");
  banner.hidden = true;
  const top = make(root, "div", "tl-top");
  make(top, "h3", "", "Review");
  const progress = make(top, "span", "tl-soft tl-progress"), bar = make(top, "span", "tl-bar");
  const saved = make(top, "span", "tl-soft tl-saved");
  const keysOn = make(top, "span", "tl-soft tl-keys-on");
  const bulk = button(top, "", "A", acceptAll, "tl-bulk"), more = button(top, "Export", "d", () => decisions.toggle()), helpButton = button(top, "Help", "?", help);
  const filters = filterRow(root, items, Object.entries(WORDS), me, () => refilter()), { search, blind, todo } = filters;
  const keyHelp = helpBox(root);
  const decisions = decisionsPanel(root, (kind, more) => send({ kind, ...more }));
  const body = make(root, "div", "tl-body"), main = make(body, "div", "tl-main"), side = make(body, "div", "tl-side");
  const where = make(main, "div", "tl-where"), place = make(where, "span", "tl-soft"), chip = make(where, "span", "tl-chip");
  const steps = make(where, "span", "tl-steps");
  const question = section("Question", "tl-text tl-question"), student = section("The student's answer", "tl-text tl-quote");
  const studentLabel = student.previousSibling, unfold = button(studentLabel, "", "o", unfolded, "tl-small"), source = button(studentLabel, "", "m", sourced, "tl-small");
  const refused = section("The raw reply, rejected", "tl-text tl-quote tl-raw-reply");
  button(refused.previousSibling, "Edit it", "e", edit, "tl-small tl-rescue");
  const boxLabel = make(make(main, "div"), "label", "tl-label"), box = make(boxLabel.parentNode, "textarea", "tl-box");
  boxLabel.htmlFor = box.id = `tl-box-${Math.random().toString(36).slice(2)}`;
  box.spellcheck = false;
  const two = make(main, "div", "tl-two-texts"), changes = section("", "tl-text tl-diff", two), changesLabel = changes.previousSibling;
  const reads = section("Rendered", "tl-text tl-reads", two);
  const others = make(main, "details", "tl-others"), othersLabel = make(others, "summary", "tl-label"), group = make(others, "div", "tl-group-box");
  const verdict = make(null, "div", "tl-now-bar"), facts = factsColumn(side, verdict, maxTokens);
  const notes = notesPanel(side, (id, tags, note) => { replace({ ...get(id), tags, note }); send({ kind: "note", id, tags, note }); draw(); });
  const foot = make(root, "div", "tl-foot-bar"), say = make(foot, "p", "tl-say");
  say.setAttribute("aria-live", "polite");
  const reasons = reasonBar(foot, model.get("reasons") ?? [], why => { root.focus({ preventScroll: true }); settle("reject", undefined, why); });
  foot.append(verdict);
  const keys = make(foot, "div", "tl-keys");
  const buttons = {
    a: button(keys, "Accept", "a", accept, "tl-primary"), x: button(keys, "Reject", "x", () => settle("reject")), X: button(keys, "Reject …", "X", why),
    e: button(keys, "Edit", "e", edit), w: button(keys, "Write it", "w", write), space: button(keys, "Skip", "space", () => settle("skip")),
    r: button(keys, "Ask again", "r", askAgain), undo: button(keys, "Undo", "⌫", undo, "tl-push"),
    k: button(steps, "Previous", "k", () => move(-1)), j: button(steps, "Next", "j", () => move(1)),
  };
  buttons.X.title = "reject with a reason";
  const log = make(root, "div", "tl-log");
  make(log, "span", "tl-soft", "Last decisions");
  const recentList = make(log, "span", "tl-recent");
  buttons.r.title = canAsk ? "" : "this teacher cannot be asked again";

  function section(label, className, parent = main) {
    const part = make(parent, "div", "tl-section");
    make(part, "div", "tl-label", label);
    return make(part, "div", className);
  }
  function button(parent, text, key, action, className = "") {
    const node = make(parent, "button", className);
    node.type = "button";
    make(node, "span", "", text);
    if (key) make(node, "kbd", "", key);
    node.addEventListener("click", event => { // after a click the keys work; keyboard users keep their focus
      action();
      if (event.detail && document.activeElement !== box) root.focus({ preventScroll: true });
    });
    return node;
  }

  // ---- what is shown

  const get = id => items.find(i => i.id === id);
  const textOf = i => filters.hidden(i) ? i.said : i.draft ?? i.text;
  const typed = () => box.value.replace(/\r\n?/g, "\n").trim();
  const previewOf = (i, text) => previews.get(`${i.id}\n${text}`)?.preview ?? (text === i.quick?.text ? i.quick : null);
  const fits = i => filters.fits(i, one => previewOf(one, textOf(one))?.found);
  const ordered = () => filters.ordered(items), visible = () => ordered().filter(fits);
  const bulkNow = () => sorted(blind() ? [] : items.filter(i => !DECIDED.includes(i.state) && fits(i)), leftOut);

  function draw() { // everything but the text in the box
    const n = state => items.filter(i => i.state === state).length;
    const done = items.filter(i => DECIDED.includes(i.state)).length, cannot = n("refused");
    progress.textContent = `${done} of ${items.length} decided${cannot ? `, ${cannot} refused` : ""}`;
    progress.title = cannot ? "a rejected reply is dropped unless you edit it" : "";
    bar.replaceChildren(...["accepted", "edited", "rejected"].map(state => {
      const part = make(null, "i", state);
      part.style.width = `${100 * n(state) / Math.max(1, items.length)}%`;
      part.title = `${n(state)} ${WORDS[state]}`;
      return part;
    }));
    saved.textContent = !alive ? "not connected" : waiting.size ? `${waiting.size} not saved yet` : "all saved";
    saved.className = `tl-saved ${!alive ? "tl-bad" : waiting.size ? "tl-warn" : "tl-soft"}`;
    drawKeys();
    const seen = visible(), { passing, left } = bulkNow(), good = passing.length;
    bulk.firstChild.textContent = `Accept all that pass (${good})`;
    bulk.title = ["undecided ones without any doubt; one undo reverts all of it", left].filter(Boolean).join(". ");
    bulk.disabled = !good;
    recentList.replaceChildren(...(blind() ? [] : recent).slice(0, 10).map(get).filter(Boolean).map(i => {
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
    for (const key of ["a", "x", "e", "w", "k", "j", "X", "space"]) buttons[key].disabled = !get(current);
    const item = get(current);
    verdict.hidden = !item;
    if (!item) { if (alive) tell(items.length ? "No items match these filters." : "There is no guidance to review."); still(); return; }
    const at = seen.findIndex(i => i.id === current);
    const filtered = seen.length < items.length ? ` shown, ${items.length} in all` : "";
    place.textContent = `${at < 0 ? "not one" : at + 1} of ${seen.length}${filtered}  ·  rollout ${item.id}`;
    const hides = blind() && todo(item);
    chip.textContent = hides ? "not decided by you" : WORDS[item.state] + (model.get("several") && item.who && DECIDED.includes(item.state) ? ` by ${item.who}` : "") + (item.state === "rejected" && item.why ? `: ${item.why}` : "");
    chip.className = `tl-chip ${hides ? "tl-soft" : { accepted: "tl-good", edited: "tl-good", rejected: "tl-bad", refused: "tl-bad" }[item.state] ?? "tl-soft"}`;
    notes.show(item, items.flatMap(i => i.tags));
    drawText();
    still();
  }

  function drawKeys() {
    const on = root.contains(document.activeElement), field = on && document.activeElement.matches("textarea, input, select");
    keysOn.textContent = !alive ? "" : field ? "typing: Esc for keys" : on ? "keys on" : "keys off: click here";
    keysOn.className = `tl-keys-on ${on ? "tl-soft" : "tl-warn"}`;
  }
  function drawText() { // parts that depend on the text in the box
    const item = get(current);
    if (!item) return;
    const text = typed(), p = previewOf(item, text), same = text === item.said, known = previews.get(`${item.id}\n${text}`);
    boxLabel.textContent = item.said ? "The teacher's guidance, as it would be trained on" : "Guidance, written by you";
    changesLabel.textContent = DECIDED.includes(item.state) && !blind() && text !== item.text ? `Changed since it was ${item.state}: accept again to use it`
      : !item.said ? "The detector's matches are marked"
      : same ? "As the teacher wrote it; the detector's matches are marked" : "Your changes";
    changes.replaceChildren();
    let at = 0;
    for (const [kind, piece] of diff(item.said, text)) {
      const holder = kind === "=" ? changes : make(changes, kind === "+" ? "ins" : "del");
      if (kind === "-") { holder.textContent = piece; continue; }
      marked(holder, piece, at, p?.spans ?? []);
      at += piece.length;
    }
    if (!text) make(changes, "span", "tl-soft", item.refusal ? `The reply was rejected: ${item.refusal}.` : "There is no text.");
    const markup = rich && known?.preview.rich;
    reads.parentNode.hidden = !markup;
    if (markup) fill(reads, text, known.preview.rich);
    const view = views.get(item.id), here = view ? view.group.findIndex(r => r.this) : -1, effect = known && here >= 0 ? known.effect : undefined;
    if (others.open) drawGroup(group, view?.group, effect, WORDS);
    othersLabel.replaceChildren(`The other answers to this question${view ? ` (${Math.max(0, view.group.length - 1)})` : ""}, and the effect of this decision on them `);
    make(othersLabel, "kbd", "", "g");
    facts.draw(item, text, p, effect, here);
    if (!growsByItself) { // reading the height makes the browser lay out the whole notebook
      box.style.height = "auto";
      box.style.height = `${box.scrollHeight + 2}px`;
    }
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
    notes.keep();
    reasons.close();
    current = id; writing = false; whole = false;
    const item = get(id);
    if (item) {
      drawReading();
      box.value = textOf(item);
    }
    tell("");
    draw();
    main.scrollTop = 0;
    if (item) { wish(); look(); }
  }
  function drawReading() { // question, answer and raw reply
    const item = get(current), view = views.get(item.id), words = item.student.split(/\s+/).filter(Boolean).length;
    fill(question, item.question, view?.question, rich);
    fill(student, item.student, view?.student, rich);
    studentLabel.firstChild.textContent = words > 120 ? `The student's answer, ${words.toLocaleString("en")} words${whole ? "" : ", its end"}` : "The student's answer";
    student.classList.toggle("tl-whole", whole);
    student.scrollTop = student.scrollHeight; // the guidance continues from its end
    unfold.firstChild.textContent = whole ? "Only its end" : "Show all";
    unfold.hidden = !whole && student.scrollHeight <= student.clientHeight + 2;
    student.classList.toggle("tl-cut", !unfold.hidden && !whole);
    source.firstChild.textContent = rich ? "Source" : "Rendered";
    source.hidden = !view?.student && !view?.question;
    refused.parentNode.hidden = !item.refusal;
    refused.previousSibling.firstChild.textContent = `The raw reply, rejected: ${item.refusal}`;
    refused.textContent = item.raw || "(empty)";
  }
  function unfolded() { if (get(current)) { whole = !whole; drawReading(); } }
  function sourced() { if (get(current)) { rich = !rich; drawReading(); drawText(); } }
  others.addEventListener("toggle", () => drawText());

  // ---- connection

  function still() { // no connection: only copying the text is possible
    root.classList.toggle("tl-dead", !alive);
    box.readOnly = !alive;
    for (const node of root.querySelectorAll("select, input, .tl-note")) node.disabled = !alive;
    if (!alive) for (const node of root.querySelectorAll("button:not(.tl-copy)")) node.disabled = true;
    if (alive) for (const node of [helpButton, more, unfold, source, ...root.querySelectorAll(".tl-rescue, .tl-reasons button, .tl-decisions button")]) node.disabled = false;
  }
  function living(now) {
    if (now === alive) return;
    alive = now;
    banner.hidden = alive;
    banner.replaceChildren();
    if (alive) { tell(""); keepDraft(); draw(); wish(); look(); return; }
    clearTimeout(timer);
    const item = get(current), unsaved = waiting.size + (item && typed() !== textOf(item) ? 1 : 0);
    make(banner, "strong", "", model.get("several") ? "The training run does not respond: it has ended, or the connection was lost." : "The kernel behind this pane is gone.");
    make(banner, "span", "", ` ${model.get("several") ? "This page resumes automatically when it responds again." : "Run the notebook from the top, including this cell: a new pane replaces this one."} Every saved decision is on disk${unsaved ? `; ${unsaved} ${unsaved === 1 ? "was" : "were"} not` : ""}.`);
    if (item && typed()) {
      const copy = make(banner, "button", "tl-copy", "Copy the text in the box");
      copy.type = "button";
      copy.addEventListener("click", () => { box.select(); const done = () => { copy.textContent = "Copied"; }; if (navigator.clipboard) navigator.clipboard.writeText(box.value).then(done, () => document.execCommand("copy") && done()); else if (document.execCommand("copy")) done(); });
    }
    reasons.close();
    asked = null;
    draw();
    tell("");
  }

  // ---- talking to Python

  function send(message) {
    message.n = ++sent;
    if (!READS.includes(message.kind)) waiting.set(message.n, message);
    try { model.send(message); } catch { living(false); } // JupyterLab: the kernel's end of the line is closed
  }
  function wish() { // a preview of the text in the box, one request at a time
    const item = get(current), text = typed();
    if (!alive || !item || asked || previews.has(`${item.id}\n${text}`)) return;
    asked = sent + 1;
    send({ kind: "preview", id: item.id, text });
  }
  function look() { // the rendering of this item, its group, and then the next one's
    const want = i => { if (alive && i && !views.has(i.id)) { views.set(i.id, null); send({ kind: "view", id: i.id }); } };
    const seen = visible(), at = seen.findIndex(i => i.id === current);
    want(get(current));
    if (views.get(current)) want(seen[at + 1]);
  }
  function forget(changed) { // the advantages of a group depend on the decisions about all of it
    for (const id of changed) for (const other of items) if (other.group === get(id)?.group) {
      for (const key of previews.keys()) if (key.startsWith(`${other.id}\n`)) previews.delete(key);
      if (views.get(other.id)) for (const row of views.get(other.id).group) if (row.id === id) row.state = get(id).state;
    }
  }
  function keepDraft() {
    clearTimeout(timer);
    const item = get(current), text = typed();
    if (!alive || !item || text === textOf(item)) return;
    replace({ ...item, draft: text });
    send({ kind: "draft", id: item.id, text });
  }
  function heard(message) {
    if (message.kind === "preview") {
      previews.set(`${message.id}\n${message.preview.text}`, message);
      asked = null;
      if (message.id === current) { if (message.preview.text === typed()) draw(); }
      wish();
      return;
    }
    if (message.kind === "view") {
      views.set(message.id, message);
      if (message.id === current) { drawReading(); drawText(); look(); }
      return;
    }
    if (message.kind === "agreement") { decisions.agreement(message.pairs); return; }
    if (message.kind === "table") { decisions.download(message.name, message.text, message.type); return; }
    waiting.delete(message.n);
    if (asked === message.n) asked = null;
    const behind = new Set([...waiting.values()].flatMap(m => m.ids ?? [m.id])); // newer decisions about these are pending
    for (const item of message.items) if (!behind.has(item.id)) replace(item, document.activeElement === box && item.id === current);
    forget(message.items.map(i => i.id));
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
    model.set("items", items); // another view of the same pane starts here; never sent to Python
    if (item.id === current && !keepBox) box.value = textOf(item);
  }

  // ---- decisions

  const remember = before => history.push({ n: sent + 1, before }); // before `send`, which counts up
  function settle(kind, text, why = "") {
    const item = get(current);
    if (!item || !alive) return;
    clearTimeout(timer);
    const state = { reject: "rejected", skip: "skipped" }[kind] ?? (text === item.said && item.said ? "accepted" : "edited");
    if (kind === "skip") keepDraft();
    const { draft } = get(item.id);
    remember([item]);
    recent = [item.id, ...recent.filter(id => id !== item.id)];
    const by = kind === "skip" ? item.by.filter(n => n !== me) : [...new Set([...item.by, me])];
    replace({ ...item, state, by, why, who: me, draft: kind === "skip" ? draft : null, text: text ?? item.text });
    forget([item.id]);
    send({ kind, id: item.id, text, ...(why ? { why } : {}) });
    onward(`${WORDS[state][0].toUpperCase()}${WORDS[state].slice(1)}.`);
  }
  function accept() {
    const item = get(current), text = typed();
    if (!item) return;
    const p = previewOf(item, text);
    if (!text && item.state === "refused") { onward("A rejected reply is dropped: there is nothing to accept. Go back with k and press e to edit it."); return; }
    if (!text) { tell(item.said ? "There is no text; reject it, or write one." : "There is nothing to accept; write it yourself or ask again.", true); return; }
    if (p && !p.fits) { tell(`This cannot be used: ${p.problem}.`, true); return; }
    settle(writing ? "write" : text === item.said ? "accept" : "edit", text);
  }
  function onward(said) { // to the next undecided item shown, wrapping around; rejected replies need no decision
    const order = ordered(), at = order.findIndex(i => i.id === current), after = [...order.slice(at + 1), ...order.slice(0, at)];
    const next = after.find(i => todo(i) && i.state !== "skipped" && fits(i)) ?? after.find(i => todo(i) && fits(i));
    current = null;
    show(next?.id ?? order[at].id);
    if (items.every(i => !todo(i))) tell(`${said} Everything is decided; undo and changes still work.`);
    else tell(next ? said : `${said} Nothing undecided is left among the items shown.`);
  }
  function move(by) {
    const seen = visible(), at = seen.findIndex(i => i.id === current);
    const next = seen[at < 0 ? 0 : at + by];
    if (next) show(next.id); else tell(by > 0 ? "This is the last one." : "This is the first one.");
  }
  function edit() {
    const item = get(current);
    if (item?.refusal && !typed()) { box.value = item.rescue; writing = true; drawText(); wish(); tell("Edit the rejected reply; Ctrl ⏎ accepts it."); }
    box.focus(); box.setSelectionRange(box.value.length, box.value.length);
  }
  function why() { if (get(current)) { reasons.open(); reasons.place.querySelector("button").focus({ preventScroll: true }); } }
  function write() { writing = true; box.value = ""; drawText(); box.focus(); tell("Write the guidance in the student's own voice; Ctrl ⏎ accepts it."); }
  function undo() {
    const before = history.pop()?.before;
    clearTimeout(timer);
    if (before) {
      for (const item of before) replace({ ...item, tags: get(item.id).tags, note: get(item.id).note }, false);
      forget(before.map(i => i.id));
      recent = recent.filter(id => !before.some(i => i.id === id) || !todo(before.find(i => i.id === id)));
      current = null;
      show(before[0].id);
      tell(before.length > 1 ? `Undid ${before.length} decisions.` : "Undid the last decision.");
    }
    send({ kind: "undo", ids: before?.map(i => i.id) ?? [] });
    draw();
  }
  function acceptAll() {
    keepDraft();
    const { passing: good, left: out } = bulkNow();
    if (!good.length || !alive) { tell(`Nothing passes. ${out ? `${out}.` : ""}`); return; }
    remember(good);
    for (const item of good) replace({ ...item, state: item.text === item.said ? "accepted" : "edited", by: [...new Set([...item.by, me])], who: me });
    forget(good.map(i => i.id));
    recent = [...good.map(i => i.id).reverse(), ...recent.filter(id => !good.some(i => i.id === id))];
    send({ kind: "accept_all", ids: good.map(i => i.id) });
    onward(`Accepted ${good.length}; one undo reverts all of them. ${out ? `${out[0].toUpperCase()}${out.slice(1)}.` : ""}`.trim());
  }
  function askAgain() {
    const item = get(current);
    if (!item || !canAsk) { tell("This teacher cannot be asked again; write the guidance yourself.", true); return; }
    tell("Asking the teacher again …");
    remember([item]);
    send({ kind: "ask", id: item.id });
    draw();
  }
  function help() { helped = !helped; keyHelp.hidden = !helped; helpButton.setAttribute("aria-expanded", helped); }
  function refilter() {
    const seen = visible();
    if (get(current) && typed() === (get(current).draft ?? get(current).text) && blind()) box.value = textOf(get(current));
    if (!seen.some(i => i.id === current)) show((seen.find(todo) ?? seen[0])?.id ?? null); else draw();
  }

  // ---- keys

  const actions = {
    a: accept, A: acceptAll, x: () => settle("reject"), X: why, e: edit, w: write, " ": () => settle("skip"), Backspace: undo, r: askAgain, "?": help,
    o: unfolded, m: sourced, g: () => { others.open = !others.open; others.scrollIntoView({ block: "nearest" }); }, d: () => decisions.toggle(),
    t: () => notes.tags.focus(), c: () => notes.note.focus(),
    j: () => move(1), n: () => move(1), p: () => move(-1), ArrowDown: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowUp: () => move(-1), ArrowLeft: () => move(-1),
    "/": () => search.focus(), Escape: () => { if (reasons.close()) root.focus({ preventScroll: true }); else if (helped) help(); },
  };
  const moves = ["j", "k", "n", "p", "ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"];
  root.addEventListener("keydown", event => {
    event.stopPropagation();
    const target = event.target, field = target.matches("textarea, input, select");
    if (event.isComposing || !alive) return;
    if (!field && reasons.key(event.key)) { event.preventDefault(); return; }
    if (target === box && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); root.focus(); accept(); return; }
    if (field && event.key === "Escape") { event.preventDefault(); reasons.close(); notes.keep(); root.focus({ preventScroll: true }); keepDraft(); draw(); return; }
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("button, summary") && (event.key === " " || event.key === "Enter")) return; // presses the button
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    if (event.repeat && !moves.includes(event.key)) return;
    action();
  });
  for (const kind of ["keyup", "keypress", "copy", "cut", "paste"]) root.addEventListener(kind, event => event.stopPropagation());
  // JupyterLab handles shortcuts before our listeners, from the focused element upward, and stops at this attribute. Shortcuts
  // with Ctrl, Cmd, or Alt remain JupyterLab's (save, for instance), except Ctrl Enter, which the box needs.
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
  model.on("msg:custom", heard);
  const fresh = () => { // another view, or another reviewer
    if (model.get("items") === items) return;
    const before = get(current), untouched = before && typed() === textOf(before);
    const old = new Map(items.map(i => [i.id, i.state + i.text]));
    items = [...model.get("items")];
    forget(items.filter(i => old.get(i.id) !== i.state + i.text).map(i => i.id));
    if (untouched && get(current)) box.value = textOf(get(current));
    draw();
    wish();
  };
  model.on("change:items", fresh);

  for (const kind of ["focusin", "focusout"]) root.addEventListener(kind, () => setTimeout(() => { if (root.isConnected) drawKeys(); }, 0));
  keysOn.addEventListener("click", () => root.focus({ preventScroll: true }));
  others.open = true;
  show((items.find(todo) ?? items[0])?.id ?? null);
  const stopWatching = watchKernel(model, el, living);
  if (model.get("fresh")) {
    model.set("fresh", false);
    takeFocus(root, taken => {
      send({ kind: "shown" });
      if (items.length) tell(taken ? "The keys work here: a accepts, x rejects, ? lists them all. Every decision is saved to disk at once." : "Keys are off while you type elsewhere: click into the pane, then use them; ? lists them.");
      if (get(current)) drawReading();
    });
  } else if (items.length) tell("Click into the pane, then use the keys; ? lists them. Every decision is saved to disk at once.");
  requestAnimationFrame(() => { if (get(current)) drawReading(); }); // heights are known once it is in the page
  return () => {
    keepDraft();
    notes.keep();
    clearTimeout(timer);
    stopWatching();
    window.removeEventListener("keydown", guard, true);
    model.off("msg:custom", heard);
    model.off("change:items", fresh);
  };
}

export default { render };
