// Small pieces of the behavior studio. Model and file text only ever goes through textContent, the value of a box, or the editor.

import { make } from "thinklab/element.js";

export function button(parent, text, action, className = "") {
  const node = make(parent, "button", className);
  node.type = "button";
  make(node, "span", "", text);
  node.addEventListener("click", action);
  return node;
}

/** Two buttons that put a text into the tests of the file: as one that shows the behavior, or one that lacks it. */
export function testButtons(parent, text, add) {
  const row = make(parent, "div", "tl-add");
  make(row, "span", "tl-soft", "add to tests:");
  for (const [label, shows] of [["it shows it", true], ["it lacks it", false]]) {
    const b = button(row, label, () => add(text(), shows), "tl-tiny");
    b.title = `put this answer into the file, under tests.${shows ? "shows" : "lacks"}`;
  }
  return row;
}

/** A text with the detector's spans marked. */
export function marked(parent, className, text, spans) {
  const node = make(parent, "p", className);
  let at = 0;
  for (const [a, b] of spans) {
    node.append(text.slice(at, a));
    make(node, "mark", "", text.slice(a, b));
    at = b;
  }
  node.append(text.slice(at));
  return node;
}
