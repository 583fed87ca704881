"""How quick is the review pane with 200 rollouts? ``python benchmarks/review_pane.py [--out docs/measurements/review-pane.md]``

Both in the same JupyterLab, in the same headless Chromium, on the same 200 guided rollouts of the embedded student's tokenizer:

- the review pane;
- what one writes with plain ipywidgets: a form of 200 rows (opening), and one row at a time whose buttons call Python (deciding).

Measured in the browser: from the key that runs the cell until the widget stands there with all its rollouts, and from each
key press (or click) until the frame that shows what it did.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
from playwright.sync_api import TimeoutError, sync_playwright

ROOT = Path(__file__).parent.parent
SETUP = """
import random, sys
from thinklab import load_behavior, load_task
from thinklab.guide import Guide, Schedule
from thinklab.review import ReviewQueue
from thinklab.rewards import Rewards
from thinklab.run import RunFolder
from thinklab.students.make_tiny import build_tokenizer
from thinklab.types import Example, Guidance, Rollout
from thinklab.widgets import ReviewPane
import ipywidgets as w
tokenizer, behavior, rng = build_tokenizer(), load_behavior("self-check"), random.Random(0)
rollouts, proposals = [], {}
for k in range(200):
    a, b = rng.randint(2, 60), rng.randint(2, 60)
    text = f"{a}+{b}={a + b - k % 2}. So \\\\boxed{{{a + b - k % 2}}}."
    ids = (*tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    example = Example(str(k), f"Tom has {a} figs and finds {b} more. How many?", str(a + b))
    rollouts.append(Rollout(f"0-{k}", k // 8, example, (5,), ids, True, text, text))
    said = f"I check: {a}+{b}={a + b}. So \\\\boxed{{{a + b}}}."
    proposals[f"0-{k}"] = Guidance(f"0-{k}", behavior.name, behavior.hash, "proposed", raw=said, text=said, verdict=k % 2 == 0)
guide = Guide(None, [(behavior, 1.0)], tokenizer, Schedule(1), max_tokens=60)
rewards = Rewards(load_task("sums"), [behavior])
queue = ReviewQueue(rollouts, proposals, guide, rewards, RunFolder.create("run", {}, {}))
w.HTML("ready")
"""
PANE = "ReviewPane(queue)"
FORM = """
w.VBox([w.VBox([w.HTML(r.example.question), w.HTML(r.text), w.Textarea(proposals[r.id].text),
                w.ToggleButtons(options=["accept", "reject", "skip"])]) for r in rollouts])
"""
ONE = """
at, question, answer, box = 0, w.HTML(), w.HTML(), w.Textarea()
def show():
    r = rollouts[at]
    question.value, answer.value, box.value = f"<span class=asked>{at}: {r.example.question}</span>", r.text, proposals[r.id].text
def decide(button):
    global at
    at += 1
    show()
accept, reject = w.Button(description="accept"), w.Button(description="reject")
accept.on_click(decide); reject.on_click(decide)
show()
w.VBox([question, answer, box, w.HBox([accept, reject])])
"""
OPENINGS = 5
BUSY = "import time; time.sleep(12)"
WATCH = """([selector, count]) => {
  let begin = null;
  const old = document.querySelector(selector);        // of an earlier run of the same cell
  window.opened = null;
  window.addEventListener("keydown", e => { if (e.key === "Enter") begin = e.timeStamp; }, true);
  const look = () => {
    const found = document.querySelectorAll(selector);
    if (found.length < count || found[0] === old) { requestAnimationFrame(look); return; }
    void document.body.offsetHeight;
    requestAnimationFrame(() => { window.opened = performance.now() - begin; });
  };
  requestAnimationFrame(look);
}"""
KEYS = """() => {
  window.times = [];
  window.addEventListener("keydown", event => {
    const frame = new MessageChannel();
    frame.port1.onmessage = () => window.times.push(performance.now() - event.timeStamp);
    requestAnimationFrame(() => frame.port2.postMessage(0));
  }, true);
}"""
WORK = """presses => {        // the pane's own script and layout, without waiting for a frame
  const root = document.querySelector(".tl-review");
  return presses.map(key => {
    const begin = performance.now();
    root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    void document.body.offsetHeight;
    return performance.now() - begin;
  });
}"""
CLICKS = """() => {
  window.clicks = [];
  window.addEventListener("click", event => {
    if (!event.target.matches("button")) return;
    const before = document.querySelector(".asked").textContent;
    const look = () => {
      if (document.querySelector(".asked").textContent === before) { requestAnimationFrame(look); return; }
      const frame = new MessageChannel();
      frame.port1.onmessage = () => window.clicks.push(performance.now() - event.timeStamp);
      frame.port2.postMessage(0);
    };
    requestAnimationFrame(look);
  }, true);
}"""


class Lab:
    """A JupyterLab of its own with one notebook, seen in headless Chromium."""

    def __init__(self, folder: Path, playwright):
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in (SETUP, PANE, FORM, ONE, BUSY, BUSY)]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        nbformat.write(notebook, folder / "bench.ipynb")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        env = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
            "JUPYTER_TOKEN": "bench",
        }
        self.server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                f"--port={port}",
                f"--ServerApp.root_dir={folder}",
                "--LabApp.news_url=",
                "--ServerApp.log_level=ERROR",
            ],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        address = f"http://127.0.0.1:{port}"
        self._wait(f"{address}/api?token=bench")
        self.chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        self.page = self.chromium.new_page(viewport={"width": 1300, "height": 900})
        self.page.goto(f"{address}/lab/tree/bench.ipynb?token=bench&reset")
        self.page.wait_for_selector(".jp-CodeCell", timeout=120_000)
        self.page.wait_for_function(
            "document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')", timeout=120_000
        )
        self.page.wait_for_timeout(3000)

    def _wait(self, url: str) -> None:
        for _ in range(240):
            try:
                urllib.request.urlopen(url)
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        raise SystemExit("JupyterLab did not start")

    def run(self, cell: int, selector: str, count: int = 1) -> float:
        """Milliseconds from the key that runs ``cell`` until ``count`` of ``selector`` are there."""
        editor = self.page.locator(".jp-CodeCell .jp-InputArea-editor").nth(cell)
        editor.click()
        self.page.evaluate(WATCH, [selector, count])
        self.page.keyboard.press("Control+Enter")
        try:
            self.page.wait_for_function("window.opened !== null", timeout=120_000)
        except TimeoutError as error:
            self.page.screenshot(path="review-pane-benchmark.png")
            raise SystemExit(f"cell {cell} did not show {selector}; see review-pane-benchmark.png") from error
        self.page.wait_for_function(
            "document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status === 'idle'", timeout=180_000
        )
        return self.page.evaluate("window.opened")

    def press(self, keys: list[str]) -> None:
        """One key after the other, each when the last one's frame is there and a little later, as a person would."""
        for k, key in enumerate(keys):
            self.page.keyboard.press(key)
            self.page.wait_for_function(f"window.times.length > {k}")
            self.page.wait_for_timeout(60)

    def close(self) -> None:
        self.chromium.close()
        self.server.terminate()
        self.server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder), playwright)
        try:
            page = lab.page
            lab.run(0, ".widget-html")
            page.wait_for_timeout(2000)
            opened = [lab.run(1, ".tl-review .tl-question") for _ in range(OPENINGS)]
            drawn = page.locator(".tl-place, .tl-where").first.inner_text()
            assert "of 200" in drawn, drawn
            page.evaluate(KEYS)
            page.locator(".tl-question").click()
            presses = ["a", "x", " ", "j", "k", "Backspace"] * 10
            lab.press(presses)
            work = page.evaluate(WORK, presses)
            keys = page.evaluate("window.times")[: len(presses)]
            page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'")
            decided = page.locator(".tl-progress").inner_text()
            lab.page.locator(".jp-CodeCell .jp-InputArea-editor").nth(4).click()
            page.keyboard.press("Control+Enter")  # the kernel sleeps
            page.wait_for_selector("[data-status=busy]", state="attached")
            page.locator(".tl-question").click()
            page.evaluate("window.times = []")
            lab.press(presses[:20])
            busy = page.evaluate("window.times")
            assert page.locator("[data-status=busy]").count(), "the kernel was not busy"
            page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'", timeout=60_000)
            form = [lab.run(2, ".jp-OutputArea .widget-textarea", 200) for _ in range(OPENINGS)]
            lab.run(3, ".asked")
            page.evaluate(CLICKS)
            accept = page.locator("button.widget-button", has_text="accept").last
            for k in range(20):
                accept.click()
                page.wait_for_function(f"window.clicks.length > {k}")
                page.wait_for_timeout(60)
            clicks = page.evaluate("window.clicks")
            lab.page.locator(".jp-CodeCell .jp-InputArea-editor").nth(5).click()
            page.keyboard.press("Control+Enter")
            page.wait_for_selector("[data-status=busy]", state="attached")
            page.evaluate("window.clicks = []")
            accept.click()
            page.wait_for_function("window.clicks.length > 0", timeout=60_000)
            waited = page.evaluate("window.clicks")[0]
        finally:
            lab.close()

    def p95(x):
        return sorted(x)[int(0.95 * (len(x) - 1))]

    rows = [
        (
            "opens with 200 rollouts, median",
            f"{statistics.median(opened):.0f} ms",
            f"{statistics.median(form):.0f} ms",
            statistics.median(form) / statistics.median(opened),
        ),
        ("the same, slowest", f"{max(opened):.0f} ms", f"{max(form):.0f} ms", max(form) / max(opened)),
        (
            "a decision is on screen, median",
            f"{statistics.median(keys):.1f} ms",
            f"{statistics.median(clicks):.1f} ms",
            statistics.median(clicks) / statistics.median(keys),
        ),
        ("the same, 95th percentile", f"{p95(keys):.1f} ms", f"{p95(clicks):.1f} ms", p95(clicks) / p95(keys)),
        ("the same, slowest", f"{max(keys):.1f} ms", f"{max(clicks):.1f} ms", max(clicks) / max(keys)),
        ("while a cell runs for 12 s, slowest", f"{max(busy):.1f} ms", f"{waited:.0f} ms", waited / max(busy)),
    ]
    rows.insert(5, ("of it the pane's own script and layout, median", f"{statistics.median(work):.1f} ms", "", None))
    lines = [
        "| | review pane | plain ipywidgets | ratio |",
        "| --- | --- | --- | --- |",
        *(f"| {what} | {ours} | {theirs} | {f'{ratio:.1f}' if ratio else ''} |" for what, ours, theirs, ratio in rows),
    ]
    text = "\n".join(lines)
    print(text)
    print(f"{len(keys)} key presses; the pane then said: {decided}")
    if args.out:
        machine = f"{os.cpu_count()} CPU cores, {platform.machine()}"
        head = HEAD.format(
            date=datetime.date.today(),
            machine=machine,
            keys=len(keys),
            clicks=len(clicks),
            openings=OPENINGS,
            load=os.getloadavg()[0],
        )
        args.out.write_text(head + text + "\n", "utf-8")


HEAD = """# The review pane with 200 rollouts

`python benchmarks/review_pane.py --out docs/measurements/review-pane.md`, {date}, {machine}, JupyterLab in headless Chromium.

Opening counts from the key that runs the cell to the frame in which everything stands there ({openings} times): Python
builds the previews of all 200, the kernel sends them, the browser draws. A decision counts from the key press ({keys} of them:
accept, reject, skip, next, previous, undo) to the frame that shows what it did. The peer is what one writes with plain
ipywidgets: for opening a form of 200 rows, for deciding one row whose buttons call Python ({clicks} clicks). Chromium draws a
frame each 16.7 ms. *Script and layout* is the time in which the browser's one thread is busy with a key press. Other programs
ran on the machine as well: the load average was {load:.1f}.

"""

if __name__ == "__main__":
    main()
