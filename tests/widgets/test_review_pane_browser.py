"""The review pane in a real browser, with its real Python and no kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
    assert states(page)[:3] == ["accepted", "rejected", "skipped"] and "rollout 0-2" in place(
        page
    )  # the refused one waits for nobody
    press("j")
    assert "rollout 0-3" in place(page)
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
    assert page.locator(".tl-body").is_hidden() and "No items match" in page.locator(".tl-say").inner_text()
    page.fill(".tl-search", "FIGS")
    assert "rollout 0-0" in place(page)
    page.select_option(".tl-filter-decision", "todo")
    page.focus(".tl-review")
    page.keyboard.press("x")
    page.keyboard.press("k")
    assert "1 of 2 shown, 4 in all" in place(page) and "rollout 0-1" in place(page)


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
    assert "rollout 0-2" in place(page) and "3 not saved yet" in page.locator(".tl-saved").inner_text()
    assert list(run.read("reviews")) == []
    page.keyboard.press("Backspace")
    assert "rollout 0-2" in place(page) and chip(page) == "open"
    page.evaluate("window.release()")
    assert states(page) == ["accepted", "edited", "open", "refused"]
    again = opened(make())  # a new pane, as after a restart of the kernel
    assert again.input_value(".tl-box") == GOOD and "2 of 4 decided, 1 refused" in again.locator(".tl-progress").inner_text()
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
    assert page.locator(".tl-quote").first.inner_text() == EVIL


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


# ---- what a long, marked-up, refused or doubtful one looks like

WORDS_1500 = "\n\n".join(
    f"Step {k}: $x_{{{k}}} = \\frac{{{k}}}{{2}}$, then **add** it. " + "I go on with care. " * 14 for k in range(25)
)
MARKED = WORDS_1500 + "\n\n```python\nprint(19)\n```\n\nThe last line is here: \\boxed{18}."
RAW = "<opinion>incorrect<reason>Off by one.</reason><phrase>I check: 12+7=19. So \\boxed{19}.</phrase>"


def inside(page, selector):
    """Is all of it in the window?"""
    box, view = page.locator(selector).first.bounding_box(), page.viewport_size
    return (
        box is not None
        and box["y"] >= 0
        and box["y"] + box["height"] <= view["height"]
        and box["x"] + box["width"] <= view["width"]
    )


@pytest.fixture
def mixed(make, tokenizer):  # noqa: F811
    """Six of two groups: a long one, an answer without guidance, one that passes, a refused reply, a wrong verdict, one over a limit."""

    def mixed(**options):
        texts = [MARKED, "12+7=19. So \\boxed{19}.", "12+7=17. So \\boxed{17}.", "7+12=18. So \\boxed{18}."]
        rollouts = [rollout(tokenizer, k, text=t, question="Find $12+7$ figs.") for k, t in enumerate(texts)]
        rollouts += [replace(rollout(tokenizer, k, text=texts[3], question="Any plums?"), group=1) for k in (4, 5)]
        refused = replace(
            proposal(3, ""), status="rejected", reason="missing-tag", detail="<opinion> is missing", verdict=None, raw=RAW
        )
        said = {"0-0": proposal(0), "0-2": proposal(2), "0-3": refused, "0-4": proposal(4, verdict=True)}
        return make(rollouts=rollouts, proposals={**said, "0-5": proposal(5, GOOD + " That is all")}, **options)

    return mixed


@pytest.mark.parametrize("width", [900, 1400])
def test_verdict_and_accept_stay_in_view_at_1500_words_and_the_end_is_what_one_sees(opened, mixed, width):
    assert len(MARKED.split()) > 1500
    page = opened(mixed(), width=width)
    page.wait_for_selector(".tl-quote math")
    for selector in (".tl-now-bar", ".tl-keys .tl-primary", ".tl-box", ".tl-progress"):
        assert inside(page, selector), selector
    assert "teacher: incorrect, rule: incorrect" in page.locator(".tl-now-bar").inner_text()
    assert "words, its end" in page.locator(".tl-main").inner_text()
    last = page.locator(".tl-quote > p").last
    assert "The last line is here" in last.inner_text() and inside(page, ".tl-quote > p:last-child")
    page.keyboard.press("o")  # all of it; the buttons stay
    assert page.evaluate("document.querySelector('.tl-quote').clientHeight") > 1500 and inside(page, ".tl-keys .tl-primary")
    page.keyboard.press("o")
    assert page.evaluate("document.querySelector('.tl-quote').clientHeight") < 320


def test_formulas_code_and_markdown_are_drawn_and_the_source_is_one_key_away(opened, mixed):
    page = opened(mixed())
    page.wait_for_selector(".tl-quote math")
    assert page.locator(".tl-question math").count() == 1 and page.locator(".tl-quote strong").count() == 25
    assert (
        page.locator(".tl-quote pre code").inner_text() == "print(19)"
        and page.locator(".tl-quote .tl-boxed").text_content() == "18"
    )
    assert page.evaluate("document.querySelector('.tl-quote mfrac').namespaceURI.endsWith('MathML')")
    page.wait_for_selector(".tl-reads math")
    page.keyboard.press("m")
    assert page.locator(".tl-quote math").count() == 0 and "\\frac{24}{2}" in page.locator(".tl-quote").first.inner_text()
    assert page.locator(".tl-reads").is_hidden()
    page.keyboard.press("m")
    assert page.locator(".tl-quote math").count() == 26


def test_a_tree_with_unknown_elements_makes_none(opened, make):  # noqa: F811
    page = opened()
    page.keyboard.press("j")
    page.wait_for_timeout(300)
    found = page.evaluate("""() => {
        const link = ["a", { href: "javascript:1", onclick: "alert(1)", style: "x", class: "tl-dead" }, ["link"]];
        const image = ["annotation-xml", {}, [["img", { src: "x", onerror: "alert(1)" }, []]]];
        const math = ["math", { href: "javascript:1", title: "t" }, [["maction", { actiontype: "x" }, ["y"]], image]];
        const evil = [["script", {}, ["alert(1)"]], link, math];
        window.emit("msg:custom", { kind: "view", id: "0-1", question: evil, student: evil, group: [] });
        return [...document.querySelectorAll(".tl-quote *")].map(n => [n.localName, [...n.attributes].map(a => a.name)]);
    }""")
    assert found == [["span", []], ["span", []], ["math", ["title"]], ["span", []], ["span", []], ["span", []]]


def test_the_group_and_what_the_decision_does_to_it(opened, mixed):
    page = opened(mixed())
    page.wait_for_function("document.querySelectorAll('.tl-group-table tbody tr').length === 4")
    page.wait_for_function("[...document.querySelectorAll('.tl-group-table td')].every(cell => cell.textContent !== '…')")
    cells = [r.locator("td").all_inner_texts()[1:] for r in page.locator(".tl-group-table tbody tr").all()]
    effect = page.queue.effect("0-0")

    def signed(v):
        return f"{'+' if v > 0.005 else '−' if v < -0.005 else ''}{abs(v):.2f}"

    assert [c[1:] for c in cells] == [[signed(a), signed(b)] for a, b in zip(effect.accepted, effect.rejected)]
    assert [c[0] for c in cells] == ["1.25", "1", "1.25", "0"]
    assert f"if accepted: {signed(effect.accepted[0])}" in page.locator(".tl-advantage").inner_text()
    assert f"{signed(effect.rejected[0])} → {signed(effect.accepted[0])}" in page.locator(".tl-now-bar").inner_text()
    assert "not guided, right" in page.locator(".tl-group-table").inner_text()
    page.keyboard.press("j")
    page.keyboard.press("x")  # the other guided one of the group is left alone
    for _ in range(3):
        page.keyboard.press("k")
    assert "rollout 0-0" in place(page)
    after = signed(page.queue.effect("0-0").accepted[0])
    assert after != signed(effect.accepted[0])
    page.wait_for_function("v => document.querySelector('.tl-advantage').textContent.includes(`if accepted: ${v}`)", arg=after)
    page.fill(".tl-box", "I am lost.")  # earns nothing: as if rejected
    same = signed(page.queue.effect("0-0", "I am lost.").rejected[0])
    page.wait_for_function(
        "v => document.querySelector('.tl-advantage').textContent === `if accepted: ${v}if rejected: ${v}`", arg=same
    )
    page.locator(".tl-group-table summary").nth(1).click()
    assert page.locator(".tl-group-table details").nth(1).locator(".tl-boxed").text_content() == "19"


def test_a_refused_reply_is_seen_rescued_and_sticks_nobody(opened, mixed, run):  # noqa: F811
    page = opened(mixed())
    for key in ("a", "a"):
        page.keyboard.press(key)
    assert "rollout 0-4" in place(page)  # past the refused one
    page.keyboard.press("x")
    page.keyboard.press("x")
    assert "Everything is decided" in page.locator(".tl-say").inner_text() and states(page)[2] == "refused"
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert page.locator(".tl-raw-reply").inner_text() == RAW and "<opinion> is missing" in page.locator(".tl-main").inner_text()
    page.keyboard.press("a")
    assert states(page)[2] == "refused" and "rollout 0-3" in place(page) and "is dropped" in page.locator(".tl-say").inner_text()
    page.keyboard.press("e")
    assert page.input_value(".tl-box") == GOOD and page.evaluate("document.activeElement.className") == "tl-box"
    page.keyboard.press("Control+Enter")
    assert states(page)[2] == "edited" and page.queue.decided()["0-3"].final_text == GOOD
    assert [line["raw"] for line in run.read("reviews")][-1] == RAW


def test_a_refused_one_in_the_middle_is_passed_by(opened, mixed):
    page = opened(mixed())
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert "rollout 0-3" in place(page)
    page.keyboard.press("a")  # nothing to accept there: on to the next that waits
    assert "rollout 0-4" in place(page) and states(page)[2] == "refused"


def test_bulk_accept_by_key_leaves_drafts_and_warnings_out_and_says_how_many(opened, mixed):
    page = opened(mixed())
    page.fill(".tl-box", GOOD + " and th")  # a half-typed draft on the first
    page.keyboard.press("Escape")
    settled(page)
    assert page.queue["0-0"].draft == GOOD + " and th"
    assert page.locator(".tl-bulk").inner_text().startswith("Accept all that pass (1)")
    page.keyboard.press("A")
    assert states(page) == ["open", "accepted", "refused", "open", "open"]
    said = page.locator(".tl-say").inner_text()
    assert said.startswith(
        "Accepted 1; one undo reverts all of them. 4 left out: 1 with a half-typed draft, 1 with a rejected reply, "
    )
    assert "1 whose verdict is wrong or missing, 1 over a limit of the behavior or too long" in said
    page.keyboard.press("A")
    assert "Nothing passes. 4 left out" in page.locator(".tl-say").inner_text()
    page.keyboard.press("Backspace")
    assert states(page) == ["open", "open", "refused", "open", "open"]


# ---- reasons, tags, notes, order, search, export, agreement


def test_a_rejection_has_a_reason_by_key_or_in_own_words(opened, mixed, run):  # noqa: F811
    page = opened(mixed())
    page.keyboard.press("X")
    assert page.locator(".tl-reasons").is_visible()
    page.keyboard.press("Escape")
    assert page.locator(".tl-reasons").is_hidden() and states(page)[0] == "open"
    page.keyboard.press("X")
    page.keyboard.press("3")
    assert states(page)[0] == "rejected" and page.queue["0-0"].why == "adds nothing"
    page.keyboard.press("X")
    page.fill(".tl-own-reason", "not funny")
    page.keyboard.press("Enter")
    assert states(page)[1] == "rejected" and page.queue["0-2"].why == "not funny"
    assert [line["why"] for line in run.read("reviews")] == ["adds nothing", "not funny"]
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert chip(page) == "rejected: adds nothing"
    page.keyboard.press("3")  # the bar is closed: no decision
    assert states(page)[:2] == ["rejected", "rejected"]


def test_tags_and_notes_are_written_down_and_found(opened, mixed):
    page = opened(mixed())
    page.keyboard.press("t")
    page.keyboard.type("odd, show Tamara")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.keyboard.type("why ax?")
    page.keyboard.press("Escape")
    settled(page)
    assert page.queue["0-0"].tags == ("odd", "show Tamara") and page.queue["0-0"].note == "why ax?"
    page.keyboard.press("j")
    assert page.input_value(".tl-tags") == "" and page.queue["0-2"].tags == ()
    for needle, row in (
        ("TAMARA", "0-0"),
        ("why ax", "0-0"),
        ("Off by one", "0-3"),
        ("plums", "0-4"),
        ("That is all", "0-5"),
        ("last line", "0-0"),
    ):
        page.fill(".tl-search", needle)
        assert f"rollout {row}" in place(page), needle
    again = opened(mixed())  # after a restart
    assert again.input_value(".tl-tags") == "odd, show Tamara" and again.input_value(".tl-note") == "why ax?"


def test_the_most_doubtful_come_first_when_asked_for(opened, mixed):
    page = opened(mixed())
    page.select_option(".tl-filter-order", "doubt")
    page.focus(".tl-review")
    order = []
    for _ in range(6):
        page.keyboard.press("k")
    for _ in range(5):
        order.append(page.locator(".tl-where").inner_text().split("rollout ")[1].split()[0])
        page.keyboard.press("j")
    assert order == ["0-3", "0-4", "0-5", "0-0", "0-2"]
    page.select_option(".tl-filter-order", "long")
    page.focus(".tl-review")
    for _ in range(6):
        page.keyboard.press("k")
    assert "rollout 0-0" in place(page)


def test_decisions_are_exported_and_two_reviewers_compared(opened, mixed, run):  # noqa: F811
    page = opened(mixed(by="ann"))
    for key in ("a", "a", "x", "x"):
        page.keyboard.press(key)
    settled(page)
    page = opened(mixed(by="bob"))
    page.select_option(".tl-filter-decision", "mine")
    page.focus(".tl-review")
    page.keyboard.press("k")
    assert chip(page) == "not decided by you" and page.locator(".tl-recent button").count() == 0
    for key in ("a", "x", "x", "x"):
        page.keyboard.press(key)
    settled(page)
    page.select_option(".tl-filter-decision", "")
    page.focus(".tl-review")
    page.keyboard.press("d")
    page.wait_for_function("document.querySelector('.tl-agreement table')")
    assert page.locator(".tl-agreement tbody td").all_inner_texts() == ["ann, bob", "4", "1", "2", "1", "0", "0.50"]
    with page.expect_download() as got:
        page.get_by_text("JSON lines").click()
    text = Path(got.value.path()).read_text()
    assert got.value.suggested_filename == "decisions-run.jsonl" and text.count("\n") == 5 and '"who": "bob"' in text


# ---- connection


def test_a_pane_without_its_kernel_greys_out_keeps_the_text_and_says_what_to_do(opened, mixed, run):  # noqa: F811
    page = opened(mixed())
    page.keyboard.press("a")
    settled(page)
    page.fill(".tl-box", "my own words")
    page.evaluate("document.getElementById('here').classList.add('jupyter-widgets-disconnected')")
    page.wait_for_selector(".tl-banner")
    text = page.locator(".tl-banner").inner_text()
    assert "kernel behind this pane is gone" in text and "Run the notebook from the top" in text and "1 was not" in text
    assert (
        page.locator(".tl-saved").inner_text() == "not connected" and "all saved" not in page.locator(".tl-review").inner_text()
    )
    before = [line["action"] for line in run.read("reviews")]
    page.focus(".tl-review")
    for key in ("a", "x", "A", " ", "Backspace"):
        page.keyboard.press(key)
    assert page.locator(".tl-review button:enabled").all_inner_texts() == ["Copy the text in the box"]
    page.locator(".tl-box").press_sequentially("more")
    assert page.input_value(".tl-box") == "my own words" and [line["action"] for line in run.read("reviews")] == before
    assert "rollout 0-2" in place(page)
    low = [(round(ratio, 2), what) for ratio, what in contrasts(page) if ratio < 4.5]
    assert not low, low
    page.evaluate("document.getElementById('here').classList.remove('jupyter-widgets-disconnected')")
    page.wait_for_function("document.querySelector('.tl-saved').textContent === 'all saved'")
    page.focus(".tl-review")
    page.keyboard.press("a")
    assert states(page)[1] == "edited" and page.queue["0-2"].text == "my own words"


def test_a_new_pane_takes_the_focus_once_but_not_from_somebody_who_types(chromium, make):  # noqa: F811
    page = chromium.new_page()
    pane = ReviewPane(make())
    assert pane.get_state()["fresh"] is True
    mount(page, pane)
    page.wait_for_function("document.activeElement.className === 'tl tl-review'")
    assert page.locator(".tl-keys-on").inner_text() == "keys on"
    page.keyboard.press("x")
    settled(page)
    assert pane.queue["0-0"].state == "rejected" and pane.get_state()["fresh"] is False
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function("document.querySelector('.tl-keys-on').textContent === 'keys off: click here'")
    page.keyboard.press("x")
    assert pane.queue["0-1"].state == "open"
    page.locator(".tl-keys-on").click()
    page.keyboard.press("x")
    settled(page)
    assert pane.queue["0-1"].state == "rejected"
    page.close()
    page = chromium.new_page()
    mount(page, pane)  # the page is loaded again: nobody has run its cell
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement === document.body")
    assert page.locator(".tl-keys-on").inner_text() == "keys off: click here"
    page.close()
