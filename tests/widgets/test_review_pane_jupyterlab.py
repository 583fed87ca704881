"""The review pane inside JupyterLab: who has the keys after its cell has run, and what an old pane is once its kernel is gone."""

from __future__ import annotations

import json
import time

import pytest

from tests.lab.conftest import SMALL
from tests.support.jupyter_page import open_notebook, shoot, write_notebook
from thinklab.run.folder import RunFolder

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CELLS = [
    f"from thinklab import Lab\nlab = Lab({json.dumps(SMALL)}, out='run', by='ann')\nbatch = lab.rollout()\nlab.guide(batch)",
    "lab.review(batch)",
    "# the next cell",
    "from thinklab.widgets import BehaviorStudio\nBehaviorStudio('self-check')",
]


def test_the_keys_go_to_the_pane_and_an_old_pane_says_that_it_is_dead(tmp_path):
    write_notebook(tmp_path / "review.ipynb", CELLS)

    def decisions():
        return [line["action"] for line in RunFolder(tmp_path / "run").read("reviews")]

    def saved():
        page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'")

    with open_notebook(tmp_path, "review.ipynb", height=800) as notebook:
        page = notebook.page
        notebook.run(0)
        cells = page.locator(".jp-Notebook .jp-Cell").count()

        notebook.cell(1).locator(".jp-InputPrompt").click()
        page.keyboard.press("Shift+Enter")  # which makes the next cell the active one
        page.wait_for_function("document.activeElement?.classList.contains('tl-review')")
        page.keyboard.press("a")  # JupyterLab: insert a cell above
        page.keyboard.press("x")  # JupyterLab: cut a cell; twice with the pane
        page.keyboard.press("x")
        saved()
        assert decisions() == ["accept", "reject", "reject"]
        assert page.locator(".jp-Notebook .jp-Cell").count() == cells and page.locator(".tl-review").count() == 1
        assert page.locator(".tl-keys-on").inner_text() == "keys on"
        for selector in (".tl-now-bar", ".tl-keys .tl-primary"):
            box = page.locator(selector).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= 800, selector
        page.wait_for_selector(".tl-group-table tbody tr")
        shoot(page, "jupyter-focus")

        # somebody who types in another cell keeps the keyboard, and the pane says so
        notebook.cell(2).locator(".cm-content").click()
        page.keyboard.type("x = 1")
        page.wait_for_function("document.querySelector('.tl-keys-on').textContent.startsWith('keys off: click')")
        page.locator(".tl-keys-on").click()
        assert page.locator(".tl-keys-on").inner_text() == "keys on"

        the_studio_keeps_its_keys_and_trains(notebook, tmp_path)
        assert page.locator(".jp-Notebook .jp-Cell").count() == cells
        page.locator(".tl-review .tl-keys-on").click()

        # the kernel is started again, and nobody has run the cells yet
        page.fill(".tl-box", "I check: typed before the restart. So \\boxed{1}.")
        until = time.monotonic() + 60
        while "draft" not in decisions() and time.monotonic() < until:
            page.wait_for_timeout(50)
        page.locator(".lm-MenuBar-item", has_text="Kernel").click()
        page.locator(".lm-Menu-item", has_text="Restart Kernel…").first.click()
        page.locator(".jp-Dialog button.jp-mod-accept").click()
        page.wait_for_selector(".tl-review.tl-dead")
        banner = page.locator(".tl-banner").inner_text()
        assert "kernel behind this pane is gone" in banner and "Run the notebook from the top" in banner
        assert page.locator(".tl-saved").inner_text() == "not connected"
        assert page.locator(".tl-review button:enabled:not(.tl-copy)").count() == 0
        page.locator(".tl-box").click()
        page.keyboard.type("lost?")
        assert "lost?" not in page.input_value(".tl-box")
        shoot(page, "jupyter-dead")

        notebook.wait_for_kernel()
        notebook.run(0)
        notebook.cell(1).locator(".jp-InputPrompt").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(
            "document.querySelector('.tl-review:not(.tl-dead) .tl-progress')?.textContent.startsWith('3 of 4')"
        )
        page.wait_for_function("document.activeElement?.classList.contains('tl-review')")
        assert page.input_value(".tl-box") == "I check: typed before the restart. So \\boxed{1}."  # the draft was on disk


def the_studio_keeps_its_keys_and_trains(notebook, folder):
    page = notebook.page
    notebook.run(3)
    before = (folder / "review.ipynb").read_bytes()
    page.locator(".tl-studio .tl-yaml").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# axdd\n")  # each of these is a command of JupyterLab; so is Shift Enter
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Control+f")
    page.locator(".tl-studio .cm-search input[name=search]").fill("I check")
    assert page.locator(".jp-DocumentSearch-overlay").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    page.wait_for_function("document.querySelector('.tl-studio .tl-say').textContent.startsWith('Saved')")
    assert (folder / "self-check.yaml").read_text().startswith("# axdd\n") and (folder / "review.ipynb").read_bytes() == before
    page.get_by_label("steps").fill("2")
    page.get_by_role("button", name="Train this on the embedded student").click()
    page.wait_for_selector(".tl-train table")
    assert "before training" in page.locator(".tl-train").inner_text()
    shoot(page, "jupyter-studio")
