// The frame of all pages: heading, theme, and routing by the address after #.
import { el, notice } from "thinklab/dom.js";
import { exported, get } from "thinklab/api.js";
import { runsPage } from "thinklab/runs.js";
import { runPage } from "thinklab/run.js";
import { comparePage } from "thinklab/compare.js";
import { gridPage, gridsPage } from "thinklab/grids.js";
import { reviewPage } from "thinklab/review.js";

const PAGES = { "": runsPage, run: runPage, compare: comparePage, grids: gridsPage, grid: gridPage, review: reviewPage };
const app = document.getElementById("app"), main = el("main", { id: "main" });
const links = { "#/": el("a", { href: "#/" }, "Runs"), "#/grids": el("a", { href: "#/grids" }, "Studies and evaluations"), "#/review": el("a", { href: "#/review", hidden: true }, "Review") };
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.getAttribute("theme") ?? (dark.matches ? "dark" : "light");
const toggle = el("button", { type: "button", class: "tl-theme", onclick: () => {
  const wanted = theme() === "dark" ? "light" : "dark";
  document.documentElement.setAttribute("theme", wanted);
  try { localStorage.setItem("thinklab-theme", wanted); } catch { /* for this page then */ }
  paint();
} });
function paint() {
  toggle.textContent = theme() === "dark" ? "Light theme" : "Dark theme";
  dispatchEvent(new Event("thinklab-theme"));
}
dark.addEventListener("change", paint);
app.replaceChildren(el("a", { class: "tl-skip", href: "#main", onclick: e => { e.preventDefault(); main.focus(); } }, "Skip to the content"),
  el("header", { class: "tl-head" }, el("a", { href: "#/", class: "tl-brand" }, el("span", { class: "tl-dot", "aria-hidden": "true" }), "thinklab"),
    el("nav", { "aria-label": "pages" }, Object.values(links)), toggle), main);
main.tabIndex = -1;
paint();

let leave = () => {}, turn = 0;
async function show() {
  const mine = ++turn;
  leave();
  leave = () => {};
  const [path, params] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decodeURIComponent), page = PAGES[parts[0]] ?? runsPage;
  for (const [address, link] of Object.entries(links)) link.toggleAttribute("aria-current", address === "#/" ? ["", "run", "compare"].includes(parts[0]) : address.slice(2, 6) === parts[0].slice(0, 4));
  const place = el("div", { class: "tl-page" });
  main.replaceChildren(place);
  try {
    const left = await page(place, parts.slice(1), new URLSearchParams(params ?? ""));
    if (mine !== turn) left?.(); else leave = left ?? leave;
  } catch (error) { place.replaceChildren(notice(error.message, "tl-bad")); }
  document.body.dataset.ready = location.hash || "#/";
}
addEventListener("hashchange", show);
if (!exported) get("review").then(r => { links["#/review"].hidden = !r.here; if (r.here && !location.hash) location.hash = "#/review"; }).catch(() => {});
show();
