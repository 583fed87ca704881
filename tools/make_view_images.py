"""Makes the screenshots of docs/views.md: ``python tools/make_view_images.py RUN [studio]`` (a run of the demo, such as runs/demo/aas).

They are taken inside JupyterLab; the studio's in a plain page with JupyterLab's colors, with its real Python behind it. Needs the
extra ``dev`` and a Chromium on the PATH.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.jupyter_page import Notebook, server, write_notebook  # noqa: E402
from tests.support.widget_page import browser, mount  # noqa: E402
from thinklab.behavior.scaffold import new_text  # noqa: E402
from thinklab.run import RunFolder  # noqa: E402
from thinklab.widgets import BehaviorStudio  # noqa: E402

OUT = ROOT / "docs" / "images"
SETUP = """from thinklab.reports.plots import dashboard
from thinklab.run import RunFolder
from thinklab.widgets import AasExplorer, side_by_side, token_view
run = RunFolder.open({run!r})"""
VIEWS = {
    "token-view": "token_view(list(run.read('tokens'))[:3], by='probability')",
    "aas-explorer": "AasExplorer(run)",
    "dashboard": "dashboard(run.read('metrics'))",
    "side-by-side": "side_by_side({'ThinkTuning': run}, 4)",
}


def main(run: Path) -> None:
    with browser() as chromium:
        with tempfile.TemporaryDirectory() as folder:
            write_notebook(Path(folder) / "views.ipynb", [SETUP.format(run=str(run.resolve())), *VIEWS.values()])
            with server(Path(folder), {"PYTHONPATH": str(ROOT)}) as address:
                page = chromium.new_page(viewport={"width": 1150, "height": 1500})
                notebook = Notebook(page, address, "views.ipynb")
                notebook.run(0)
                for number, name in enumerate(VIEWS, start=1):
                    if name == "side-by-side":
                        notebook.theme("Dark")
                    notebook.run(number)
                    shown = notebook.cell(number).locator(".jp-OutputArea-output").last
                    page.mouse.move(0, 0)  # plotly shows its buttons where the mouse is
                    shown.scroll_into_view_if_needed()
                    page.wait_for_timeout(1500)
                    shown.screenshot(path=OUT / f"{name}.png")
        studio_image(chromium, RunFolder.open(run))


def studio_image(chromium: Any, run: RunFolder) -> None:
    """The studio with a lint error, a run under the detector, and a training of a behavior of one's own that is done."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "short-summary.yaml"
        file.write_text(
            new_text("short-summary").partition("# yaml-language-server")[2].partition("\n")[2].replace("In short:", "I check:")
        )
        studio = BehaviorStudio(file)
        studio.file = file.name
        here = os.getcwd()
        os.chdir(place)
        try:
            studio.train(studio.phrase)
        finally:
            os.chdir(here)
        while studio._trained.state()["phase"] == "running":
            time.sleep(1)
        studio.training = {**studio._trained.state(), "run": "runs/short-summary-studio-1"}
        page = chromium.new_page(viewport={"width": 1180, "height": 900})
        mount(page, studio, "light")
        page.get_by_label("run folder").fill(str(run.path))
        page.get_by_role("button", name="Look").click()
        page.wait_for_selector(".tl-answer")
        page.click(".tl-yaml")
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(studio.text.replace("title: Ends", "titel: Ends"))
        page.locator(".tl-findings button", has_text="did you mean").click()
        page.evaluate("document.querySelector('.tl-run input').value = 'runs/demo/aas'")
        page.wait_for_timeout(800)
        page.locator(".tl").screenshot(path=OUT / "behavior-studio.png")
        page.close()
        studio.close()


if __name__ == "__main__":
    if sys.argv[2:] == ["studio"]:
        with browser() as chromium:
            studio_image(chromium, RunFolder.open(Path(sys.argv[1])))
    else:
        main(Path(sys.argv[1]))
