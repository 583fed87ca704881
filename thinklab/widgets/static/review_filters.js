// Filters and order of the items; and what "accept all that pass" accepts.
import { make } from "thinklab/element.js";

const ORDERS = { doubt: i => -i.doubts.length, long: i => -i.student.length };
const VERDICTS = {
  agrees: i => i.agrees === true, disagrees: i => i.agrees === false, correct: i => i.verdict === true, incorrect: i => i.verdict === false,
};

/** The row of filters. `states`: [value, words] of the decisions; `changed` is called on every change. */
export function filterRow(parent, items, states, me, changed) {
  const place = make(parent, "div", "tl-filters");
  const choice = (label, options) => {
    const select = make(place, "select", `tl-filter-${label}`);
    select.setAttribute("aria-label", label);
    for (const [value, text] of options) make(select, "option", "", text).value = value;
    select.addEventListener("change", changed);
    return select;
  };
  const verdict = choice("verdict", [["", "any verdict"], ["agrees", "verdict is right"], ["disagrees", "verdict is wrong"],
    ["correct", "teacher: correct"], ["incorrect", "teacher: incorrect"]]);
  const behavior = choice("behavior", [["", "any behavior"], ...[...new Set(items.map(i => i.behavior))].map(b => [b, b])]);
  const found = choice("detector", [["", "any detection"], ["yes", "detected"], ["no", "not detected"]]);
  const state = choice("decision", [["", "any decision"], ["todo", "undecided"], ["mine", "not by you"], ...states]);
  const order = choice("order", [["", "in order"], ["doubt", "most doubtful first"], ["long", "longest answer first"]]);
  state.title = "“not by you”: items that you have not decided; the decisions of others stay hidden";
  const search = make(place, "input", "tl-search");
  search.type = "search"; search.placeholder = "search all"; search.setAttribute("aria-label", "search in everything");
  search.addEventListener("input", changed);

  const blind = () => state.value === "mine"; // a second reviewer, who must not see the first one's decisions
  const mine = i => i.by.includes(me);
  const hidden = i => blind() && !mine(i);
  const todo = i => blind() ? i.state !== "refused" && !mine(i) : i.state === "open" || i.state === "skipped";
  const haystack = i => [i.id, i.question, i.student, i.gold, i.said, i.raw, i.behavior, i.refusal, i.note, ...i.tags,
    ...(hidden(i) ? [] : [i.text, i.draft, i.who, i.why])].join("\n").toLowerCase();
  return {
    search, blind, hidden, todo,
    /** `shows(item)`: does the detector find the behavior in the text as it stands? */
    fits(i, shows) {
      const needle = search.value.toLowerCase(), s = state.value;
      return (!behavior.value || i.behavior === behavior.value) && (!s || (s === "todo" || s === "mine" ? todo(i) : i.state === s))
        && (!found.value || shows(i) === (found.value === "yes")) && (!verdict.value || VERDICTS[verdict.value](i))
        && (!needle || haystack(i).includes(needle));
    },
    ordered(all) {
      const by = ORDERS[order.value];
      return by ? [...all].sort((a, b) => by(a) - by(b)) : all; // sort is stable
    },
  };
}

/** What speaks against taking an item unseen; a draft that Python has not heard of yet included. */
export const against = i => [...(i.draft !== null && !i.doubts.some(d => d.kind === "draft") ? [{ kind: "draft", what: "there is an undecided draft" }] : []), ...i.doubts];

/** Of undecided items: those that pass, and how many are left out and why, in words. */
export function sorted(items, words) {
  const passing = items.filter(i => !against(i).length), counts = new Map();
  for (const i of items) if (against(i).length) counts.set(against(i)[0].kind, (counts.get(against(i)[0].kind) ?? 0) + 1);
  const left = items.length - passing.length;
  return { passing, left: left ? `${left} left out: ${[...counts].map(([kind, k]) => `${k} ${words[kind] ?? kind}`).join(", ")}` : "" };
}
