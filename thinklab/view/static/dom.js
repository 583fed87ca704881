// Small pieces that all pages use. Model text only ever goes through textContent.

/** An element: `el("a", { href, class: "x", onclick: f, style: { "--w": 1 } }, "text", node, [more])`. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "style") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && key !== "list") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter(c => c !== null && c !== undefined && c !== false));
  return node;
}

export const percent = v => v === null || v === undefined ? "" : `${(100 * v).toFixed(v > 0 && v < 0.1 ? 1 : 0)} %`;
export const number = (v, digits = 3) => v === null || v === undefined ? "" : Number.isInteger(v) || Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : String(+(+v).toPrecision(digits));
export const count = v => (v ?? 0).toLocaleString("en");

/** A rate of probe.json: `98 % [95, 99]`; what was never seen has the upper bound by the rule of three. */
export function rate(r) {
  if (!r || !r.total) return "";
  if (r.count === 0) return el("span", {}, "0 ", el("small", {}, `< ${(100 * Math.min(1, 3 / r.total)).toFixed(1)} %`));
  return el("span", {}, percent(r.value), " ", el("small", {}, `[${Math.round(100 * r.low)}, ${Math.round(100 * r.high)}]`));
}

export function ago(seconds) {
  const s = Math.max(0, Date.now() / 1000 - seconds);
  if (s < 60) return "now";
  if (s < 3600) return `${Math.round(s / 60)} min ago`;
  if (s < 86400) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} d ago`;
}

const CHIPS = { running: "tl-run-chip", "in review": "tl-warn", finished: "tl-good", stopped: "tl-soft", "not started": "tl-soft", damaged: "tl-bad",
  accepted: "tl-good", edited: "tl-edited", rejected: "tl-bad", unguided: "tl-soft" };
export const chip = (text, kind = text) => el("span", { class: `tl-chip ${CHIPS[kind] ?? "tl-soft"}` }, text);

/** A curve of a few pixels, 0 to 1. */
export function spark(values, label) {
  if (!values || values.length < 2) return null;
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), line = document.createElementNS(ns, "polyline");
  svg.setAttribute("viewBox", "0 0 60 18"); svg.setAttribute("class", "tl-spark"); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label);
  line.setAttribute("points", values.map((v, i) => `${(1 + 58 * i / (values.length - 1)).toFixed(1)},${(16.5 - 15 * Math.min(1, Math.max(0, v))).toFixed(1)}`).join(" "));
  svg.append(line);
  return svg;
}

/** A rate with its 95 % interval on a scale from 0 to 1. `marks`: [{ rate, kind, label }]. */
export function interval(marks) {
  return el("div", { class: "tl-scale", role: "img", "aria-label": marks.map(m => `${m.label} ${percent(m.rate.value)}`).join(", ") },
    marks.map(({ rate: r, kind }, k) => [
      el("i", { class: `whisker ${kind}`, style: { left: `${100 * r.low}%`, width: `${100 * (r.high - r.low)}%`, top: `${7 + 10 * k}px` } }),
      el("i", { class: `dot ${kind}`, style: { left: `${100 * r.value}%`, top: `${7 + 10 * k}px` } })]));
}

export const field = (label, control) => el("label", { class: "tl-field" }, el("span", { class: "tl-label" }, label), control);

/** A select of [value, text] pairs. */
export function select(label, options, value, onchange) {
  const node = el("select", { "aria-label": label, onchange: () => onchange(node.value) }, options.map(([v, text]) => el("option", { value: v, selected: v === value }, text)));
  node.value = value;
  return node;
}

/** A box that calls `changed` when typing has paused. */
export function searchBox(label, value, changed) {
  let timer = 0;
  const node = el("input", { type: "search", placeholder: label, "aria-label": label, value, oninput: () => { clearTimeout(timer); timer = setTimeout(() => changed(node.value), 180); } });
  return node;
}

export const notice = (text, kind = "tl-soft") => el("p", { class: `tl-notice ${kind}`, role: kind === "tl-bad" ? "alert" : "status" }, text);
