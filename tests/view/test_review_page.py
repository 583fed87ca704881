"""The review page of the viewer is the notebook's pane: the same modules, the same keys, the same records, over HTTP."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.review.test_review import GOOD, make, run  # noqa: F401
from tests.support.view_server import served, watched
from tests.support.widget_page import _CONTRASTS
from tests.view.test_view_browser import name, settled
from tests.widgets.test_review_pane_browser import RAW, inside, mixed  # noqa: F401
from thinklab.view import assets
from thinklab.view.batch import Desk, OpenBatch
from thinklab.widgets import ReviewPane
from thinklab.widgets.html import imported, static

pytest.importorskip("starlette", reason="needs the extra view")
pytestmark = pytest.mark.browser


@pytest.fixture
def page_of(chromium, mixed, tmp_path):  # noqa: F811
    """The review page over a batch of ``mixed``, for one person after the other."""
    queue = mixed()
    batch, desk = OpenBatch(queue, 0, 0, None, "reject", 30.0), Desk("run")
    desk.lay(batch)
    stop: list = []

    class Served:
        def __init__(self):
            self.queue, self.batch, self.desk = queue, batch, desk
            self.context = served(tmp_path, desk)
            self.url = self.context.__enter__()
            stop.append(lambda: self.context.__exit__(None, None, None))

        def close(self):
            stop.pop()()

        def person(self, who, theme="light", width=1280):
            context = watched(chromium, theme, width)
            page = context.__enter__()
            stop.insert(0, lambda: context.__exit__(None, None, None))
            page.goto(self.url)
            name(page, who)
            return page

    yield Served()
    while stop:
        stop.pop(0)()


def test_the_viewer_runs_the_modules_of_the_notebook_s_pane(page_of):
    names = imported("review_pane.js")
    assert len(names) >= 8 and set(names) == set(assets.SHARED.values())
    page = page_of.person("Ann")
    for file in names:
        answer = page.evaluate("f => fetch(`/static/thinklab/${f}`).then(r => r.text())", file)
        assert answer == static(file)
        body = "\n".join(line.removeprefix("export ") for line in static(file).splitlines() if "import {" not in line)
        own = ReviewPane._esm.replace("export ", "")
        assert all(line in own for line in body.splitlines() if line.strip()), file


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [900, 1400])
def test_all_of_the_pane_works_in_the_viewer(page_of, run, theme, width):  # noqa: F811
    page = page_of.person("Ann", theme, width)
    page.wait_for_selector(".tl-quote math")
    for selector in (".tl-now-bar", ".tl-keys .tl-primary", ".tl-box", ".tl-quote > p:last-child"):
        assert inside(page, selector), selector
    assert page.evaluate("document.activeElement.className") == "tl tl-review"
    page.wait_for_function("() => document.querySelectorAll('.tl-group-table tbody tr').length === 4")
    page.wait_for_function("() => [...document.querySelectorAll('.tl-group-table td')].every(cell => cell.textContent !== '…')")
    page.wait_for_function("() => !document.querySelector('.tl-reward').textContent.includes('…')")
    low = [(round(r, 2), w) for r, w in page.evaluate(_CONTRASTS.replace("#here", "#app")) if r < 4.5]
    assert not low, low
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("A")  # all that pass
    settled(page)
    assert "Accepted 2; one undo reverts all of them. 3 left out" in page.locator(".tl-say").inner_text()
    page.keyboard.press("X")
    page.keyboard.press("4")
    settled(page)
    page.keyboard.press("t")
    page.keyboard.type("odd")
    page.keyboard.press("Escape")
    settled(page)
    page.fill(".tl-search", "Off by one")  # in the raw reply of the refused one
    page.focus(".tl-review")
    assert page.locator(".tl-raw-reply").inner_text() == RAW
    page.keyboard.press("e")
    page.keyboard.press("Control+Enter")
    settled(page)
    queue = page_of.queue
    assert {i.id: i.state for i in queue.items} == {
        "0-0": "accepted",
        "0-2": "accepted",
        "0-3": "edited",
        "0-4": "rejected",
        "0-5": "open",
    }
    assert queue["0-4"].why == "not in the student's voice" and queue["0-3"].text == GOOD
    assert {line["who"] for line in run.read("reviews")} == {"Ann"} and [i.tags for i in queue.items].count(("odd",)) == 1
    assert page.evaluate("window.wrong") == []  # no violation of the content policy, no error


def test_two_people_in_the_viewer_their_agreement_and_the_export(page_of):
    ann, bob = page_of.person("Ann"), page_of.person("Bob", "dark")
    for key in ("a", "a", "x"):
        ann.keyboard.press(key)
    settled(ann)
    bob.wait_for_function("() => document.querySelector('.tl-progress').textContent.startsWith('3 of 5')")
    bob.select_option(".tl-filter-decision", "mine")
    bob.focus(".tl-review")
    bob.keyboard.press("k")
    assert bob.locator(".tl-main .tl-chip").inner_text() == "not decided by you"
    for key in ("a", "x"):
        bob.keyboard.press(key)
    settled(bob)
    bob.keyboard.press("d")
    bob.wait_for_selector(".tl-agreement table")
    assert bob.locator(".tl-agreement tbody td").all_inner_texts() == ["Ann, Bob", "2", "1", "0", "1", "0", "0.00"]
    with bob.expect_download() as got:
        bob.get_by_role("button", name="CSV").click()
    assert Path(got.value.path()).read_text().startswith("generation,rollout,question")
    assert ann.evaluate("window.wrong") == [] == bob.evaluate("window.wrong")


def test_a_viewer_that_is_gone_greys_the_pane_out_and_takes_back_what_was_not_saved(page_of, run):  # noqa: F811
    page = page_of.person("Ann")
    page.keyboard.press("a")
    settled(page)
    threading.Thread(target=page_of.close).start()
    page.wait_for_selector(".tl-banner:visible", timeout=20000)
    assert "does not respond" in page.locator(".tl-banner").inner_text()
    assert page.locator(".tl-saved").inner_text() == "not connected"
    page.focus(".tl-review")
    page.keyboard.press("x")
    assert page.locator(".tl-progress").inner_text().startswith("1 of 5") and len(list(run.read("reviews"))) == 1
