"""Markdown, code, and formulas of a model's text as a tree of allowed elements (``shown``, ``to_html``).

``shown`` builds the tree; a browser creates elements from it
(``static/rich_text.js``), and ``to_html`` writes it with every text escaped. Both know only the tags and attributes below, so
no model text can become a script, a link, or a request.

Answers of small models are not clean Markdown: ``3*4*5`` is a product, not emphasis; ``+ 7`` at the start of a line is a term
of a sum, not a list; four spaces are not code; and line breaks are kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from thinklab.widgets.latex import math

Node = str | list[Any]
LONGEST = 30_000
"""Maximum characters; a longer text is shown unformatted."""
_MARKED = re.compile(r"[*_`#|$\\]|^\s*(>|[-*] |\d+[.)] |~~~|---)", re.MULTILINE)
_CODE = re.compile(r"^(```|~~~).*?(^\1|\Z)|(`+)[^`\n]+?\3", re.MULTILINE | re.DOTALL)
_MATH = re.compile(
    r"\$\$(?P<d>.{1,2000}?)\$\$|\\\[(?P<b>.{1,2000}?)\\\]|\\\((?P<p>.{1,2000}?)\\\)"
    r"|(?P<e>\\begin\{(?P<name>[a-z]+\*?)\}.{1,2000}?\\end\{(?P=name)\})"
    r"|(?<![\\$\w])\$(?P<i>(?=[^\s$])[^$\n]{1,300}?(?<=[^\s\\]))\$(?![\d$])"
    r"|(?P<x>\\boxed\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*\})*\})*\})",
    re.DOTALL,
)
_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
"""Between dollar signs: prose, as in "$5 for apples and $7"."""
_PLAIN = re.compile(r"(?<=[\w)\]}])\*+(?=[\w(\[{\\])|_+")
"""The product sign, and underscores, which are more often names than emphasis."""
_TERM = re.compile(r"^([ \t]*)\+(?=[ \t])", re.MULTILINE)
_OPEN, _CLOSE = "\ue000", "\ue001"
_HELD = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_SAME = ("blockquote", "table", "thead", "tbody", "tr", "th", "td", "strong", "em", "hr")
_TAGS = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "heading": "h5",
    **dict(zip(_SAME, _SAME)),
}
_markdown = MarkdownIt("zero", {"breaks": True}).enable(
    [
        "fence",
        "heading",
        "list",
        "blockquote",
        "hr",
        "table",
        "emphasis",
        "balance_pairs",
        "fragments_join",
        "backticks",
        "newline",
    ]
)


@lru_cache(1024)
def shown(text: str) -> list[Node] | None:
    """``text`` as nodes; None if it contains no markup."""
    if len(text) > LONGEST or _OPEN in text or not _MARKED.search(text):
        return None
    held: list[Node] = []

    def hold(node: Node) -> str:
        held.append(node)
        return f"{_OPEN}{len(held) - 1}{_CLOSE}"

    def formula(found: re.Match[str]) -> str:
        part = next(name for name in "dbepix" if found[name] is not None)
        if part == "i" and _WORD.search(re.sub(r"\\[a-z]+\{[^}]*\}", "", found["i"])):
            return found[0]
        node = math(found[part], display=part in "dbe")
        return found[0] if node is None else hold(node)

    pieces, at = [], 0
    for code in _CODE.finditer(text):
        pieces += [_MATH.sub(formula, text[at : code.start()]), code[0]]
        at = code.end()
    prose = [*pieces, _MATH.sub(formula, text[at:])]
    prose[::2] = [_TERM.sub(lambda m: m[1] + hold("+"), _PLAIN.sub(lambda m: hold(m[0]), p)) for p in prose[::2]]
    nodes = _children(SyntaxTreeNode(_markdown.parse("".join(prose))), held)
    return None if nodes == _plain(text) else nodes


def _plain(text: str) -> list[Node]:
    return [["p", {}, [text.strip()]]]


def _children(node: SyntaxTreeNode, held: list[Node]) -> list[Node]:
    out: list[Node] = []
    for child in node.children:
        for made in _made(child, held):
            if isinstance(made, str) and out and isinstance(out[-1], str):
                out[-1] += made
            elif made != "":
                out.append(made)
    return out


def _made(node: SyntaxTreeNode, held: list[Node]) -> list[Node]:
    kind = node.type
    if kind in ("inline", "root"):
        return _children(node, held)
    if kind in ("softbreak", "hardbreak"):
        return [["br", {}, []]]
    if kind in ("fence", "code_block"):
        return [["pre", {}, [["code", {}, [_source(node.content, held).rstrip("\n")]]]]]
    if kind == "code_inline":
        return [["code", {}, [_source(node.content, held)]]]
    if kind in _TAGS:
        attributes = {"start": str(node.attrs["start"])} if kind == "ordered_list" and "start" in node.attrs else {}
        return [[_TAGS[kind], attributes, _children(node, held)]]
    parts = _HELD.split(node.content or "")
    return [held[int(part)] if k % 2 else part for k, part in enumerate(parts)]


def _source(text: str, held: list[Node]) -> str:
    def written(found: re.Match[str]) -> str:
        node = held[int(found[1])]
        return node if isinstance(node, str) else str(node[1]["title"])

    return _HELD.sub(written, text)


def to_html(nodes: list[Node]) -> str:
    """The tree as HTML; all texts and attributes are escaped."""
    return "".join(_html(n) for n in nodes)


def _html(node: Node) -> str:
    if isinstance(node, str):
        return escape(node)
    tag, attributes, children = node
    inside = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{inside}>" + ("" if tag in ("br", "hr") else f"{to_html(children)}</{tag}>")
