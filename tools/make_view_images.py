"""Makes the screenshots of docs/views.md: ``python tools/make_view_images.py RUN [studio]`` (a run of the demo, such as runs/demo/aas).

Needs playwright (in the extra ``dev``) and a Chromium on the PATH. No kernel runs: the widgets are shown in a plain page with
JupyterLab's colors, and with their real Python behind them.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.widget_page import browser, mount, mount_html
from thinklab import load_behavior, load_task
from thinklab.behavior.scaffold import new_text
from thinklab.guide import Guide, Schedule
from thinklab.reports.plots import dashboard
from thinklab.review import ReviewQueue
from thinklab.rewards import Rewards
from thinklab.run import RunFolder
from thinklab.students.make_tiny import build_tokenizer
from thinklab.types import rollout_from_json
from thinklab.widgets import AasExplorer, BehaviorStudio, ReviewPane, side_by_side, token_view

OUT = Path(__file__).parent.parent / "docs" / "images"


def queue_of(run: RunFolder, count: int = 24) -> ReviewQueue:
    """The guided rollouts with which the run began, as they came from the teacher."""
    rollouts = [r for r in map(rollout_from_json, run.read("rollouts")) if r.guidance is not None][:count]
    behavior = load_behavior("self-check")
    guide = Guide(None, [(behavior, 1.0)], build_tokenizer(), Schedule(1), max_tokens=60)
    proposals = {}
    for r in rollouts:
        proposals[r.id] = type(r.guidance)(**{**vars(r.guidance), "status": "proposed"})
    return ReviewQueue(rollouts, proposals, guide, Rewards(load_task("sums"), [behavior]), ask=lambda r: None, by="you")


def main(folder: Path) -> None:
    run = RunFolder.open(folder)
    with browser() as chromium:
        for theme in ("light", "dark"):
            page = chromium.new_page(viewport={"width": 900, "height": 700})
            mount(page, ReviewPane(queue_of(run)), theme)
            page.focus(".tl-review")
            for key in ("a", "a", "x", " ", "a", "e"):
                page.keyboard.press(key)
            page.keyboard.press("Home")
            page.keyboard.type("Wait. ")
            page.wait_for_timeout(800)
            page.locator(".tl").screenshot(path=OUT / f"review-pane-{theme}.png")
            page.close()
        page = chromium.new_page(viewport={"width": 900, "height": 700})
        shots = {
            "token-view": (token_view(list(run.read("tokens"))[:3], by="probability").to_html(), "light"),
            "aas-explorer": (AasExplorer(run).to_html(), "light"),
            "side-by-side": (side_by_side({"ThinkTuning": run}, 4).to_html(), "dark"),
        }
        for name, (html, theme) in shots.items():
            mount_html(page, html, theme)
            page.locator(".tl").screenshot(path=OUT / f"{name}.png")
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "dashboard.html"
            dashboard(run.read("metrics")).write_html(file)
            page.set_viewport_size({"width": 1000, "height": 580})
            page.goto(file.as_uri())
            page.wait_for_timeout(1500)
            page.screenshot(path=OUT / "dashboard.png")
            page.close()
        studio_image(chromium, run)


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
