"""Makes the screenshots of docs/viewer.md: ``python tools/make_viewer_images.py RUNS``, a folder with a run of the demo.

Needs the extra ``dev`` and a Chromium on the PATH. The pages are those of ``thinklab view RUNS``; the review is a small training
of its own that waits (``thinklab train --review``).
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.view_server import go, served
from tests.support.widget_page import browser
from thinklab.view.library import Library

OUT = Path(__file__).parent.parent / "docs" / "images"
MOST = 200_000
"""Bytes of one picture."""
CONFIG = """
name: four-sums
task: {name: sums}
behaviors: [self-check]
teacher: {backend: scripted, rule: sums-check}
guidance: {gamma: 2, max_tokens: 60}
train: {steps: 2, questions: 6, samples: 4, max_prompt_tokens: 40, max_completion_tokens: 24, threads: 1, seed: 5}
probe: {questions: 4, every: 0}
review: {deadline_s: 1800}
"""


def picture(page, name: str) -> None:
    page.wait_for_timeout(700)
    file = OUT / f"view-{name}.png"
    page.screenshot(path=file)
    if file.stat().st_size > MOST:
        raise SystemExit(f"{file} has {file.stat().st_size} bytes, more than {MOST}")


def opened(chromium, theme: str, height: int = 760):
    return chromium.new_context(viewport={"width": 1200, "height": height}, color_scheme=theme).new_page()


def pages(chromium, root: Path) -> None:
    ids = list(Library(root).runs())
    guided = next(i for i in ids if i.endswith("aas"))
    plain = next(i for i in ids if i.endswith("grpo") and i.rsplit("/", 1)[0] == guided.rsplit("/", 1)[0])
    at, pair = f"#/run/{guided.replace('/', '%2F')}", f"#/compare?a={guided.replace('/', '%2F')}&b={plain.replace('/', '%2F')}"
    shots = {
        "runs": ("light", "#/", ".tl-runs tbody tr"),
        "curves": ("light", f"{at}/curves", ".tl-figures[data-drawn]"),
        "rollouts": ("light", f"{at}/rollouts?status=accepted", ".tl-rollouts tbody tr"),
        "rollout": ("dark", f"{at}/rollout/0-0", ".tl-run .teacher"),
        "probe": ("dark", f"{at}/probe", ".tl-answers tbody tr"),
        "compare": ("light", pair, ".tl-figures[data-drawn]"),
    }
    with served(root) as url:
        for name, (theme, address, shown) in shots.items():
            page = opened(chromium, theme)
            go(page, url, address, shown)
            if name == "rollout":
                page.get_by_label("probability").check()
            picture(page, name)
            page.context.close()


def review(chromium, folder: Path) -> None:
    (folder / "c.yaml").write_text(CONFIG)
    out = str(folder / "four-sums")
    command = [sys.executable, "-m", "thinklab", "train", str(folder / "c.yaml"), "--out", out, "--review"]
    training = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        line = ""
        while "wait for a review" not in line:
            line = training.stderr.readline()
            if not line:
                raise SystemExit("the training did not begin")
        url = re.search(r"http://\S+", line)[0]
        people = {}
        for who in ("Bob", "Ann"):
            page = people[who] = opened(chromium, "light", 820)
            page.goto(url)
            page.get_by_label("your name").fill(who)
            page.keyboard.press("Enter")
            page.wait_for_selector(".tl-review")
        for key in ("j", "a", "x", "a", "a"):
            people["Bob"].keyboard.press(key)
        ann = people["Ann"]
        for key in ("a", "e", "Home"):
            ann.keyboard.press(key)
        ann.keyboard.type("Wait. ")
        ann.wait_for_timeout(1500)
        ann.bring_to_front()
        picture(ann, "review-light")
    finally:
        training.kill()
        training.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    root = parser.parse_args().runs
    with browser() as chromium, tempfile.TemporaryDirectory() as place:
        pages(chromium, root)
        review(chromium, Path(place))


if __name__ == "__main__":
    main()
