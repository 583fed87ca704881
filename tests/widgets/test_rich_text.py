"""Markdown and formulas as a tree of known elements."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest

from thinklab.widgets.rich_text import shown, to_html

pytest.importorskip("latex2mathml")


def html(text):
    nodes = shown(text)
    return None if nodes is None else to_html(nodes)


def bare(text):
    """Without the source of each formula."""
    import re

    return re.sub(r' title="[^"]*"', "", html(text))


@pytest.mark.parametrize(
    "text",
    [
        "plain words",
        "two\nlines",
        "3*4*5 = 60",
        "It costs $5 for apples and $7 for pears",
        "snake_case and __init__",
        "<script>alert(1)</script> & <b>no</b>",
        "[link](javascript:alert(1)) ![i](http://x/y.png) <http://a.b>",
        "\ue0000\ue001 *a*",
        "",
    ],
)
def test_what_is_no_markup_stays_as_it_is(text):
    nodes = shown(text)
    shown_as = text if nodes is None else "".join(nodes[0][2])
    assert shown_as == text


def test_markdown_of_a_model():
    assert html("**so** *it* is `a*b`") == "<p><strong>so</strong> <em>it</em> is <code>a*b</code></p>"
    assert html("1. one\n2. two") == "<ol><li><p>one</p></li><li><p>two</p></li></ol>"
    assert html("```python\nx = 1*2\n$y$\n```") == "<pre><code>x = 1*2\n$y$</code></pre>"
    assert html("# Head\n| a |\n|---|\n| b |").startswith("<h5>Head</h5><table><thead>")
    assert html("**a** 12\n+ 7\n= 19") == "<p><strong>a</strong> 12<br>+ 7<br>= 19</p>"  # a sum and no list
    assert html("(3*4)*5*(2) **b**") == "<p>(3*4)*5*(2) <strong>b</strong></p>"


def test_formulas_are_mathml():
    fraction = "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>"
    for text in ("$\\frac{1}{2}$", "\\(\\frac{1}{2}\\)", "\\[\\frac{1}{2}\\]", "$$\\frac{1}{2}$$"):
        assert fraction in html(text) and html(text).count("<math") == 1, text
    assert 'display="block"' in html("\\[x\\]") and 'display="inline"' in html("$x$")
    assert '<mrow class="tl-boxed"><mrow><mn>19</mn></mrow></mrow>' in html("So \\boxed{19}.")
    assert "<mo>−</mo>" in bare("\\[\na\n- b\n\\]") and "<ul>" not in html("\\[\na\n- b\n\\]")
    assert bare("\\begin{aligned}a&=b\\\\c&=d\\end{aligned}").count("<mtr>") == 2 and "&amp;" not in bare(
        "\\begin{aligned}a&=b\\end{aligned}"
    )
    assert shown("\\boxed{\\frac{") is None  # what cannot be read is shown as it is written


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


EVIL = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "text",
    [
        f"$\\text{{{EVIL}}}$",
        f"$$\\href{{javascript:alert(1)}}{{x}} \\color{{red}}{{y}} \\style{{a}}{{b}}$$ {EVIL}",
        f"**{EVIL}** `{EVIL}`\n```{EVIL}\n{EVIL}\n```\n> {EVIL}\n\n| {EVIL} |\n|---|\n| {EVIL} |\n\n# {EVIL}",
        f"\\boxed{{{EVIL}}} \\({EVIL}\\)",
        '\\(x" onmouseover="alert(1)\\)',
    ],
)
def test_a_model_s_text_becomes_no_script_link_or_request(text):
    page = Tags()
    page.feed(html(text))
    assert not page.tags & {"script", "img", "a", "iframe", "style", "link", "svg", "object"}
    assert page.attributes <= {"title", "display", "class", "start", "stretchy", "columnalign", "width", "form", "fence"}


@pytest.mark.parametrize(
    "text",
    ["\\[" * 14_000, "$" * 29_000, "`" * 29_000, "\\boxed{" * 4_000, "*a " * 9_000, "> " * 9_000, "{" * 29_000 + "\\[x\\]",
     "\\[" + "{" * 1_900 + "\\]", "$a^2$ and words " * 1_800],
)  # fmt: skip
def test_no_text_takes_long(text):
    started = time.process_time()
    shown.__wrapped__(text)
    assert time.process_time() - started < 3
