"""A widget in a plain page with its real Python behind it, and no kernel: for browser tests, benchmarks and screenshots.

The page loads the widget's own module. Its model hands every message to ``widget.handle`` in this process and gives the
answers back, after which time the page decides (``window.hold`` keeps messages, as a busy kernel does).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

THEMES = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab"
_MODEL = """
async ({ state, esm }) => {
  const on = new Map(), held = [];
  window.hold = false; window.sent = []; window.thrown = [];
  window.addEventListener("error", e => window.thrown.push(e.message));
  window.addEventListener("unhandledrejection", e => window.thrown.push(String(e.reason)));
  const emit = (name, value) => (on.get(name) ?? []).forEach(f => f(value));
  const pass = async message => { for (const answer of await window.python(message)) emit("msg:custom", answer); };
  window.release = async () => { window.hold = false; for (const m of held.splice(0)) await pass(m); };
  window.emit = emit;
  window.model = {
    get: key => state[key], set: (key, value) => { state[key] = value; emit(`change:${key}`); },
    save_changes: () => { window.sent.push({ kind: "save_changes" }); },
    on: (name, f) => on.set(name, [...(on.get(name) ?? []), f]),
    off: (name, f) => on.set(name, (on.get(name) ?? []).filter(g => g !== f)),
    send: message => {
      message = structuredClone(message);
      window.sent.push(message);
      if (window.hold) held.push(message); else pass(message);
    },
  };
  const widget = (await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })))).default;
  const begin = performance.now();
  window.dispose = await widget.render({ model: window.model, el: document.getElementById("here") });
  void document.body.offsetHeight;
  return performance.now() - begin;
}
"""


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium. Skips the test where there is none."""
    import pytest

    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install thinklab[dev])")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a Chromium on the PATH")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


def lab_theme(theme: str) -> str:
    """JupyterLab's own variables of its ``light`` or ``dark`` theme; empty where JupyterLab's files are not installed."""
    file = THEMES / f"theme-{theme}-extension" / "index.css"
    return file.read_text("utf-8") if file.exists() else ""


def mount(page: Any, widget: Any, theme: str = "light", lab: bool = True) -> float:
    """Show ``widget`` in ``page``; returns the milliseconds that drawing it took.

    Args:
        lab: with JupyterLab's variables and its mark on ``body``; otherwise as on a plain page in that color scheme.
    """
    answers: list = []
    widget.send = answers.append

    def python(message):
        widget.handle(message)
        out = json.loads(json.dumps(answers))
        answers.clear()
        return out

    page.expose_function("python", python)
    page.emulate_media(color_scheme=theme)
    mark = f'data-jp-theme-light="{"true" if theme == "light" else "false"}"' if lab else ""
    ground = "var(--jp-layout-color0)" if lab else {"light": "#fff", "dark": "#14181d"}[theme]
    page.set_content(
        f"<!doctype html><meta charset=utf-8><style>{lab_theme(theme) if lab else ''}"
        f"body {{ margin: 0; padding: 16px; background: {ground} }}{widget._css}</style>"
        f"<body {mark}><div id=here></div></body>"
    )
    return page.evaluate(_MODEL, {"state": json.loads(json.dumps(state_of(widget))), "esm": str(widget._esm)})


def mount_html(page: Any, html: str, theme: str) -> None:
    """Show a static view as JupyterLab would in that theme."""
    page.emulate_media(color_scheme=theme)
    mark = "true" if theme == "light" else "false"
    page.set_content(
        f"<!doctype html><meta charset=utf-8><style>{lab_theme(theme)} body {{ margin: 0; padding: 16px; "
        f"background: var(--jp-layout-color0) }}</style><body data-jp-theme-light={mark}>"
        f"<div id=here>{html}</div></body>"
    )


def state_of(widget: Any) -> dict[str, Any]:
    """The traits as a browser gets them."""
    return {k: v for k, v in widget.get_state().items() if not k.startswith("_")}


_CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000"; canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data;
    return [d[0], d[1], d[2], d[3] / 255];
  };
  const over = (top, low) => top.slice(0, 3).map((v, i) => v * top[3] + low[i] * (1 - top[3]));
  const ground = n => n ? over(rgba(getComputedStyle(n).backgroundColor), ground(n.parentElement)) : [255, 255, 255];
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const out = [];
  for (const n of document.querySelectorAll("#here *")) {
    const text = n.matches("textarea, select, input") || [...n.childNodes].some(c => c.nodeType === 3 && c.data.trim());
    if (!text || !n.getClientRects().length || n.closest("svg, style")) continue;
    const style = getComputedStyle(n), below = ground(n);
    if (style.opacity !== "1") throw Error("opacity hides the true color of " + n.className);
    const [a, b] = [light(over(rgba(style.color), below)), light(below)].sort((x, y) => y - x);
    out.push([(a + .05) / (b + .05), `${n.tagName}.${n.className} ${n.textContent.slice(0, 30)}`]);
  }
  return out;
}"""


def contrasts(page: Any) -> list[tuple[float, str]]:
    """WCAG 2 contrast ratio of every visible piece of text in the widget with what lies under it, and what it is."""
    return page.evaluate(_CONTRASTS)
