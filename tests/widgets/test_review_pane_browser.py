"""The review pane in a real browser, with its real Python and no kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.review.test_review import GOOD, OTHER, make, proposal, rollout, run  # noqa: F401
from tests.support.widget_page import contrasts, mount
from tests.widgets.test_review_pane import EVIL
from thinklab.widgets import ReviewPane

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(chromium, make):  # noqa: F811
    """Opens a pane over a queue; returns the page. No script may fail in it."""
    pages = []

    def opened(queue=None, width=900, theme="light", lab=True):
        page = chromium.new_page(viewport={"width": width, "height": 800})
        pages.append(page)
        page.queue = queue or make()
        mount(page, ReviewPane(page.queue), theme, lab)
        page.focus(".tl-review")
        return page

    yield opened
    for page in pages:
        assert page.evaluate("window.thrown") == []
        assert "save_changes" not in [m["kind"] for m in page.evaluate("window.sent")]
        page.close()


def settled(page):
    page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'")


def chip(page):
    return page.locator(".tl-main .tl-chip").inner_text()


def place(page):
    return page.locator(".tl-where").inner_text()


def states(page):
    settled(page)
    return [i.state for i in page.queue.items]


def test_every_key_does_what_the_help_says(opened, make):  # noqa: F811
    page = opened(make(ask=lambda r: proposal(3, OTHER)))
    press = page.keyboard.press
    press("?")
    assert page.locator(".tl-help").is_visible() and "ask the teacher again" in page.locator(".tl-help").inner_text()
    press("?")
    assert page.locator(".tl-help").is_hidden()
    press("a")
    assert states(page)[0] == "accepted" and "rollout 0-1" in place(page)  # and on to the next
    press("x")
    press(" ")
    assert states(page)[:3] == ["accepted", "rejected", "skipped"] and "rollout 0-3" in place(page)
    press("r")
    page.wait_for_function("document.querySelector('.tl-box').value !== ''")
    assert page.input_value(".tl-box") == OTHER and states(page)[3] == "open"
    press("Backspace")
    assert states(page)[3] == "refused"
    for key in ("Backspace", "Backspace"):
        press(key)
    assert states(page) == ["accepted", "open", "open", "refused"] and "rollout 0-1" in place(page)
    for key, row in (("j", 2), ("ArrowDown", 3), ("j", 3), ("k", 2), ("ArrowUp", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        press(key)
        assert f"rollout 0-{row}" in place(page), key
    press("/")
    assert page.evaluate("document.activeElement.className") == "tl-search"


def test_letters_typed_into_the_box_are_text_and_ctrl_enter_accepts_them(opened):
    page = opened()
    page.keyboard.press("e")
    page.keyboard.type(" axerw jk?")
    assert page.input_value(".tl-box") == GOOD + " axerw jk?"
    assert states(page)[0] == "open"
    page.keyboard.press("Control+Enter")
    assert states(page)[0] == "edited" and page.queue.decided()["0-0"].final_text == GOOD + " axerw jk?"
    assert page.evaluate("document.activeElement.className") == "tl tl-review"  # keys work at once again


def test_write_begins_with_an_empty_box_and_escape_keeps_the_draft(opened, run):  # noqa: F811
    page = opened()
    page.keyboard.press("w")
    assert page.input_value(".tl-box") == ""
    page.keyboard.type(OTHER)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    settled(page)
    assert page.queue["0-0"].draft == OTHER and page.queue["0-0"].state == "open"
    page.keyboard.press("k")
    assert page.input_value(".tl-box") == OTHER
    page.keyboard.press("a")
    assert states(page)[0] == "edited" and page.queue.decided()["0-0"].edited == OTHER
    page.keyboard.press("w")
    page.keyboard.type(OTHER)
    page.keyboard.press("Control+Enter")
    settled(page)
    assert [line["action"] for line in run.read("reviews")][-1] == "write"


def test_the_diff_the_detector_and_the_reward_follow_the_typing(opened):
    page = opened()
    assert page.locator(".tl-diff mark").all_inner_texts() == ["I check:"] and page.locator(".tl-diff ins").count() == 0
    page.wait_for_function("document.querySelector('.tl-reward').textContent.includes('1.25 with it')")
    page.fill(".tl-box", "I look: 12+7=19. So \\boxed{19}.")
    assert page.locator(".tl-diff ins").all_inner_texts() == ["look"]
    assert page.locator(".tl-diff del").all_inner_texts() == ["check"]
    page.wait_for_function("document.querySelector('.tl-detector').textContent.includes('not found')")
    assert "1 with it" in page.locator(".tl-reward").inner_text()
    page.fill(".tl-box", GOOD * 5)
    page.wait_for_function("document.querySelector('.tl-tokens').textContent.includes('too many')")
    page.press(".tl-box", "Control+Enter")
    assert "at most 60" in page.locator(".tl-say").inner_text() and states(page)[0] == "open"


def test_bulk_accept_and_one_undo(opened):
    page = opened()
    page.get_by_text("Accept all that pass (2)").click()
    assert states(page) == ["accepted", "accepted", "open", "refused"]
    page.keyboard.press("Backspace")
    assert states(page) == ["open", "open", "open", "refused"] and page.get_by_text("Accept all that pass (2)").count() == 1


def test_filters_choose_what_the_keys_walk_through(opened):
    page = opened()
    page.select_option(".tl-filter-verdict", "disagrees")
    assert "rollout 0-2" in place(page) and "1 of 1 shown, 4 in all" in place(page)
    page.select_option(".tl-filter-verdict", "")
    page.select_option(".tl-filter-detector", "no")
    assert "rollout 0-3" in place(page)
    page.select_option(".tl-filter-detector", "")
    page.fill(".tl-search", "plums")
    assert page.locator(".tl-body").is_hidden() and "Nothing fits" in page.locator(".tl-say").inner_text()
    page.fill(".tl-search", "FIGS")
    assert "rollout 0-0" in place(page)
    page.select_option(".tl-filter-decision", "todo")
    page.focus(".tl-review")
    page.keyboard.press("x")
    page.keyboard.press("k")
    assert "1 of 3 shown, 4 in all" in place(page) and "rollout 0-1" in place(page)


def test_the_last_decisions_are_open_to_change(opened):
    page = opened()
    page.keyboard.press("x")
    page.keyboard.press("a")
    assert page.locator(".tl-recent button").count() == 2
    page.locator(".tl-recent button").nth(1).click()
    assert "rollout 0-0" in place(page) and chip(page) == "rejected"
    page.keyboard.press("a")
    assert states(page)[:2] == ["accepted", "accepted"]


def test_the_pane_goes_on_while_the_kernel_is_busy_and_nothing_is_lost(opened, run, make):  # noqa: F811
    page = opened()
    page.evaluate("window.hold = true")
    page.keyboard.press("a")
    page.keyboard.press("e")
    page.keyboard.press("End")
    page.keyboard.type("!")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("x")
    assert "rollout 0-3" in place(page) and "3 not saved yet" in page.locator(".tl-saved").inner_text()
    assert list(run.read("reviews")) == []
    page.keyboard.press("Backspace")
    assert "rollout 0-2" in place(page) and chip(page) == "open"
    page.evaluate("window.release()")
    assert states(page) == ["accepted", "edited", "open", "refused"]
    again = opened(make())  # a new pane, as after a restart of the kernel
    assert again.input_value(".tl-box") == GOOD and "2 of 4 decided" in again.locator(".tl-progress").inner_text()
    again.keyboard.press("k")
    assert again.input_value(".tl-box") == GOOD + "!" and chip(again) == "accepted, edited"


def test_a_decision_that_python_refuses_is_taken_back_and_its_text_stays(opened):
    page = opened()
    page.evaluate("window.hold = true")
    page.fill(".tl-box", GOOD * 5)  # the preview that would warn is still on its way
    page.press(".tl-box", "Control+Enter")
    page.evaluate("window.release()")
    settled(page)
    page.wait_for_function("document.querySelector('.tl-say').textContent.includes('at most 60')")
    assert "rollout 0-0" in place(page) and chip(page) == "open" and page.input_value(".tl-box") == GOOD * 5
    assert page.queue.undo() == []


def test_model_text_is_text(opened, make, tokenizer):  # noqa: F811
    rollouts = [rollout(tokenizer, k, text=EVIL, question=EVIL) for k in range(2)]
    queue = make(
        rollouts=rollouts,
        proposals={
            "0-0": proposal(0, EVIL),
            "0-1": replace(proposal(1, ""), status="rejected", reason="x", detail=EVIL, behavior="self-check"),
        },
    )
    page = opened(queue)
    dialogs = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    page.keyboard.press("x")
    page.keyboard.press("w")
    page.keyboard.type(EVIL[:30])
    page.wait_for_timeout(400)
    assert page.evaluate("document.querySelectorAll('#here script, #here img').length") == 0 and not dialogs
    assert EVIL in page.locator(".tl-question").inner_text()
    assert EVIL in page.locator(".tl-recent button").first.get_attribute("title")
    assert page.locator(".tl-quote").inner_text() == EVIL


def test_jupyterlab_s_shortcuts_stay_out_and_ctrl_s_stays_jupyterlab_s(opened):
    page = opened()
    page.evaluate("""() => { window.seen = [];
        document.addEventListener("keydown", e => {           // as JupyterLab: from the target upwards, while capturing
          for (let n = e.target; n; n = n.parentElement) if (n.hasAttribute("data-lm-suppress-shortcuts")) return;
          window.seen.push(e.key);
        }, true);
        document.addEventListener("keydown", e => window.seen.push("bubbled " + e.key)); }""")
    for key in ("j", "x", "a", "Backspace"):
        page.keyboard.press(key)
    page.locator(".tl-keys button").nth(2).focus()
    page.keyboard.press("b")
    page.keyboard.press("e")
    page.keyboard.press("d")
    page.keyboard.press("Control+Enter")
    assert page.evaluate("window.seen.filter(k => k !== 'Control')") == []
    page.keyboard.press("Control+s")
    assert "s" in page.evaluate("window.seen")


@pytest.mark.parametrize("lab", [True, False])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(opened, theme, lab):
    page = opened(theme=theme, lab=lab)
    page.keyboard.press("?")
    for key in ("a", "x", " ", "k"):
        page.keyboard.press(key)
    page.fill(".tl-box", "I look: 12+7=19 and more. " + GOOD * 5)
    page.wait_for_function("document.querySelector('.tl-tokens').textContent.includes('too many')")
    seen = contrasts(page)
    assert len(seen) > 60
    low = [(round(ratio, 2), what) for ratio, what in seen if ratio < 4.5]
    assert not low, low
    dark = page.evaluate("getComputedStyle(document.querySelector('.tl')).colorScheme")
    assert dark == theme
    page.locator(".tl-keys button").nth(1).focus()
    page.keyboard.press("Tab")
    ring = page.evaluate("getComputedStyle(document.activeElement).outline")
    assert "solid 2px" in ring


@pytest.mark.parametrize("width", [480, 900, 1400])
def test_there_is_no_horizontal_scroll(opened, make, tokenizer, width):  # noqa: F811
    long = "x" * 400
    rollouts = [rollout(tokenizer, k, text=long, question=long) for k in range(2)]
    page = opened(make(rollouts=rollouts, proposals={"0-0": proposal(0, long), "0-1": proposal(1, long)}), width=width)
    page.keyboard.press("x")
    page.keyboard.press("?")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inner = page.evaluate("""[...document.querySelectorAll(".tl, .tl *")].filter(n => n.scrollWidth > n.clientWidth + 1
      && n.clientWidth && !n.matches("input, select, button, span, kbd")).map(n => n.className)""")
    assert inner == []
