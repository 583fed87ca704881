// All keyboard shortcuts.
import { make } from "thinklab/element.js";

const HELP = [
  ["a", "accept the text in the box"], ["x", "reject: the answer stays as sampled"], ["X", "reject with a reason"],
  ["e", "edit the text, also of a rejected reply"], ["w", "write it yourself, from an empty box"], ["space", "skip for now"],
  ["⌫", "undo the last decision"], ["A", "accept all that pass"], ["r", "ask the teacher again"], ["j n ↓ →", "next"], ["k p ↑ ←", "previous"],
  ["/", "search in everything"], ["t", "tags"], ["c", "a note"], ["o", "the whole answer or its end"], ["m", "formulas and Markdown, or the source"],
  ["g", "the other answers to this question"], ["d", "export, and agreement of reviewers"], ["?", "this help"],
  ["Ctrl ⏎", "in the box: accept what you wrote"], ["Esc", "leave the box; the text is kept as a draft"],
];

export function helpBox(parent) {
  const place = make(parent, "div", "tl-help");
  place.hidden = true;
  for (const [key, what] of HELP) { const p = make(place, "p"); make(p, "kbd", "", key); p.append(what); }
  return place;
}
