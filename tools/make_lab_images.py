"""Screenshots of the Lab in JupyterLab, in its light and its dark theme: docs/images/lab-*.png.

python tools/make_lab_images.py             # the pane and the status; needs a Chromium on the PATH
python tools/make_lab_images.py --story     # what an update has taught, the comparison; two minutes
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.conftest import SMALL  # noqa: E402
from tests.support.jupyter_page import Notebook, server, write_notebook  # noqa: E402
from tests.support.widget_page import browser  # noqa: E402

CONFIG = {**SMALL, "name": "start-here", "train": {**SMALL["train"], "questions": 4}}
CELLS = [
    f"from thinklab import Lab\nlab = Lab({json.dumps(CONFIG)}, out='runs/start-here')",
    "batch = lab.rollout()\nlab.guide(batch);",
    "lab",
    "lab.review(batch)",
]


STORY = [
    "from thinklab import Lab\nlab = Lab(task={'name': 'sums', 'terms': [2, 4]}, behaviors=['self-check'], teacher={'backend': 'scripted', "
    "'rule': 'sums-check'}, guidance={'gamma': 0.25}, steps=24, warmup_steps=4, profile='tiny', "
    "overrides=['probe.questions=200'], name='start-here', out='runs/start-here')",
    "batch = lab.rollout()\nlab.guide(batch);",
    "item = lab.queue.items[0]\n"
    "lab.queue.edit(item.id, 'I check: once more, slowly. So \\\\boxed{' + item.rollout.example.gold + '}.');",
    "lab.stop_here()",
    "lab.update(batch, auto='accept')",
    "lab.train()",
    "lab.compare(['train.learning_rate=0.0003'])",
]
"""Notebook 00 in short; takes two minutes."""


def story() -> None:
    """What an update has taught, the stop-here cell, and the comparison: docs/images/lab-*.png."""
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        write_notebook(Path(folder) / "story.ipynb", STORY)
        with server(Path(folder), {"PYTHONPATH": str(ROOT)}) as address:
            notebook = Notebook(chromium.new_page(viewport={"width": 1100, "height": 2400}), address, "story.ipynb")
            for k in range(len(STORY)):
                notebook.run(k)
            for k, name in ((3, "stop"), (4, "learned"), (6, "compare")):
                notebook.cell(k).screenshot(path=ROOT / f"docs/images/lab-{name}.png")


def main() -> None:
    if "--story" in sys.argv:
        story()
        return
    for theme in ("light", "dark"):
        with tempfile.TemporaryDirectory() as folder, browser() as chromium:
            write_notebook(Path(folder) / "lab.ipynb", CELLS)
            with server(Path(folder), {"PYTHONPATH": str(ROOT)}, theme) as address:
                page = chromium.new_page(viewport={"width": 900, "height": 1500})
                notebook = Notebook(page, address, "lab.ipynb")
                for k in range(4):
                    notebook.run(k)
                if theme == "light":
                    notebook.cell(2).locator(".jp-OutputArea").screenshot(path=ROOT / "docs/images/lab-status-light.png")
                page.locator(".tl-review").wait_for()
                page.focus(".tl-review")
                for key in ("a", "e", "Control+End"):
                    page.keyboard.press(key)
                page.keyboard.type(" I am sure.")
                page.wait_for_function("document.querySelector('.tl-detector').textContent.includes('found')")
                page.wait_for_function("!document.querySelector('.tl-reward').textContent.includes('…')")
                page.add_style_tag(content=".tl .tl-body, .tl-body { max-height: 900px !important }")  # clear of the status bar
                page.locator(".tl-review").evaluate("pane => pane.scrollIntoView({ block: 'start' })")
                page.locator(".tl-review").screenshot(path=ROOT / f"docs/images/lab-review-{theme}.png")


if __name__ == "__main__":
    main()
