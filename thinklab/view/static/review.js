// Review page of a waiting training run: the notebook's pane, several reviewers, a clock.
import { el, notice } from "thinklab/dom.js";
import { get, post } from "thinklab/api.js";
import pane from "thinklab/review_pane.js";
import { remoteModel } from "thinklab/remote_model.js";

const LIVE = 1000;
const KEY = "thinklab-reviewer";
const DEFAULTS = { accept: "accepted if it fits", accept_if_detected: "accepted if the detector finds the behavior, else rejected", reject: "rejected" };
const stored = () => { try { return localStorage.getItem(KEY) ?? ""; } catch { return ""; } };
const clock = s => s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min` : s >= 60 ? `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s` : `${Math.ceil(s)} s`;

export async function reviewPage(place) {
  let name = stored(), batch = "", version = 0, model = null, dispose = () => {}, timer = 0, gone = false;
  const title = el("h1", {}, "Review"), people = el("span", { class: "tl-people" }), left = el("span", { class: "tl-soft tl-clock", role: "timer" }), problem = el("div"), box = el("div", { class: "tl-review-box" });
  const done = el("button", { type: "button", class: "tl-primary", hidden: true, onclick: finish }, "Train on this batch"), asked = el("div", { class: "tl-confirm", hidden: true });
  const who = el("form", { class: "tl-who", onsubmit: e => { e.preventDefault(); called(input.value); } });
  const input = el("input", { type: "text", maxLength: 40, required: true, "aria-label": "your name", autocomplete: "off", value: name });
  who.append(el("h2", {}, "Who reviews?"), el("p", { class: "tl-soft" }, "Each decision is recorded in reviews.jsonl with this name and the time."), el("div", { class: "tl-row" }, input, el("button", { type: "submit", class: "tl-primary" }, "Begin")));
  const change = el("button", { type: "button", onclick: () => { name = ""; leave(); place.replaceChildren(); start(); } }, "Another name");
  place.append();

  function start() {
    place.append(el("div", { class: "tl-title" }, title, people, el("span", { class: "tl-grow" }), left, done), problem);
    if (name) { place.append(asked, box, el("p", { class: "tl-soft tl-as" }, `You are reviewing as ${name}. `, change)); look(); }
    else { place.append(who); input.focus(); }
  }
  function called(value) {
    name = value.trim();
    if (!name) return;
    try { localStorage.setItem(KEY, name); } catch { /* asked again next time */ }
    place.replaceChildren();
    start();
  }
  function leave() { dispose(); dispose = () => {}; model = null; batch = ""; version = 0; box.replaceChildren(); clearTimeout(timer); }

  async function look() {
    clearTimeout(timer);
    try {
      const now = await get("review", { name, batch, since: version });
      if (gone || !name) return;
      problem.replaceChildren();
      if (model && !model.get("alive")) model.set("alive", true);
      show(now);
    } catch (error) {
      if (gone) return;
      if (model) model.set("alive", false); // the pane itself explains it
      else problem.replaceChildren(notice(`${error.message}. All decisions are on disk.`, "tl-bad"));
    }
    if (!gone && name) timer = setTimeout(look, LIVE);
  }
  function show(now) {
    done.hidden = !now.open;
    if (!now.open) {
      if (batch || !box.firstChild) { leave(); box.append(notice(now.here ? `${now.why ? `The last batch is closed: ${now.why}. ` : ""}Training is running; the next batch will appear here automatically.` : "No training waits for a review here. `thinklab train CONFIG --review` begins one.")); }
      left.textContent = ""; title.textContent = "Review"; people.replaceChildren(); asked.hidden = true;
      document.title = "thinklab";
      return;
    }
    if (now.batch !== batch) {
      leave();
      batch = now.batch;
      model = remoteModel({ ...now.traits, items: now.items, several: true, me: name, fresh: true }, async message => (await post("review", { name, batch: now.batch, message })).answers);
      const el_ = el("div");
      box.replaceChildren(el_);
      dispose = pane.render({ model, el: el_ });
    } else if (now.items.length) model.merge(now.items);
    version = now.version || version;
    title.textContent = `Review of ${now.run}, step ${now.step}`;
    document.title = `${now.undecided} to decide, step ${now.step}`;
    people.replaceChildren(...now.people.map(p => el("span", { class: `tl-person${p.here ? " here" : ""}`, title: p.here ? "is here" : "has left" }, el("i", { "aria-hidden": "true" }), p.name, el("small", {}, String(p.decided)))));
    left.textContent = now.goes_on_s !== null ? `everything is decided; training continues in ${clock(now.goes_on_s)}` : now.left_s === null ? "waiting for you" : `training continues in ${clock(now.left_s)}; undecided guidance is ${DEFAULTS[now.default]}`;
    done.dataset.undecided = now.undecided; done.dataset.default = now.default;
  }
  async function finish() {
    const n = +done.dataset.undecided;
    if (n && asked.hidden) {
      asked.replaceChildren(`${n} ${n === 1 ? "is" : "are"} undecided and will be ${DEFAULTS[done.dataset.default]}. `, el("button", { type: "button", class: "tl-primary", onclick: finish }, "Continue"), el("button", { type: "button", onclick: () => { asked.hidden = true; } }, "Keep deciding"));
      asked.hidden = false;
      return;
    }
    asked.hidden = true;
    try { await post("review", { name, batch, done: true }); } catch (error) { problem.replaceChildren(notice(error.message, "tl-bad")); }
    look();
  }
  start();
  return () => { gone = true; leave(); document.title = "thinklab"; };
}
