"""The review pane without a browser: its messages, what it sends, and its static HTML."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.review.test_review import GOOD, OTHER, make, proposal, rollout, run  # noqa: F401
from thinklab.run.folder import RunFolder
from thinklab.widgets import ReviewPane
from thinklab.widgets.review_html import diff

EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quoted" </textarea></style>'


@pytest.fixture
def talk(make):  # noqa: F811
    """Sends a pane one message and returns its answer."""

    def talk(pane, kind, **message):
        sent = []
        pane.send = sent.append
        pane.handle({"kind": kind, "n": 7, **message})
        (answer,) = sent
        return answer

    return talk


def test_a_message_is_a_decision_on_disk_and_the_answer_is_what_holds_now(make, run, talk):  # noqa: F811
    pane = ReviewPane(make())
    answer = talk(pane, "edit", id="0-1", text=OTHER)
    assert [line["action"] for line in run.read("reviews")] == ["edit"] and pane.queue["0-1"].state == "edited"
    assert answer["n"] == 7 and answer["recent"] == ["0-1"] and answer["items"][0]["text"] == OTHER
    assert talk(pane, "accept_all", ids=["0-0", "0-2"])["items"][1]["state"] == "open"
    assert [i["id"] for i in talk(pane, "undo")["items"]] == ["0-0"]
    assert talk(pane, "undo")["goto"] == "0-1" and not pane.queue["0-1"].decided
    assert talk(pane, "draft", id="0-0", text="I ch")["items"][0]["draft"] == "I ch"
    assert talk(pane, "reject", id="0-0")["items"][0]["state"] == "rejected"
    assert talk(pane, "skip", id="0-1")["items"][0]["state"] == "skipped"
    assert talk(pane, "write", id="0-3", text=GOOD)["items"][0]["state"] == "edited"
    assert "error" not in answer


def test_what_fails_is_said_and_nothing_is_claimed(make, talk, monkeypatch):  # noqa: F811
    def broken(rollout):
        raise RuntimeError("the line is dead")

    pane = ReviewPane(make(ask=broken))
    assert "the line is dead" in talk(pane, "ask", id="0-0")["error"]
    assert "at most 60" in talk(pane, "edit", id="0-0", text=GOOD * 5)["error"]
    assert "none of them passes" in talk(pane, "accept_all", ids=["0-2"])["error"]
    monkeypatch.setattr(RunFolder, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    answer = talk(pane, "accept", id="0-1")
    assert "No space left" in answer["error"] and answer["items"][0]["state"] == "open"


def test_the_browser_gets_what_holds_now_when_it_asks_again(make, talk):  # noqa: F811
    pane = ReviewPane(make())
    talk(pane, "reject", id="0-0")
    state = pane.get_state()
    assert state["items"][0]["state"] == "rejected" and state["recent"] == ["0-0"] and state["max_tokens"] == 60


def test_previews_count_in_the_browser_s_units(make, talk):  # noqa: F811
    text = "\U0001f600 " + GOOD
    answer = talk(ReviewPane(make()), "preview", id="0-0", text=text)["preview"]
    ((a, b),) = answer["spans"]
    assert text.encode("utf-16-le")[2 * a : 2 * b].decode("utf-16-le") == "I check:" and answer["rewards"]["correct"] == 1.0


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_static_html_shows_model_text_as_text(make, tokenizer):  # noqa: F811
    rollouts = [rollout(tokenizer, k, text=EVIL, question=EVIL) for k in range(2)]
    rollouts[0] = replace(rollouts[0], example=replace(rollouts[0].example, gold=EVIL))
    queue = make(
        rollouts=rollouts,
        by=EVIL,
        proposals={"0-0": proposal(0, EVIL), "0-1": replace(proposal(1, ""), status="rejected", reason=EVIL, detail=EVIL)},
    )
    queue.write("0-1", "ok " + EVIL[:20])
    queue.draft("0-0", EVIL + "!")
    for html in (ReviewPane(queue).to_html(), ReviewPane(queue)._repr_mimebundle_()[0]["text/html"]):
        page = Tags()
        page.feed(html)
        assert set(page.tags) <= {"style", "div", "h3", "p", "details", "summary", "span", "ins", "del"}
        assert page.text.count(EVIL) >= 6


def test_static_html_says_what_was_decided(make):  # noqa: F811
    queue = make()
    queue.edit("0-1", OTHER)
    html = ReviewPane(queue).to_html()
    assert "19<ins>, yes</ins>." in html and "by ann" in html and "1 accepted, edited" in html


def test_the_diff_of_words():
    assert diff("a b c", "a x c") == "a <del>b</del><ins>x</ins> c"
    assert diff("", "new") == "<ins>new</ins>" and diff("same <b>", "same <b>") == "same &lt;b&gt;"


def test_a_frozen_pane_is_html_in_the_same_place(make, monkeypatch):  # noqa: F811
    import IPython.display

    shown = []

    class Handle:
        def update(self, what):
            shown.append(what.data)

    monkeypatch.setattr(IPython.display, "display", lambda data, **more: Handle())
    pane = ReviewPane(make())
    pane._ipython_display_()
    pane.queue.reject("0-0")
    pane.queue.closed = "trained on"
    pane._ipython_display_()  # a closed pane shows what it was
    assert len(shown) == 1 and "rejected by ann" in shown[0] and "<script" not in shown[0]
