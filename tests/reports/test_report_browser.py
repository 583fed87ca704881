"""The page of a run in a real browser: every text of its figures can be read, in both themes and two widths, and on hover."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.figure_texts import faults, hovered, overlaps, texts
from tests.support.view_runs import make_run, some_rollouts
from thinklab.reports.plots import LOOKS, dark_colors
from thinklab.reports.run_page import report_folder

pytestmark = pytest.mark.browser


def lines(page) -> set[str]:
    """The colors of all lines of the figures, as drawn; bands have no line."""
    found = page.evaluate("""() => Array.from(document.querySelectorAll(".scatterlayer .lines path"), e => getComputedStyle(e))
      .filter(s => parseFloat(s.strokeWidth) > 0 && s.stroke !== "none").map(s => s.stroke.match(/\\d+/g).slice(0, 3).map(Number))""")
    return {"#{:02x}{:02x}{:02x}".format(*rgb) for rgb in found}


def contrast(a: str, b: str) -> float:
    """The WCAG 2 ratio of two colors."""

    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            k * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for k, v in zip((0.2126, 0.7152, 0.0722), parts)
        )

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_of_the_figures_can_be_read_and_none_overlaps(chromium, tmp_path, theme):
    for name in ("aas", "grpo"):
        make_run(tmp_path / name, some_rollouts(2), steps=12)
    page = chromium.new_page(viewport={"width": 900, "height": 900}, color_scheme=theme)
    page.goto(report_folder(tmp_path).as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in (900, 1400):
        page.set_viewport_size({"width": width, "height": page.evaluate("document.documentElement.scrollHeight + 100")})
        page.wait_for_timeout(500)  # plotly fits its figures to the window
        drawn = page.locator(".figure")
        found = texts(drawn)
        assert len(found) > 50 and faults(found) == [], (width, faults(found))
        strokes = lines(page)
        assert strokes and min(contrast(s, "#1c2229" if theme == "dark" else "#f6f8fa") for s in strokes) >= 3, strokes
        assert strokes <= set(LOOKS[theme].lines)
        told = hovered(drawn.first, drawn.first.locator(".points path").last)
        assert [t for t in told if t.ratio < 4.5] == [] and overlaps(told) == []
    page.close()


def test_figures_follow_the_theme_and_paper_is_white(chromium, tmp_path):
    make_run(tmp_path / "aas", some_rollouts(2), steps=12)
    page = chromium.new_page(viewport={"width": 900, "height": 900}, color_scheme="light")
    page.goto(report_folder(tmp_path).as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    light, dark = set(LOOKS["light"].lines), set(LOOKS["dark"].lines)
    assert lines(page) <= light
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.querySelector('.scatterlayer .lines path[style*=\"45, 212, 191\"]')")
    assert lines(page) <= dark
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert lines(page) <= light
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert lines(page) <= dark
    page.close()


def test_the_viewer_has_the_same_colors_as_the_report():
    import thinklab.view

    text = (Path(thinklab.view.__file__).parent / "static" / "plot.js").read_text("utf-8")
    assert json.loads(re.search(r"const DARK = (\{.*?\});", text, re.DOTALL)[1]) == dark_colors()
