"""The behavior studio in a real browser: the editor, tests from answers, a run's rollouts, and a training without a key or Python."""

from __future__ import annotations

import re

import pytest

from tests.reports.test_report import EVIL
from tests.support.widget_page import contrasts, mount
from thinklab.run.folder import RunFolder
from thinklab.widgets import BehaviorStudio

pytestmark = pytest.mark.browser
SHORT = """\
name: short-check
title: Checks in one line
description: The response ends with I check and the result.
version: 1
placement: end
teacher:
  system: Go on as the student.
  few_shots:
    - {question: A box holds 12 pens and 7 more. How many?, response: '12+7=19. So \\boxed{19}.', verdict: correct, reason: I added.,
       phrase: 'I check: 19.'}
splice: {fields: [phrase], separator: " "}
guidance: {longest: 40, must_contain: ["I check: "], must_end_with: ["."]}
detector: {phrase: "I check:", where: last_sentence}
reward: {bonus: 0.5}
tests:
  shows:
    - 'So \\boxed{19}. I check: 19.'  # the short form
  lacks:
    - 'So \\boxed{19}.'
"""


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 900, "height": 900})
    yield page
    page.close()


@pytest.fixture
def studio(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio = BehaviorStudio("self-check")
    mount(page, studio)
    yield studio
    studio.close()


@pytest.fixture
def short(page, tmp_path, monkeypatch):
    """A studio on a behavior of one's own, with a run beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short-check.yaml").write_text(SHORT)
    run = RunFolder.create(tmp_path / "runs" / "mine", {"name": "mine"}, {})
    rows = []
    for k in range(60):
        text = f"{k}+1={k + 1}. So \\boxed{{{k + 1}}}." + (" I check: 1." if k % 3 == 0 else EVIL if k == 1 else "")
        rows.append(
            {
                "step": k,
                "example": {"id": f"e{k}", "question": f"{k} and 1?", "gold": "1"},
                "student_text": text,
                "guidance": None,
            }
        )
    run.append("rollouts", rows)
    studio = BehaviorStudio("short-check.yaml")
    mount(page, studio)
    yield studio
    studio.close()


def write(page, text: str) -> None:
    """Replace the editor's text as a person does who selects all and pastes; then look at its begin."""
    page.click(".tl-yaml")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Home")


def says(page, selector: str, text: str) -> None:
    page.wait_for_function("([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[selector, text])


def test_lint_prompt_and_detector_follow_the_typing_and_ctrl_s_saves(page, studio, tmp_path):
    assert "no problems" in page.locator(".tl-findings").inner_text()
    good = studio.text
    write(page, good.replace("title: Marks", "titel: Marks"))
    page.wait_for_selector(".cm-lint-marker-error")
    assert studio.text == good.replace("title: Marks", "titel: Marks") and "line 5" in page.locator(".tl-findings").inner_text()
    page.locator(".tl-findings button", has_text="did you mean").click()
    assert (
        page.locator(".cm-activeLine").inner_text().startswith("titel")
        and page.locator(".cm-activeLineGutter").first.is_visible()
    )
    write(page, good.replace("I check:", "I look:"))
    page.wait_for_selector(".cm-lint-marker-error", state="detached")
    says(page, ".tl-sample .tl-verdict", "not shown")
    assert "I look:" in page.locator(".tl-message").first.inner_text()
    page.locator(".tl-sample textarea").first.fill("So \\boxed{1}. I look: 1+1=2. So \\boxed{2}.")
    says(page, ".tl-sample .tl-verdict", "✓ shown")
    page.get_by_label("question").fill(EVIL)
    page.wait_for_function("[...document.querySelectorAll('.tl-message')].at(-1).textContent.includes('<script>')")
    assert page.evaluate("document.querySelectorAll('#here script, #here img').length") == 0
    page.keyboard.press("Control+s")
    says(page, ".tl-say", "Saved")
    assert "I look:" in (tmp_path / "self-check.yaml").read_text() and page.locator(".tl-state").inner_text() == ""
    assert page.evaluate("window.thrown") == []


def test_the_editor_colors_yaml_wraps_finds_and_replaces_undoes_and_keeps_its_keys(page, studio):
    keys = page.evaluate("""() => { window.heard = [];
      document.body.addEventListener("keydown", e => window.heard.push(e.key)); return window.heard; }""")
    assert keys == []
    color = "s => getComputedStyle([...document.querySelectorAll('.cm-line span')].find(n => n.textContent.startsWith(s))).color"
    plain = page.evaluate("getComputedStyle(document.querySelector('.cm-content')).color")
    colors = [page.evaluate(color, text) for text in ("title", "#")]  # a key, a comment
    assert plain not in colors and colors[0] != colors[1]
    wide = "document.querySelector('.cm-scroller').scrollWidth - document.querySelector('.cm-scroller').clientWidth"
    assert page.evaluate(wide) <= 0
    page.get_by_label("wrap lines").uncheck()
    page.wait_for_function(f"{wide} > 100")
    page.get_by_label("wrap lines").check()
    before = studio.text
    page.click(".tl-yaml")
    page.keyboard.press("Control+f")
    page.locator(".cm-search input[name=search]").fill("I check:")
    page.locator(".cm-search input[name=replace]").fill("I look:")
    page.locator(".cm-search input[name=case]").check()
    page.locator(".cm-search button[name=replaceAll]").click()
    says(page, ".tl-message", "I look:")
    assert studio.text == before.replace("I check:", "I look:")
    page.keyboard.press("Escape")
    page.click(".tl-yaml")
    page.keyboard.press("Control+z")
    says(page, ".tl-message", "I check:")
    assert studio.text == before
    page.keyboard.press("Control+Home")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('.cm-line').textContent.startsWith('  ')")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")  # Escape, then Tab, leaves the editor
    assert page.evaluate("!document.querySelector('.cm-content').contains(document.activeElement)")
    assert page.evaluate("window.heard") == [] and page.evaluate("window.thrown") == []


def test_an_answer_goes_into_the_tests_and_the_file_stays_as_it_was_otherwise(page, short, tmp_path):
    page.locator(".tl-sample textarea").first.fill("It's 3. I check: 3.")
    says(page, ".tl-sample .tl-verdict", "✓ shown")
    page.locator(".tl-sample button", has_text="it shows it").first.click()
    says(page, ".tl-say", "Added to tests.shows")
    added = "    - 'It''s 3. I check: 3.'\n"
    assert short.text == SHORT.replace("  # the short form\n", "  # the short form\n" + added)
    assert "4 passed" in page.locator(".tl-right").inner_text() and page.locator(".tl-state").inner_text() == "not saved"
    page.locator(".tl-sample button", has_text="it lacks it").first.click()
    says(page, ".tl-say", "among the tests already, as one that shows the behavior; change it there")
    page.click(".tl-yaml")
    page.keyboard.press("Control+z")  # it was an edit like any other
    page.wait_for_function("!document.querySelector('.tl-right').textContent.includes('4 passed')")
    assert short.text == SHORT and (tmp_path / "short-check.yaml").read_text() == SHORT


def test_the_detector_looks_at_a_run_and_one_of_its_answers_goes_into_the_tests(page, short):
    assert page.locator("datalist option").evaluate_all("all => all.map(o => o.value)") == ["runs/mine"]
    page.get_by_label("run folder").fill("runs/none")
    page.keyboard.press("Enter")
    says(page, ".tl-say", "runs/none")
    page.get_by_label("run folder").fill("runs/mine")
    page.get_by_role("button", name="Look").click()
    says(page, ".tl-run-out", "20 of 60 answers show the behavior (33.3 %)")
    assert page.locator(".tl-answer").count() == 20
    page.get_by_role("button", name="it is silent on 40").click()
    assert page.locator(".tl-answer").count() == 25
    page.get_by_role("button", name="more (25 of 40 are listed)").click()
    page.wait_for_function("document.querySelectorAll('.tl-answer').length === 40")
    assert page.evaluate("document.querySelectorAll('#here script, #here img').length") == 0
    page.get_by_role("button", name="it fires on 20").click()
    card = page.locator(".tl-answer").first
    card.locator("summary").click()
    assert card.locator("mark").inner_text() == "I check:" and "step 57" in card.inner_text()
    card.get_by_role("button", name="it lacks it").click()
    says(page, ".tl-say", "Added to tests.lacks")
    assert "    - '57+1=58. So \\boxed{58}. I check: 1.'\n" in short.text
    says(page, ".tl-right", "1 failed")  # the detector does not agree yet; so it is changed until it does
    write(page, short.text.replace('phrase: "I check:", where', 'phrase: "I look:", where').replace("I check: ", "I look: "))
    says(page, ".tl-run-out", "0 of 60 answers show the behavior")
    assert page.evaluate("window.thrown") == []


def test_a_saved_behavior_is_trained_at_once_without_a_key_or_python(page, short, tmp_path, monkeypatch):
    """A real training, of a few steps; that the student learns is shown by tests/experiment/test_one_sentence.py."""
    sentence = page.get_by_label("the teacher's sentence")
    assert sentence.input_value() == "I check: {gold}."
    for text, said in (("Arr: {gold}.", "does not contain 'I check: '"), ("I check: {glod}.", "unknown placeholder {glod}")):
        sentence.fill(text)
        says(page, ".tl-fits.tl-bad", said)
    page.get_by_role("button", name="Train this on the embedded student").click()
    says(page, ".tl-say.tl-bad", "unknown placeholder")
    sentence.fill("I check: {gold}.")
    says(page, ".tl-fits.tl-good", "it will read: I check: ")
    page.get_by_label("steps").fill("3")
    write(page, SHORT.replace("version: 1", "version: 2"))
    page.get_by_role("button", name="Train this on the embedded student").click()
    says(page, ".tl-say.tl-good", "training")
    assert "version: 2" in (tmp_path / "short-check.yaml").read_text() and page.locator(".tl-state").inner_text() == ""
    assert page.locator(".tl-train progress").is_visible()
    monkeypatch.chdir(tmp_path.parent)  # as a cell of the notebook may do meanwhile
    page.wait_for_selector(".tl-train table", timeout=180_000)
    said = page.locator(".tl-train").inner_text()
    assert re.search(r"before training\s+0 % \[0, 4\]\s+\d+ % ", said) and "The student has not learned it in this run" in said
    assert page.locator(".tl-before-after tr").count() == 5 and page.locator(".tl-train svg").count() == 1
    run = RunFolder.open(tmp_path / "runs" / "short-check-studio-1")
    assert len(list(run.read("metrics"))) == 3 and run.resolved()["config"]["teacher"]["phrase"] == "I check: {gold}."
    assert "replies:" in (run.path / "log.txt").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    page.get_by_label("steps").fill("2000")
    page.get_by_role("button", name="Train this on the embedded student").click()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function("document.querySelector('.tl-train-out').textContent.includes('stopped')", timeout=120_000)
    assert page.evaluate("window.thrown") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_studio_is_readable_and_fits(chromium, tmp_path, monkeypatch, theme):
    monkeypatch.chdir(tmp_path)
    page = chromium.new_page(viewport={"width": 900, "height": 800})
    studio = BehaviorStudio("self-check")
    studio.training = {
        "phase": "done", "learned": True, "say": "learned", "step": 2, "steps": 2, "behavior": [0.0, 0.5], "run": "runs/x",
        "result": {s: {k: {"value": 0.5, "low": 0.4, "high": 0.6} for k in ("behavior", "accuracy")} for s in ("before", "after")},
        "answers": [{"question": EVIL, **{s: {"text": EVIL, "shows": s == "after"} for s in ("before", "after")}}],
    }  # fmt: skip
    mount(page, studio, theme)
    write(page, "titel: x\n" + studio.text)
    page.wait_for_selector(".cm-lint-marker-error")
    page.keyboard.press("Control+f")
    page.keyboard.type("check")
    page.wait_for_selector(".cm-searchMatch")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    low = [(round(ratio, 2), what) for ratio, what in contrasts(page) if ratio < 4.5]
    assert not low, low
    assert page.evaluate("document.documentElement.scrollWidth") <= 900
    assert (
        page.evaluate("document.querySelectorAll('#here script, #here img').length") == 0 and page.evaluate("window.thrown") == []
    )
    page.close()
