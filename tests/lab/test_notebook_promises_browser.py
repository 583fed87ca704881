"""What the notebooks promise, as a person in JupyterLab has it: Run All, stop, decide, go on, and Run All once more."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT
from tests.docs.test_notebooks import read, test_size
from tests.support.jupyter_page import open_notebook, shoot
from thinklab.run.folder import RunFolder

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TEXT = "I check: once more, slowly. So \\boxed{%s}."


def place_of(notebook, source):
    return next(k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.startswith(source))


def test_run_all_stops_for_the_person_the_sentence_is_learned_and_a_second_run_all_passes(tmp_path):
    import nbformat

    notebook = test_size(read(ROOT / "notebooks" / "00-start-here.ipynb"))
    nbformat.write(notebook, tmp_path / "00.ipynb")
    review, stop, update = (place_of(notebook, s) for s in ("lab.review(", "lab.stop_here(", "lab.update("))
    last = len(notebook.cells) - 1
    with open_notebook(tmp_path, "00.ipynb", width=1000, height=1400) as page_:
        page = page_.page
        page_.run_all()
        assert "YourTurn" in page_.ended(stop) and "Run Selected Cell and All Below" in page_.output(stop)
        run = RunFolder(tmp_path / "runs" / "start-here")
        assert not list(run.read("metrics")) and page_.prompt(update) == "[ ]:", "Run All has stopped here"

        pane = page_.cell(review).locator(".tl-review")
        page_.cell(review).scroll_into_view_if_needed()  # JupyterLab shows the end of the notebook after Run All
        pane.wait_for()  # alive: it takes a decision
        proposals = [line["rollout_id"] for line in run.read("proposals")]
        gold = json.loads((run.path / "waiting.json").read_text())["rollouts"]
        answer = next(r for r in gold if r["id"] == proposals[0])["example"]["gold"]
        pane.click(position={"x": 5, "y": 5})
        page.keyboard.press("e")
        page.keyboard.press("Control+a")
        page.keyboard.type(TEXT % answer)
        page.keyboard.press("Control+Enter")
        page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'")
        shoot(page, "stopped")

        page_.run_from(stop)
        assert "1 edited" in page_.ended(stop)
        said = page_.ended(update)
        assert "Your sentence" in said and "I check: once more, slowly." in said and "After this step" in said
        page_.cell(update).scroll_into_view_if_needed()
        shoot(page, "learned")
        page_.ended(last)
        learned = list(run.read("learned"))
        assert learned[0]["edited"] and learned[0]["text"] == TEXT % answer
        assert learned[0]["before"] != learned[0]["after"], "a step by hand moves the weights"
        trained = next(line for line in run.read("rollouts") if line["id"] == proposals[0])
        if trained["advantage"] > 0:
            assert learned[0]["after"] > learned[0]["before"]
        bars = page.locator(".jp-OutputArea-output[data-mime-type*='stderr']")
        assert bars.count() == 0, "nothing is red after success"
        assert "100%" in page_.output(place_of(notebook, "batch = lab.rollout"))

        page_.run_all(clear=True)
        page_.ended(last)
        assert "1 edited" in page_.output(stop) and "I check: once more, slowly." in page_.output(update)
        assert "this run is finished" in page_.output(place_of(notebook, "batch = lab.rollout"))
        shoot(page, "again")
