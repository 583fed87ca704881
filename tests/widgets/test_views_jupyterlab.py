"""Every view inside JupyterLab, whose own rules for tables and text lie on them: one server, one notebook, both themes."""

from __future__ import annotations

import json
import os

import pytest

from tests.conftest import ROOT
from tests.lab.conftest import SMALL
from tests.support.figure_texts import faults, hovered, overlaps, texts
from tests.support.jupyter_page import Notebook, server, write_notebook
from tests.support.widget_page import browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CELLS = {
    "train": f"from thinklab import Lab\nlab = Lab({json.dumps(SMALL)}, out='run', by='ann')\n"
    "lab.train(3)\nlab.run.append('alarms', [{'step': 2, 'guard': 'kl', 'text': 'kl'}])",
    "light": "lab.dashboard()",
    "dark": "lab.dashboard(theme='dark')",
}
WIDTHS = (900, 1400)
TALL = 2600


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The notebook with all its cells run."""
    folder = tmp_path_factory.mktemp("views")
    write_notebook(folder / "views.ipynb", list(CELLS.values()))
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with browser() as chromium, server(folder, environment) as address:
        page = chromium.new_page(viewport={"width": 900, "height": TALL})
        notebook = Notebook(page, address, "views.ipynb")
        for k in range(len(CELLS)):
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
            found = texts(plot)
            said = " ".join(t.text for t in found)
            for word in (
                "Reward, by part",
                "student's tokens",
                "not measured in this run",
                "step 1 2 3",
                "a guard spoke (step 2)",
            ):
                assert word in said
            assert faults(found) == [], (theme, width, name)
            for trace in (0, -1):
                told = hovered(plot, plot.locator(".scatterlayer .trace").nth(trace).locator(".points path").nth(1))
                assert "step 2: " in " ".join(t.text for t in told) and "step step" not in " ".join(t.text for t in told)
                assert [t for t in told if t.ratio < 4.5] == [] and overlaps(told) == []
        shoot(lab, f"{theme}-{width}")
