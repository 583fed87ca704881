"""The other views in a real browser: readable in both themes, no horizontal scroll, and the studio as one types."""

from __future__ import annotations

import json

import pytest

from tests.reports.test_report import EVIL
from tests.review.test_review import GOOD, OTHER, make, run  # noqa: F401
from tests.support.widget_page import contrasts, mount, mount_html
from tests.widgets.test_views import TRACE
from thinklab import aas
from thinklab.reports.token_spans import teacher_tokens
from thinklab.widgets import BehaviorStudio, ReviewPane, side_by_side, token_view
from thinklab.widgets.aas_explorer import aas_html
from thinklab.widgets.html import html, static
from thinklab.widgets.token_html import COLORINGS

pytestmark = pytest.mark.browser


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 900, "height": 800})
    yield page
    page.close()


def static_views(queue, folder):
    queue.edit("0-1", OTHER)
    queue.reject("0-2")
    yield "review", ReviewPane(queue).to_html()
    for by in COLORINGS:
        yield f"tokens by {by}", token_view([TRACE, {**TRACE, "advantage": 1.2}], by=by).to_html()
    yield "aas", html(aas_html(teacher_tokens([TRACE]), aas.Shaping(), 1.5), "aas_explorer.css")
    yield "side by side", side_by_side(folder, 4).to_html()
    yield "studio", BehaviorStudio("self-check", samples=[GOOD]).to_html()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_static_views_are_readable_fit_and_run_no_script(page, make, run, theme):  # noqa: F811
    line = {"example_id": "e", "question": EVIL, "gold": "1", "decoding": "T=1", "text": EVIL, "behaviors": {"self-check": True}}
    run.append("probe_samples", [{"stage": stage, "correct": stage == "after", **line} for stage in ("before", "after")])
    dialogs = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    for name, view in static_views(make(), run):
        mount_html(page, view, theme)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        low = [(round(ratio, 2), what) for ratio, what in contrasts(page) if ratio < 4.5]
        assert not low, (name, low)
        assert page.evaluate("document.documentElement.scrollWidth") <= 900, name
        assert page.evaluate("document.querySelectorAll('#here script, #here img').length") == 0 and not dialogs


def test_the_switch_of_the_token_view_needs_no_script(page):
    mount_html(page, token_view(TRACE).to_html(), "light")
    assert page.locator(".tl-masked").is_hidden() and page.locator(".tl-origin").is_visible()
    page.get_by_label("masked").check()
    assert page.locator(".tl-masked").is_visible() and page.locator(".tl-origin").is_hidden()
    line = page.evaluate("getComputedStyle(document.querySelector('.teacher.masked')).textDecorationLine")
    assert line == "line-through"


def test_the_pane_s_diff_gives_back_both_texts(page, make):  # noqa: F811
    """Over many pairs: without what was added it is the old text, without what was taken away the new one."""
    mount(page, ReviewPane(make()))
    words = ["a", "b", "I check:", " ", "\n", "12+7=19.", "é", "தமிழ்", "\U0001f600", "<b>"]
    import random

    rng = random.Random(0)
    pairs = [["".join(rng.choices(words, k=rng.randint(0, 12))) for _ in range(2)] for _ in range(200)]
    found = page.evaluate(
        """async ([esm, pairs]) => {
      const { diff } = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
      const join = (d, skip) => d.filter(x => x[0] !== skip).map(x => x[1]).join("");
      return pairs.filter(([a, b]) => { const d = diff(a, b); return join(d, "+") !== a || join(d, "-") !== b; });
    }""",
        [static("text_diff.js"), pairs],
    )
    assert found == [], json.dumps(found)
