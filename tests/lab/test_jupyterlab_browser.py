"""The whole loop as a person has it: JupyterLab, the review pane, keys, a restarted kernel, and what was trained."""

from __future__ import annotations

import json

import pytest

from tests.lab.conftest import SMALL
from tests.support.jupyter_page import open_notebook, shoot, write_notebook
from thinklab import load_behavior
from thinklab.run.folder import RunFolder

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TEXT = "I check: my own words. So \\boxed{4}."
LONG = {**SMALL, "train": {**SMALL["train"], "steps": 500}}
CELLS = [
    f"from thinklab import Lab\nlab = Lab({json.dumps(LONG)}, out='run', by='ann')\nlab",
    "batch = lab.rollout()\nlab.guide(batch)",
    "lab.review(batch)",
    "lab.update(batch, auto='accept')\nlab",
    "lab.train()",
    "lab.train(1)\nlab",
]


def test_edit_accept_undo_restart_find_update(tmp_path, tokenizer):
    write_notebook(tmp_path / "review.ipynb", CELLS)
    with open_notebook(tmp_path, "review.ipynb") as notebook:
        page = notebook.page
        assert "step 0 of 500" in notebook.run(0)
        assert "4 pieces of guidance" in notebook.run(1)
        notebook.run(2)
        box, where, chip = (page.locator(f".tl-review {s}") for s in (".tl-box", ".tl-where", ".tl-main .tl-chip"))
        box.wait_for()
        ids = [line["rollout_id"] for line in RunFolder(tmp_path / "run").read("proposals")]
        assert ids[0] in where.inner_text()

        page.focus(".tl-review")
        page.keyboard.press("e")  # edit the first, accept it from within the box
        page.keyboard.press("Control+a")
        page.keyboard.type(TEXT)
        shoot(page, "editing")
        page.keyboard.press("Control+Enter")
        page.keyboard.press("x")  # reject the second, by mistake
        page.keyboard.press("Backspace")  # undo
        page.keyboard.press("a")  # accept it by key
        page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'")
        assert [r["action"] for r in RunFolder(tmp_path / "run").read("reviews") if r["action"] != "draft"] == [
            "edit",
            "reject",
            "undo",
            "accept",
        ]
        shoot(page, "reviewed")

        notebook.restart()
        text = notebook.run(0)
        assert "resuming run at step 0" in text and "2 of 4 pieces of guidance undecided" in text
        assert "the pending batch" in notebook.run(1)
        assert [line["rollout_id"] for line in RunFolder(tmp_path / "run").read("proposals")] == ids  # nobody was asked again
        notebook.run(2)
        page.wait_for_function("id => document.querySelector('.tl-where')?.textContent.includes(id)", arg=ids[2])
        page.focus(".tl-review")
        page.keyboard.press("k")
        page.keyboard.press("k")
        assert ids[0] in where.inner_text() and box.input_value() == TEXT and "edited" in chip.inner_text()
        shoot(page, "after-restart")

        assert "step 1 of 500" in notebook.run(3)
        shoot(page, "updated")

        run = RunFolder(tmp_path / "run")
        notebook.start(4)  # some 500 steps: the stop button ends them
        while len(list(run.read("metrics"))) < 3:
            page.wait_for_timeout(100)
        notebook.stop()
        assert "KeyboardInterrupt" in notebook.ended(4)
        reached = run.last_checkpoint()[1]
        assert 3 <= reached < 500 and f"step {reached + 1} of 500" in notebook.run(5)

    records = {r["id"]: r for r in RunFolder(tmp_path / "run").read("rollouts")}
    trained = records[ids[0]]
    separator = load_behavior("self-check").separator
    assert trained["teacher_ids"] == [*tokenizer(separator + TEXT, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert (
        trained["guidance"]["edited"] == TEXT and trained["guidance"]["status"] == "edited" and trained["advantage"] is not None
    )
    assert [records[i]["guidance"]["status"] for i in ids[1:]] == ["accepted"] * 3
