// The footer of a long list: the range shown, and navigation.
import { count, el } from "thinklab/dom.js";

export function pager(size, go) {
  const said = el("span", { class: "tl-soft", role: "status" }), back = el("button", { type: "button" }, "Previous"), on = el("button", { type: "button" }, "Next");
  let first = 0;
  back.addEventListener("click", () => go(Math.max(0, first - size)));
  on.addEventListener("click", () => go(first + size));
  return { node: el("div", { class: "tl-pager" }, back, on, said), show(at, shown, total, more = "") {
    first = at;
    said.textContent = total ? `${count(at + 1)} to ${count(at + shown)} of ${count(total)}${more}` : more || "no matches";
    back.disabled = at <= 0; on.disabled = at + shown >= total;
  } };
}
