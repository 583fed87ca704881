"""The page of a run in a real browser: every text of its figures can be read, in both themes and two widths, and on hover."""

from __future__ import annotations

import pytest

from tests.support.figure_texts import faults, hovered, overlaps, texts
from tests.support.view_runs import make_run, some_rollouts
from thinklab.reports.run_page import report_folder

pytestmark = pytest.mark.browser


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
        told = hovered(drawn.first, drawn.first.locator(".points path").last)
        assert [t for t in told if t.ratio < 4.5] == [] and overlaps(told) == []
    page.close()
