"""Text inside figures as a browser has drawn it: its contrast with what lies under it, what overlaps, what is cut off.

The color is the one that the browser computes; the ground is read from a picture of the page without its text, so that it does
not matter which element painted it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import combinations
from typing import Any

_TEXTS = """places => {
  const through = n => n ? Number(getComputedStyle(n).opacity) * through(n.parentElement) : 1;
  const out = [];
  for (const place of places) {
    const frame = place.getBoundingClientRect();
    for (const n of place.querySelectorAll("svg text")) {
      const box = n.getBoundingClientRect(), style = getComputedStyle(n);
      if (!n.textContent.trim() || !box.width || style.visibility === "hidden") continue;
      const [r, g, b, a = 1] = style.fill.match(/[\\d.]+/g).map(Number);
      out.push({
        text: n.textContent, color: [r, g, b, a * Number(style.fillOpacity) * through(n)], hover: !!n.closest(".hoverlayer"),
        box: [box.left, box.top, box.right, box.bottom],
        cut: box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1,
      });
    }
  }
  return out;
}"""
_HIDE = """() => {  // not a style element: a page's policy may forbid those
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("svg text { visibility: hidden !important }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""
_RATIOS = """async ([picture, texts]) => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + picture)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  return texts.map(({ color, box: [left, top, right, bottom] }) => {
    const d = context.getImageData(left, top, Math.max(1, right - left), Math.max(1, bottom - top)).data, seen = new Map();
    for (let i = 0; i < d.length; i += 4) { const key = d.slice(i, i + 3).join(); seen.set(key, (seen.get(key) ?? 0) + 1); }
    const ground = [...seen].sort((x, y) => y[1] - x[1])[0][0].split(",").map(Number);
    const ink = color.slice(0, 3).map((v, i) => v * color[3] + ground[i] * (1 - color[3]));
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  });
}"""


@dataclass(frozen=True)
class Text:
    """One piece of text in a figure."""

    text: str
    ratio: float
    """WCAG 2 contrast with what lies under it."""
    box: tuple[float, float, float, float]
    cut: bool
    """Does it reach beyond its figure?"""
    hover: bool


def texts(figures: Any) -> list[Text]:
    """All text of ``figures`` (a locator), which must lie within the window."""
    page, found = figures.page, figures.evaluate_all(_TEXTS)
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    outside = [f["text"] for f in found if min(f["box"]) < 0 or f["box"][2] > width or f["box"][3] > height]
    assert not outside, f"not in the window of {width} x {height}, so nothing can be said of {outside[:5]}"
    page.evaluate(_HIDE)
    picture = base64.b64encode(page.screenshot()).decode()
    page.evaluate("document.adoptedStyleSheets = document.adoptedStyleSheets.slice(0, -1)")
    blank = page.context.browser.new_page()
    ratios = blank.evaluate(_RATIOS, [picture, found])
    blank.close()
    return [Text(f["text"], r, tuple(f["box"]), f["cut"], f["hover"]) for f, r in zip(found, ratios, strict=True)]


def hovered(figure: Any, point: Any) -> list[Text]:
    """What ``figure`` (a locator) says while the mouse is over ``point``, a marker of one of its lines."""
    page, box = figure.page, point.bounding_box()
    page.mouse.move(0, 0)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    figure.locator(".hoverlayer .hovertext text").first.wait_for(state="attached")
    said = [t for t in texts(figure) if t.hover]
    assert said, "nothing is said on hover"
    return said


def overlaps(found: list[Text]) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other. A hover label lies above everything, so its own texts alone are compared."""
    pairs = []
    for a, b in combinations(found, 2):
        wide = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
        high = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
        if a.hover == b.hover and wide > 1 and high > 1:
            pairs.append((a.text, b.text))
    return pairs


def faults(found: list[Text]) -> list[Any]:
    """What cannot be read: too little contrast, overlapping, cut off. Empty is good."""
    low = [(round(t.ratio, 2), t.text) for t in found if t.ratio < 4.5]
    return [*low, *overlaps(found), *(("cut off", t.text) for t in found if t.cut)]
