"""Every view inside JupyterLab, whose own rules for tables and text lie on them: one server, one notebook, both themes."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.conftest import ROOT
from tests.lab.conftest import SMALL
from tests.support.figure_texts import faults, hovered, overlaps, texts
from tests.support.jupyter_page import Notebook, server, write_notebook
from tests.support.widget_page import _CONTRASTS, browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ALARM = "guard: step 2: the KL to the base rises fast. Likely cause: updates too large. What to do: a lower learning rate"
CELLS = {
    "train": f"from thinklab import Lab\nlab = Lab({json.dumps(SMALL)}, out='run', by='ann')\n"
    "lab.train(3)\nlab.run.append('alarms', [{'step': 2, 'guard': 'kl', 'text': 'kl'}])",
    "guard": f"from thinklab.lab.guard_lines import show_guard\nshow_guard({json.dumps(ALARM)})",
    "light": "lab.dashboard()",
    "dark": "lab.dashboard(theme='dark')",
    "probe": "lab.probe()",
    "side by side": "lab.side_by_side()",
    "tokens": "lab.tokens()",
    "losses": "lab.losses()",
    "batch": "batch = lab.rollout()\nlab.guide(batch)\nbatch",
    "status": "lab",
    "review": "lab.review(batch)",
    "explorer": "lab.explorer()",
    "studio": "from thinklab.widgets import BehaviorStudio\nBehaviorStudio('self-check')",
    "again": "lab = Lab(out='run', by='ann')",
    "review again": "lab.review(lab.rollout())",
    "another studio": "studio = BehaviorStudio('self-critique')\nstudio",
    "studio closed": "studio.close()",
    "close": "lab.close()",
}
TABLES = ("probe", "side by side", "losses", "batch", "status", "explorer")
"""Cells whose output has a table."""
WIDGETS = {
    "review": (".tl-review", "Review: 4 guided rollouts"),
    "explorer": (".widget-slider", "Weight k of a teacher token"),
    "studio": (".tl-yaml", "no problems"),
    "review again": (".tl-review", "Review: 4 guided rollouts"),
    "another studio": (".tl-yaml", "no problems"),
}
"""Cells that show a widget: what is there while it lives, and a text of what it leaves behind."""
WIDTHS = (900, 1400)
TALL = 2600
LEFT = """place => [...place.querySelectorAll("th, td")].filter(c => c.textContent.trim()).map(c => {
  const text = document.createRange();
  text.selectNodeContents(c);
  return [c.textContent.slice(0, 30), getComputedStyle(c).textAlign, text.getBoundingClientRect().left - c.getBoundingClientRect().left];
})"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The notebook with all its cells run."""
    folder = tmp_path_factory.mktemp("views")
    write_notebook(folder / "views.ipynb", list(CELLS.values()))
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with browser() as chromium, server(folder, environment) as address:
        page = chromium.new_page(viewport={"width": 900, "height": TALL})
        notebook = Notebook(page, address, "views.ipynb")
        notebook.file = folder / "views.ipynb"
        for k in range(1 + list(CELLS).index("studio")):
            notebook.run(k)
        yield notebook


def cell(lab, name):
    return lab.cell(list(CELLS).index(name))


def shoot(lab, name):
    shots = os.environ.get("THINKLAB_SCREENSHOTS")  # a folder, to look at what the test saw
    if shots:
        lab.page.screenshot(path=f"{shots}/views-{name}.png")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_all_text_of_the_dashboard_can_be_read_and_none_overlaps(lab, theme):
    lab.theme(theme)
    for width in WIDTHS:
        lab.page.set_viewport_size({"width": width, "height": TALL})
        for name in ("light", "dark"):
            plot = cell(lab, name).locator(".js-plotly-plot")
            lab.page.wait_for_function(  # plotly draws again some time after the window has changed
                "plot => Math.abs(plot.querySelector('.main-svg').clientWidth - plot.clientWidth) <= 1", arg=plot.element_handle()
            )
            plot.scroll_into_view_if_needed()
            found = texts(plot)
            said = " ".join(t.text for t in found)
            for word in (
                "Reward, by part",
                "student's tokens",
                "not measured in this run",
                "step 1 2 3",
                "guard warning (step 2)",
            ):
                assert word in said
            assert faults(found) == [], (theme, width, name)
            for trace in (0, -1):
                told = hovered(plot, plot.locator(".scatterlayer .trace").nth(trace).locator(".points path").nth(1))
                assert "step 2: " in " ".join(t.text for t in told) and "step step" not in " ".join(t.text for t in told)
                assert [t for t in told if t.ratio < 4.5] == [] and overlaps(told) == []
        shoot(lab, f"{theme}-{width}")


def test_a_guard_is_one_line_whose_link_leads_to_the_dashboard(lab):
    page = lab.page
    page.set_viewport_size({"width": 1000, "height": 400})
    line, mark = cell(lab, "guard").locator("summary"), page.locator("#thinklab-dashboard").first
    assert "the KL to the base rises fast" in line.inner_text() and not cell(lab, "guard").locator("details p").first.is_visible()
    line.scroll_into_view_if_needed()
    line.click(position={"x": 4, "y": 4})
    assert "a lower learning rate" in cell(lab, "guard").locator("details p").first.inner_text()
    cell(lab, "train").scroll_into_view_if_needed()
    top = "mark => mark.getBoundingClientRect().top"
    assert mark.evaluate(top) > 300
    line.get_by_role("link", name="dashboard").click()
    page.wait_for_function(f"mark => ({top})(mark) < 200", arg=mark.element_handle())
    page.set_viewport_size({"width": 900, "height": TALL})


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_tables_begin_at_the_left_and_all_text_has_its_contrast(lab, theme):
    lab.theme(theme)
    for name in TABLES:
        place = cell(lab, name)
        if name == "explorer":
            place.locator(".tl-aas td").first.wait_for()
        cells = place.locator(".jp-OutputArea").evaluate(LEFT)
        assert len(cells) > 3, name
        assert [c for c in cells if c[1] not in ("left", "start") or c[2] > 20] == [], (theme, name)
    for width in WIDTHS:
        lab.page.set_viewport_size({"width": width, "height": TALL})
        for root in (".tl-pairs *", ".tl-tokens *", ".tl-aas *", ".tl-lab *"):
            low = [(round(r, 2), what) for r, what in lab.page.evaluate(_CONTRASTS.replace("#here *", root)) if r < 4.5]
            assert low == [], (theme, width, root)
        wide = lab.page.evaluate(
            "[...document.querySelectorAll('.jp-OutputArea-output')].filter(o => o.scrollWidth > o.clientWidth + 1).length"
        )
        assert wide == 0, (theme, width)
    cell(lab, "probe").scroll_into_view_if_needed()
    shoot(lab, f"tables-{theme}")


def frozen(lab, name):
    """Has the widget of this cell become HTML?"""
    alive, left = WIDGETS[name]
    output = cell(lab, name).locator(".jp-OutputArea-output")
    output.get_by_text(left).first.wait_for()
    return output.locator(alive).count() == 0


def test_widgets_become_html_with_the_lab_and_a_notebook_opened_again_shows_them(lab):
    numbers = {name: k for k, name in enumerate(CELLS)}
    page = lab.page
    for name in ("review", "explorer", "studio"):
        cell(lab, name).locator(WIDGETS[name][0]).first.wait_for()
    lab.run(numbers["again"])
    assert frozen(lab, "review") and frozen(lab, "explorer"), "the Lab that is opened again takes over"
    assert cell(lab, "studio").locator(".tl-yaml").count() == 1, "it belongs to no Lab"
    for name in ("review again", "another studio"):
        lab.run(numbers[name])
        cell(lab, name).locator(WIDGETS[name][0]).wait_for()
    lab.run(numbers["studio closed"])
    assert frozen(lab, "another studio") and cell(lab, "studio").locator(".tl-yaml").count() == 1
    lab.run(numbers["close"])
    assert all(frozen(lab, name) for name in WIDGETS)

    page.keyboard.press("Control+s")
    until = time.monotonic() + 60
    while "lab.close()" not in (saved := lab.file.read_text()) or "widget-view" in saved:
        assert time.monotonic() < until, "the saved notebook still has a widget"
        page.wait_for_timeout(200)
    lab.shut_down()
    page.goto("about:blank")
    again = lab.opened_again()
    again.page.wait_for_timeout(2000)  # the widget manager has had its time to look for its models
    text = again.page.locator(".jp-Notebook").inner_text()
    assert "model not found" not in text.lower() and "Error displaying widget" not in text
    for name, (_, left) in WIDGETS.items():
        assert left in again.output(numbers[name]), name
    assert "step 3 of 4" in again.output(numbers["status"]) and "before" in again.output(numbers["side by side"])
    for name in ("light", "dark"):
        plot = again.cell(numbers[name]).locator(".jp-RenderedPlotly")
        assert plot.locator("img[src^=data], .main-svg").first.bounding_box()["height"] > 400, name
    shoot(again, "again")
