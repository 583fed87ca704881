// The column beside the text: verdict, advantage, reward, detector, tokens and doubts; and a one-line summary above the buttons.
import { make } from "thinklab/element.js";
import { against } from "thinklab/review_filters.js";
import { drawAdvantage, signed } from "thinklab/review_group.js";

const JUDGED = { true: "correct", false: "incorrect", null: "no verdict" }, TRUTH = { true: "correct", false: "incorrect", null: "unknown" };
const NAMES = [["verdict", "Verdict on the student's answer"], ["advantage", "Advantage of this answer"], ["reward", "Reward"],
  ["detector", "Detector, with this text"], ["behavior", "Requested behavior"], ["tokens", "Tokens"], ["doubts", "Reasons not to accept it unread"]];

function put(node, ...lines) {
  node.replaceChildren();
  for (const line of lines) if (line) make(node, "div", line[0], line[1]);
}

/** `draw(item, text, preview, effect, here)`: here is the place of this answer in its group. */
export function factsColumn(parent, line, maxTokens) {
  const facts = make(parent, "div", "tl-facts"), fact = {}; // not a dl: notebooks style dt
  for (const [key, name] of NAMES) {
    const row = make(facts, "div");
    make(row, "span", "tl-label", name);
    fact[key] = make(row, "div", `tl-${key}`);
  }
  return { draw(item, text, p, effect, here) {
    put(fact.verdict, ["", `teacher: ${JUDGED[item.verdict]}`], ["", `rule: ${TRUTH[item.truth]} (answer ${item.gold})`],
      item.agrees === null ? null : item.agrees ? ["tl-good", "✓ the teacher is right"] : ["tl-bad", "✗ the teacher is wrong"]);
    if (text) drawAdvantage(fact.advantage, effect, here); else put(fact.advantage, ["tl-soft", "no text yet"]);
    const parts = r => Object.entries(r).map(([k, v]) => `${k} ${v}`).join(", ");
    const sum = r => +Object.values(r).reduce((a, b) => a + b, 0).toFixed(4);
    put(fact.reward, p?.rewards ? ["", `${sum(p.rewards_before)} alone, ${sum(p.rewards)} with it`]
      : ["tl-soft", p && p.rewards === null && p.found === null ? "unknown" : "…"], p?.rewards ? ["tl-soft", `with it: ${parts(p.rewards)}`] : null);
    put(fact.detector, !p ? ["tl-soft", "…"] : p.found === null ? ["tl-warn", "? undecided"]
      : p.found ? ["tl-good", "✓ found"] : ["tl-bad", "✗ not found"], p && ["tl-soft", p.why], p?.warning ? ["tl-warn", p.warning] : null);
    put(fact.behavior, ["", item.behavior]);
    put(fact.tokens, !p ? ["tl-soft", `… of ${maxTokens}`] : p.left < 0 ? ["tl-bad", `${p.tokens} of ${maxTokens}, ${-p.left} too many`]
      : ["", `${p.tokens} of ${maxTokens}, ${p.left} left`], p?.problem && p.left >= 0 && text ? ["tl-bad", p.problem] : null);
    const meter = make(fact.tokens, "div", `tl-meter${p && p.left < 0 ? " over" : ""}`);
    make(meter, "i").style.width = `${Math.min(100, 100 * (p?.tokens ?? 0) / maxTokens)}%`;
    fact.doubts.parentNode.hidden = !against(item).length;
    put(fact.doubts, ...against(item).map(d => ["tl-warn", d.what]));

    line.replaceChildren();
    make(line, "span", item.agrees === null ? "tl-soft" : item.agrees ? "tl-good" : "tl-bad",
      `${item.agrees === null ? "" : item.agrees ? "✓ " : "✗ "}teacher: ${JUDGED[item.verdict]}, rule: ${TRUTH[item.truth]}`);
    make(line, "span", !p ? "tl-soft" : p.found ? "tl-good" : p.found === null ? "tl-warn" : "tl-bad",
      !p ? "…" : p.found ? "✓ behavior found" : p.found === null ? "? behavior undecided" : "✗ behavior not found");
    if (text && effect && !effect.imitates) {
      const short = make(line, "span", "tl-soft", `advantage ${signed(effect.rejected[here])} → `);
      make(short, "strong", "", signed(effect.accepted[here]));
      short.append(" if accepted");
    }
  } };
}
